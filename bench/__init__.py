"""How fast it is: each figure with the machine it was measured on and a floor from the same run.

`python -m bench [name ...] [--long]` against the system that `./dev up` has started. A floor is the bare
work without our code: the same SQL, the same bytes through Kafka, the same socket. Read `figures.py`
(what a figure is), `running.py` (the system under test), then the scenarios, one file each.
"""
