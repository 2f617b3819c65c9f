"""Infrastructure that every process shares.

Settings that name every fault at once (`settings`), a clock that tests control (`clock`), and
errors as RFC 9457 problems (`errors`, `http`). Logs, metrics, the operators' port (`ops`), start
and stop (`lifecycle`). One client module each for Postgres, Redis and Kafka.
The package handles bytes; repairs belong to the services.
Reading order: settings, lifecycle, ops, then the clients.
"""
