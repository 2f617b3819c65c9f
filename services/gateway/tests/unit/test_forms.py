"""Forms: parsing, the writer's request, and its errors at the fields."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.forms import (
    FORMS,
    Change,
    Fields,
    IncompleteFormError,
    errors_by_field,
    shown_results,
    values_of,
    with_seen,
)
from gateway.routes import ROUTES, Kind

TAG = '"01970f4e-7a3d-7b21-9c40-7d0d1f1c0a55"'
ONE = "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"


def change(form: str, path: str = "/x/", **fields: str | list[str]) -> Change:
    given = {"idempotency_key": "k", **{name.replace("__", "-"): v for name, v in fields.items()}}
    pairs = [
        (name, text)
        for name, value in given.items()
        for text in ([value] if isinstance(value, str) else value)
    ]
    return FORMS[form].change(Fields(pairs), path)


def test_each_form_of_the_table_is_known_and_asks_for_a_row_of_it() -> None:
    assert {row.name for row in ROUTES if row.kind is Kind.FORM} == set(FORMS)
    rows = {row.name: row for row in ROUTES}
    for name in FORMS:
        made = change(name, "/customer/repairs/x/", etag=TAG, status="DENIED", repair=ONE)
        row = rows[made.route]
        assert (row.kind, row.to) == (Kind.CALL, "writer")
        assert made.path == row.path.replace("{id}", "x")


def test_a_decision_names_the_state_that_was_seen() -> None:
    made = change(
        "decide-repair-form", f"/customer/repairs/{ONE}/", status="DENIED", reason=" Budget\r\nQ4 ",
        etag=TAG,
    )  # fmt: skip
    assert made.path == f"/customer/api/repairs/{ONE}/status/"
    assert (made.body, made.etag, made.key) == (
        {"status": "DENIED", "reason": "Budget\nQ4"}, TAG, "k",
    )  # fmt: skip
    assert change("decide-repair-form", etag=TAG[1:-1], status="DENIED").etag == TAG


def test_many_decisions_each_name_their_own_state() -> None:
    made = change(
        "decide-repairs-form", status="APPROVED", repair=["a", "b"], etag__a="1", etag__c="3"
    )
    assert made.body == {
        "status": "APPROVED",
        "repairs": [{"repair_id": "a", "etag": "1"}, {"repair_id": "b", "etag": ""}],
    }


def test_rows_that_were_left_empty_are_no_breaks_and_shift_no_error() -> None:
    made = change(
        "request-form", unit_number="A1", repair_date="", damage_type__1=" ", description__2="x",
        damage_type__10="y", damage_type__11="too many",
    )  # fmt: skip
    assert made.body["breaks"] == [
        {"damage_type": "", "description": "x"}, {"damage_type": "y", "description": ""},
    ]  # fmt: skip
    assert "repair_date" not in made.body
    problem = {
        "errors": [
            {"pointer": "/breaks/1/damage_type", "detail": "1"},
            {"pointer": "/breaks/0", "detail": "2"},
            {"pointer": "/unit_number", "detail": "3"},
            {"pointer": "/unit_number", "detail": "4"},
        ]
    }
    assert errors_by_field(made, problem) == {
        "damage_type-10": "1", "description-2": "2", "unit_number": "3",
    }  # fmt: skip


def test_a_request_that_names_no_break_is_told_at_the_first_row() -> None:
    made = change("request-form", unit_number="A1")
    assert made.body["breaks"] == [{}]
    problem = {"errors": [{"pointer": "/breaks/0", "detail": "Say"}]}
    assert errors_by_field(made, problem) == {"description-1": "Say"}


def test_a_profile_sends_what_the_form_has_and_nothing_else() -> None:
    made = change("profile-form", etag=TAG, phone="1", city="", name="Mine", customer_id="8")
    assert (made.body, made.etag) == ({"phone": "1", "city": ""}, TAG)


@pytest.mark.parametrize("key", ["", "a b", "k\r\nX-Gateway-Token: x", "é", "x" * 256, '"'])
def test_a_key_that_is_no_key_never_becomes_a_header(key: str) -> None:
    with pytest.raises(IncompleteFormError):
        change("request-form", idempotency_key=key)


@pytest.mark.parametrize("tag", ["", "a\r\nX: y", "é", '"', '"a" , "b"', "*\n", "x" * 300])
def test_a_tag_that_is_no_tag_never_becomes_a_header(tag: str) -> None:
    with pytest.raises(IncompleteFormError):
        change("profile-form", etag=tag)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "etag", "etag-x", "csrfmiddlewaretoken"]), st.text()))
)
def test_what_was_typed_comes_back_and_what_the_page_put_in_does_not(
    pairs: list[tuple[str, str]],
) -> None:
    values = values_of(Fields(pairs).typed)
    typed = [text.replace("\r\n", "\n") for name, text in pairs if name == "a"]
    assert set(values) == ({"a"} if typed else set())
    held = values.get("a", [])
    assert ([held] if isinstance(held, str) else held) == typed


@given(st.text(), st.dictionaries(st.sampled_from(["status", "reason", "repair"]), st.text()))
def test_whatever_is_typed_is_a_change_or_an_incomplete_form(
    key: str, fields: dict[str, str]
) -> None:
    for form in FORMS.values():
        try:
            made = form.change(Fields([("idempotency_key", key), *fields.items()]), "/customer/x/")
        except IncompleteFormError:
            continue
        assert made.key.isascii()
        assert made.key.isprintable()


def test_an_address_says_what_must_be_seen() -> None:
    assert with_seen("/a/", 7) == "/a/?seen=7"
    assert with_seen("/a/?b=c", "7") == "/a/?b=c&seen=7"
    assert with_seen("/a/", None) == "/a/"
    assert with_seen("/a/", "7&x=y") == "/a/"


def test_a_page_is_told_of_a_result_what_it_shows_and_no_more() -> None:
    answer: dict[str, Any] = {
        "results": [
            {"repair_id": "a", "status": 200, "repair": {"status": "DENIED", "notes": "x"}},
            {"repair_id": "b", "status": 412, "problem": {"detail": "d", "changed": [{}]}},
        ]
    }
    assert shown_results(answer) == [
        {"repair_id": "a", "status": 200, "repair": {"status": "DENIED"}},
        {"repair_id": "b", "status": 412, "problem": {"detail": "d"}},
    ]
