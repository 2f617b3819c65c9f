"""The demo: three fleets, their three years of repairs, and a stream of new ones.

Read in this order:

- `fleets.py`: the customers;
- `glass.py`: damage, prices and words;
- `lives.py`: from a seed to every step of every repair (pure);
- `writer.py`: a client of the writer's public API;
- the two commands, `load.py` and `live.py`.

The demo uses the system only as an internal system would.
"""
