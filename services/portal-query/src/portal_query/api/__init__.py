"""Answers the portal's reads, for the customer that the gateway names and no other.

The three counts are ready bytes, sent by plain ASGI (`documented`) before FastAPI is asked; the
lists (`repairs`), the stream of revisions (`live`) and the page (`dashboard`) are ordinary routes.
It writes nothing but documents that had expired in Redis.
Read: documented, live, repairs, dashboard, app, main.
"""
