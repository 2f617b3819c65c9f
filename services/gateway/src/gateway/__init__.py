"""The gateway: the one door through which a customer's browser reaches the portal.

It signs people in and out, reads session, user and customer from Postgres at every request, and
passes on what its route table names, to the service that the row names, with an identity token.
Whatever the table does not name is refused. It counts nothing, decides nothing about a repair,
and believes nothing that a client says about who it is.

Read in this order: `routes` (what there is), `front` (the order in which a request is judged),
`visitor` (who asks), `proxy` and `streams` (how it is passed on), `login` and `accounts`.
"""
