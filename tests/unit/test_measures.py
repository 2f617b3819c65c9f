"""Measures of the source tree, on a tree whose figures are known."""

import ast
from pathlib import Path

from deploy.local import measures

TREES = {
    Path("shared/src/one/a.py"): ast.parse("class Pool: ...\ndef send(held, row): kept = row"),
    Path("shared/src/one/b.py"): ast.parse("class Pool: ...\nclass Row: ...\nseed = 1"),
    Path("shared/src/two/a.py"): ast.parse("class Row: ..."),
}


def test_participles_and_pronouns_are_counted_as_whole_identifiers() -> None:
    assert measures.weak_identifiers(TREES).startswith(
        "participles and pronouns: 22.22 % of 9 identifiers (held 1, kept 1)"
    )


def test_a_class_name_counts_twice_within_one_import_root_only() -> None:
    assert measures.homonyms(TREES) == "class names in two modules: 33.3 % of 3 (Pool)"


def test_every_measure_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "shared" / "src" / "one" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        '"""Module of one function."""\n\n\ndef send(customer_notes):\n    return 1\n'
    )

    found = measures.lines(tmp_path)

    assert found[0].startswith("docstrings       1 sentences, median 4 words")
    assert found[3].startswith("functions:       1, median 2 lines")
    assert found[-1] == "files that the field customer_notes touches: 1"
