import unicodedata
from typing import Literal

import pytest

from gateway.usernames import MAX_USERNAME, clean_username

MARKS = "a" + "\u0301\u0316" * 19_500


def test_a_name_is_trimmed_and_brought_to_its_normal_form() -> None:
    assert clean_username("  d\uff41na ") == "dana"
    assert clean_username("e\u0301" * 75) == "\u00e9" * 75


@pytest.mark.parametrize("name", [MARKS, "\u0301" * 151, "x" * 151, " " * 10 + "x" * 151])
def test_a_name_that_is_too_long_is_never_normalised(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalize, lengths = unicodedata.normalize, []

    def counted(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", counted)
    cleaned = clean_username(name)
    assert lengths == [], "it was normalised before its length was checked"
    assert cleaned == name.strip()
    assert len(cleaned) > MAX_USERNAME
    clean_username(name[:MAX_USERNAME])
    assert lengths == [len(name[:MAX_USERNAME].strip())]
