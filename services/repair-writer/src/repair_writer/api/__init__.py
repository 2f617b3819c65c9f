"""The writer's HTTP API: maps requests to commands, and outcomes and refusals to responses.

Handlers parse their bodies themselves. A response therefore lists all faults of a body at once,
and a command costs no more than it must. The OpenAPI entry is written beside each route.
"""
