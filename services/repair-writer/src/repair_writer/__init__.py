"""The writer: accepts what happens to repairs, numbers it per customer, and keeps the list.

A command is loaded, decided and saved in one transaction under its customer's row lock.
What was accepted becomes one event with the customer's next revision, kept for ever and put into
the outbox; the relay, a process of its own, moves the outbox to Kafka.
Internal systems come with API keys, customers only through the gateway's signed identity.
Read: repair (what may happen), history (how it is numbered), commands, imports, api.
"""
