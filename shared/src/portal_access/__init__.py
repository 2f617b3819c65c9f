"""Access rights: the identity that the gateway signs, and the scopes of an API key.

The gateway signs the user and the customer of a request (`token`).
Services accept no other source of a customer.
Internal systems send an API key with rights (`scopes`).
"""
