"""The query API: reads of one customer, named by the gateway's token.

The three counts are ready bytes, sent by plain ASGI (`documented`) before FastAPI.
The lists (`repairs`), the stream of revisions (`live`) and the page (`dashboard`) are ordinary
routes.
Its only writes restore cached counts that have expired in Redis.
Read: documented, live, repairs, dashboard, app, main.
"""
