"""Vocabulary of the system: the events, and the rules that every consumer shares.

A repair has one of six statuses (`status`), a unit (`unit`) and a month (`month`).
A change of it is an event (`event`, `repair`) in the numbered stream of its customer.
Events travel on one topic, keyed by customer (`topic`).
`schema` generates the contract for other languages.
This package does no I/O. Read: status, repair, event, topic.
"""
