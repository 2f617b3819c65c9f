"""The writer's HTTP API: requests into commands, outcomes and refusals into answers.

Handlers read their bodies themselves, so that every fault of a body is named at once and a
command costs no more than it must; the OpenAPI document is written beside each route.
"""
