"""The page of all texts is what the sources say, and each code has one status and one title."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.contract.texts import PAGE, page


def test_the_page_of_texts_is_what_the_sources_say() -> None:
    assert PAGE.read_text() == page(), (
        "read the new texts, then: python -m tests.contract.texts > docs/texts.md"
    )


def test_a_code_has_one_status_and_one_title() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ([a-z-]+) \| ([^|{]+) \|", PAGE.read_text(), re.MULTILINE)
    titles: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for status, code, title in rows:
        titles[code].add((status, title))
    assert len(titles) > 20
    assert {code: found for code, found in titles.items() if len(found) > 1} == {}
