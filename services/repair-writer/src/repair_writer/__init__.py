"""The writer service: validates changes of repairs and appends them to each customer's stream.

A command is loaded, decided and saved in one transaction under its customer's row lock.
An accepted change becomes one event with the customer's next revision.
The event is stored permanently and inserted into the outbox.
The relay, a separate process, sends the outbox to Kafka.
Internal systems authenticate with API keys. Customers authenticate only by the gateway's signed
identity token.
Start with: repair (rules), history (numbering), commands, imports, api.
"""
