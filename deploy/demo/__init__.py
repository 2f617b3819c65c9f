"""The demo: three fleets, their three years of repairs, and a stream of new ones.

Read `fleets.py` (who), `glass.py` (what breaks and what people say), `lives.py` (from a seed to
every step of every repair; pure), `writer.py` (a caller of the writer's public API), then the two
commands `load.py` and `live.py`. The demo knows the system only as an internal system would.
"""
