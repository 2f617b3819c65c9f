"""The gateway: the entry through which a customer's browser reaches the portal.

It signs people in and out. At every request it reads session, user and customer from Postgres. It
forwards each request that its route table lists to the service of that row, with an identity token.
It rejects every other request. It counts no repairs and decides nothing about a repair. It trusts
no identity that a client claims.

Start with `routes` (the route table), `front` (the order of the checks) and `visitor` (the session
lookup). Then read `proxy` and `streams` (the forwarding), `login` and `accounts`.
"""
