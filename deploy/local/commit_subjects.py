"""Commit subjects: `area: imperative`, at most 72 characters.

`./dev check` runs this module on the commits since BASE; the commit-msg hook runs it with the file of a message.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from deploy.local import git
from deploy.local.layout import ROOT

#: The rule holds for the commits after this one.
BASE = "2778d420b9b26c58b2ab45ce61b9960b77aed7c5"
MOST_CHARACTERS = 72
_SUBJECT = re.compile(r"[a-z][a-z0-9-]*: [a-z`./-]\S*( \S+)+(?<!\.)")
_NO_IMPERATIVE = re.compile(r": \w+(ed|ing) ")
#: Imperatives with the ending of a participle.
_IMPERATIVES = frozenset({": bring ", ": embed ", ": feed ", ": need ", ": shed ", ": speed "})
#: Prefixes of commits that a later rebase removes.
_TEMPORARY = ("fixup! ", "squash! ", "amend! ")


def fault(subject: str) -> str:
    """Return the fault of a subject, with the correction; empty for a correct one."""
    if subject.startswith(_TEMPORARY):
        return ""
    if len(subject) > MOST_CHARACTERS:
        return f"{len(subject)} characters, at most {MOST_CHARACTERS}: {subject!r}"
    if not _SUBJECT.fullmatch(subject):
        return f"not of the form 'area: imperative', such as 'writer: reject a gap': {subject!r}"
    verb = _NO_IMPERATIVE.search(subject)
    if verb and verb[0] not in _IMPERATIVES:
        return f"{verb[0][2:-1]!r} is no imperative: {subject!r}"
    return ""


def subjects(root: Path = ROOT, base: str = BASE) -> list[str] | None:
    """Return the subjects after `base`, without merges; None where its history is missing."""
    return git.lines(root, "log", "--no-merges", "--format=%s", f"{base}..HEAD")


def main(arguments: list[str]) -> int:
    """Check one message file, or all commits since BASE; print the faults; return 1 if any."""
    if arguments:
        first_line = (Path(arguments[0]).read_text().splitlines() or [""])[0]
        found: list[str] | None = [first_line]
    else:
        found = subjects()
    if found is None:
        print(f"The history since {BASE} is missing here: no commit subject was checked.")
        return 0
    faults = [text for subject in found if (text := fault(subject))]
    print("\n".join(faults or [f"{len(found)} commit subjects are correct."]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
