"""Local start: the whole system on one machine, without containers, behind `./dev`.

Reading order: `commands.py` (the commands), `processes.py` (the settings of each process), `supervisor.py` (restarts
of processes). Every other file has one topic that one of these three needs.
The package uses only the standard library, because it runs before any package is installed.
All state is in one folder (`.run`); deleting that folder undoes everything.
"""
