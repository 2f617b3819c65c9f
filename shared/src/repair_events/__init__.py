"""The language: what an event says, and the rules that every reader must share.

A repair has one of six statuses (`status`), a unit (`unit`) and a month (`month`).
A change of it is an event (`event`, `repair`) in the numbered list of its customer.
Events travel on one topic, keyed by customer (`topic`).
`schema` writes all that down for other languages. Nothing in here does I/O.
Read: status, repair, event, topic.
"""
