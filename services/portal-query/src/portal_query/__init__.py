"""Folds repair events into each customer's counts, and serves those counts to the portal.

Two processes meet in the read model and nowhere else: the projector writes it from Kafka and from
the writer's lists, the query api only reads it. What a repair counts for is said once, in
`counting`; what a customer's counts look like as bytes is said once, in `document`. The tables in
Postgres can be made again from the writer at any time, the documents in Redis from the tables.
Nothing here decides anything about a repair.
Read: counting, document, read_model, then projector or api.
"""
