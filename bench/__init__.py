"""Benchmarks: each figure with its machine and with a floor from the same run.

Run `python -m bench [name ...] [--long]` against the system that `./dev up` has started.
A floor is the bare work without our code: the same SQL, the same bytes through Kafka, the same
socket.
Read `figures.py` (a figure), `running.py` (the system under test), then the scenarios, one file
each.
"""
