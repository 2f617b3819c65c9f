"""The forms of the portal's pages, each with its change and with the page that shows it.

The typed values become the same call that a program makes, and the service alone validates them.
Its errors are mapped back to the names of the form's fields. This module is pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from gateway.csrf import FIELD as CSRF_FIELD

#: The prefix of typed fields while they pass through the sign-in page.
KEPT: Final = "kept."

_BREAKS: Final = range(1, 11)
_PROFILE: Final = ("email", "phone", "address", "city", "state", "postal_code")
_KEY: Final = re.compile(r"[\x21\x23-\x7e]{1,255}")
_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{1,200}"')

Pairs = tuple[tuple[str, str], ...]


class IncompleteFormError(ValueError):
    """An error for a form with a missing or altered hidden field."""


class Fields:
    """The fields of a submitted form, in their order, with the line ends (LF) of services."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs: Pairs = tuple((name, text.replace("\r\n", "\n")) for name, text in pairs)
        self._last = dict(self.pairs)

    def one(self, name: str) -> str:
        """Return the last value of a field; an empty text if there is none."""
        return self._last.get(name, "")

    def many(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [text for key, text in self.pairs if key == name]

    @property
    def typed(self) -> Pairs:
        """The fields that a person typed or chose, without the hidden fields of the page."""
        return tuple(
            (name, text)
            for name, text in self.pairs
            if name not in {CSRF_FIELD, "etag", "idempotency_key"} and not name.startswith("etag-")
        )


@dataclass(frozen=True, slots=True)
class Change:
    """The change that a form requests; `names` maps JSON pointers to form fields."""

    route: str  # the route row of the same call by a program
    path: str
    body: Mapping[str, Any]
    key: str
    etag: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Form:
    """A form: the function that makes its change, and the address that shows the result.

    `shown` is None if the response has a result for each repair; then the form's page shows them.
    """

    change: Callable[[Fields, str], Change]
    shown: Callable[[Mapping[str, Any], str], str] | None


def _key_of(fields: Fields) -> str:
    key = fields.one("idempotency_key")
    if not _KEY.fullmatch(key):
        raise IncompleteFormError("idempotency_key")
    return key


def _tag_of(text: str) -> str:
    tag = text if text.startswith(('"', "W/")) else f'"{text}"'
    if not _TAG.fullmatch(tag):
        raise IncompleteFormError("etag")
    return tag


def _decision(fields: Fields) -> dict[str, Any]:
    reason = fields.one("reason").strip()
    return {"status": fields.one("status"), **({"reason": reason} if reason else {})}


def _decide_one(fields: Fields, path: str) -> Change:
    return Change(
        "decide-repair",
        f"{path.replace('/customer/', '/customer/api/', 1)}status/",
        _decision(fields),
        _key_of(fields),
        _tag_of(fields.one("etag")),
    )


def _decide_many(fields: Fields, _: str) -> Change:
    chosen = fields.many("repair")
    repairs = [{"repair_id": one, "etag": fields.one(f"etag-{one}")} for one in chosen]
    return Change(
        "decide-repairs",
        "/customer/api/repairs/status/",
        {**_decision(fields), "repairs": repairs},
        _key_of(fields),
        names={"/repairs": "repair"},
    )


def _request(fields: Fields, _: str) -> Change:
    breaks: list[dict[str, str]] = []
    names: dict[str, str] = {}
    for number in _BREAKS:
        said = {name: fields.one(f"{name}-{number}") for name in ("damage_type", "description")}
        if any(text.strip() for text in said.values()):
            at = f"/breaks/{len(breaks)}"
            names |= {at: f"description-{number}"}
            names |= {f"{at}/{name}": f"{name}-{number}" for name in said}
            breaks.append(said)
    body: dict[str, Any] = {
        "unit_number": fields.one("unit_number"),
        "customer_notes": fields.one("customer_notes"),
        # Without breaks, send one empty break: the writer's error for it is better than for an
        # empty list.
        "breaks": breaks or [{}],
    }
    if not breaks:
        names["/breaks/0"] = "description-1"
    if fields.one("repair_date").strip():
        body["repair_date"] = fields.one("repair_date").strip()
    return Change("request-repair", "/customer/api/repairs/", body, _key_of(fields), names=names)


def _change_profile(fields: Fields, _: str) -> Change:
    given = {name for name, _ in fields.pairs}
    return Change(
        "change-profile",
        "/customer/api/profile/",
        {name: fields.one(name) for name in _PROFILE if name in given},
        _key_of(fields),
        _tag_of(fields.one("etag")),
    )


def _visit_shown(answer: Mapping[str, Any], _: str) -> str:
    repairs = answer["repairs"]
    if len(repairs) == 1:
        return f"/customer/repairs/{repairs[0]['repair_id']}/"
    return f"/customer/repairs/?unit={quote(repairs[0]['unit_number'], safe='')}&sort=-changed_at"


def _same_page(_: Mapping[str, Any], path: str) -> str:
    return path


#: The forms by the name of their row in the route table.
FORMS: Final[Mapping[str, Form]] = {
    "decide-repairs-form": Form(_decide_many, None),
    "request-form": Form(_request, _visit_shown),
    "decide-repair-form": Form(_decide_one, _same_page),
    "profile-form": Form(_change_profile, _same_page),
}


def with_seen(address: str, revision: str | int | None) -> str:
    """Return the address with the smallest revision that its page must show (`seen`).

    An address without a decimal revision stays as it is.
    """
    if revision is None or not str(revision).isdecimal():
        return address
    return f"{address}{'&' if '?' in address else '?'}seen={revision}"


def errors_by_field(change: Change, problem: Mapping[str, Any]) -> dict[str, str]:
    """Return the problem's errors by the names of form fields, the first of each field."""
    found: dict[str, str] = {}
    for error in problem.get("errors", []):
        pointer = str(error.get("pointer", error.get("parameter", "")))
        found.setdefault(_field_of(change, pointer), str(error.get("detail", "")))
    return found


def _field_of(change: Change, pointer: str) -> str:
    """Return the form field of a JSON pointer: its own, its parent's, or the first segment."""
    at = pointer
    while at:
        if at in change.names:
            return change.names[at]
        at = at.rpartition("/")[0]
    return pointer.strip("/").partition("/")[0]


def values_of(pairs: Pairs) -> dict[str, str | list[str]]:
    """Return the values by field; a field with several values has a list."""
    values: dict[str, list[str]] = {}
    for name, text in pairs:
        values.setdefault(name, []).append(text)
    return {name: texts if len(texts) > 1 else texts[0] for name, texts in values.items()}


def shown_results(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results of many decisions, each with only the parts that a page shows."""
    return [
        {
            "repair_id": one["repair_id"],
            "status": one["status"],
            **{part: _only(one[part], names) for part, names in _SAID.items() if part in one},
        }
        for one in answer["results"]
    ]


#: The parts are short: the customers' texts of a hundred repairs would exceed the bound of a page.
_SAID: Final = {"repair": ("status",), "problem": ("title", "detail")}


def _only(part: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: part[name] for name in names if name in part}
