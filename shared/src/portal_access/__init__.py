"""Who may: the signed identity that the gateway gives, and the scopes of an API key.

The gateway signs who is asking and for which customer (`token`); the services believe nothing
else about a customer. Internal systems come with an API key whose rights are `scopes`.
"""
