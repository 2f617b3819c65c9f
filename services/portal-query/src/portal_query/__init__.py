"""Folds repair events into each customer's counts, and serves those counts to the portal.

Two processes share the read model and nothing else.
The projector writes it from Kafka and from the writer's streams; the query API only reads it.
`counting` is the only definition of a count; `document` is the only definition of its bytes.
The tables in Postgres can be rebuilt from the writer at any time, the cached counts in Redis from
the tables. This package decides nothing about a repair.
Read: counting, document, read_model, then projector or api.
"""
