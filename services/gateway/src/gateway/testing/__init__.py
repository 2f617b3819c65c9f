"""Test doubles of the gateway's surroundings, shipped beside the gateway.

`wire` is a service that records the requests it receives. `browser` is a client that sends exactly
the bytes of a test and keeps cookies. `served` serves an application on a real socket.
"""
