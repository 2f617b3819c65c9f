"""The local start: the whole system on one machine, without containers, behind `./dev`.

Read `commands.py` (what each command does), `processes.py` (which process gets which setting), `supervisor.py`
(what keeps them running); every other file is about one thing that one of those three needs.
Everything here is the standard library's: it runs before anything has been installed.
All state is in one folder (`.run`), and deleting that folder undoes everything.
"""
