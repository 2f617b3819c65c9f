import pytest

from portal_access.scopes import SCOPES, parse_scopes


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("repairs:read", {"repairs:read"}),
        (" repairs:read , repairs:write,", {"repairs:read", "repairs:write"}),
        ("repairs:read,repairs:read", {"repairs:read"}),
        (",".join(SCOPES), set(SCOPES)),
    ],
)
def test_a_list_of_scopes_is_read(text: str, scopes: set[str]) -> None:
    assert parse_scopes(text) == scopes


@pytest.mark.parametrize("text", ["", " , ", "repairs", "repairs:read,admin", "REPAIRS:READ"])
def test_an_unknown_or_empty_list_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match="history:read"):
        parse_scopes(text)
