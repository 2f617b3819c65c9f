"""Stand-ins for the world around the gateway, shipped beside the real thing.

`wire` is a service that records what reached it; `browser` is a client that sends exactly what a
test says and keeps cookies; `served` puts an application on a real socket.
"""
