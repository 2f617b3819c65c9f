"""The machine room: what every process needs and none of them is about.

Settings that name every fault at once (`settings`), a clock that tests can hold (`clock`), errors
as RFC 9457 problems (`errors`, `http`), logs and metrics, a port for operators (`ops`), start and
stop (`lifecycle`), and one door each to Postgres, Redis and Kafka. It knows bytes, never repairs.
Read: settings, lifecycle, ops, then the doors.
"""
