"""Field types: bounds, normalisation and validation messages.

Together the bounds keep the largest event below 64 KiB. They allow 13 550 characters of text at
four bytes each, and the envelope. The types are independent of the request that uses them.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from repair_events.moment import moment_of
from repair_events.unit import MAX_TYPED_LENGTH, normalise_unit

MAX_BIGINT: Final = 2**63 - 1
EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
MAX_COST: Final = Decimal("9999999999.99")

_ONE_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TAG: Final = re.compile(rf'(?:W/)?"?({_UUID.pattern})"?')
_COST: Final = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,2})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The latest allowed dates, as of one moment; the context of every validation."""

    latest_date: datetime
    latest_occurrence: datetime


def bounds_at(now: datetime) -> Bounds:
    """Return the bounds at `now`: 366 days ahead for repairs, one day for `occurred_at`."""
    return Bounds(now + timedelta(days=366), now + timedelta(days=1))


def _one_line(text: str) -> str:
    if _ONE_LINE.search(text):
        raise ValueError("must be one line without control characters")
    return text


def _lines(text: str) -> str:
    if _LINES.search(text):
        raise ValueError("must not hold control characters other than line breaks and tabs")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must have at least one character that is not a space")
    return text


def cost_text(value: object) -> str:
    """Return the canonical text of a cost, with two decimal places.

    The value is a JSON string or number. Raises ValueError outside 0 to 9999999999.99.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(  # noqa: TRY004 - pydantic collects these only
            "must be a decimal, written as a string or as a number"
        )
    text = value if isinstance(value, str) else repr(value)
    if not _COST.fullmatch(text):
        raise ValueError(f"must lie between 0 and {MAX_COST} and have at most two decimal places")
    whole, _, part = text.partition(".")
    return f"{whole.lstrip('0') or '0'}.{part:0<2}"


def _text_between(moment: datetime, latest: datetime) -> str:
    if not EARLIEST <= moment <= latest:
        raise ValueError(f"must lie between 1990-01-01 and {latest:%Y-%m-%d}")
    return moment.isoformat().replace("+00:00", "Z")


def _repair_date(text: str, info: ValidationInfo) -> str:
    return _text_between(moment_of(text), _bounds(info).latest_date)


def _visit_date(text: str, info: ValidationInfo) -> str:
    # Noon in UTC falls on the intended day in the portal's time zones. The exception is zones
    # twelve hours or more ahead of UTC.
    day = _DAY.fullmatch(text)
    try:
        moment = moment_of(f"{text}T12:00:00Z" if day else text)
    except ValueError as error:
        raise ValueError(
            "must be a day that exists" if day else "must be a date such as 2026-03-01"
        ) from error
    return _text_between(moment, _bounds(info).latest_date)


def _occurred_at(text: str, info: ValidationInfo) -> str:
    return _text_between(moment_of(text), _bounds(info).latest_occurrence)


def _bounds(info: ValidationInfo) -> Bounds:
    assert isinstance(info.context, Bounds)  # noqa: S101 - every validation is given them
    return info.context


def _tag(text: str) -> str:
    found = _TAG.fullmatch(text)
    if found is None:
        raise ValueError("must be the ETag of the state that was seen")
    return found[1].lower()


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError("must be a UUID such as 01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e")
    return text.lower()


def _email(text: str) -> str:
    if text and not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address, or empty")
    return text


CustomerId = Annotated[int, Field(ge=1, le=MAX_BIGINT, examples=[1042])]
UnitNumber = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_TYPED_LENGTH,
        examples=["A123"],
        description="At most 50 characters after cleaning: white space is folded, characters that "
        "show nothing are removed, accents are composed (NFC). A character that changes the "
        "direction of text is refused.",
    ),
    AfterValidator(normalise_unit),
]
Status = Literal["REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED"]
Decided = Literal["APPROVED", "DENIED"]
RequestedBy = Literal["customer", "internal"]
RepairDate = Annotated[
    str,
    AfterValidator(_repair_date),
    Field(
        max_length=40, examples=["2026-03-01T14:30:00Z"], json_schema_extra={"format": "date-time"}
    ),
]
VisitDate = Annotated[
    str,
    AfterValidator(_visit_date),
    Field(max_length=40, examples=["2026-03-01", "2026-03-01T14:30:00Z"]),
]
SeenTag = Annotated[str, AfterValidator(_tag), Field(max_length=100)]
OccurredAt = Annotated[
    str,
    AfterValidator(_occurred_at),
    Field(
        max_length=40, examples=["2026-03-01T14:31:07Z"], json_schema_extra={"format": "date-time"}
    ),
]
Cost = Annotated[
    str,
    BeforeValidator(cost_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$"},
                {"type": "number", "minimum": 0, "maximum": 9999999999.99, "multipleOf": 0.01},
            ],
            "examples": ["240.00"],
        }
    ),
]
Uuid = Annotated[
    str,
    AfterValidator(_uuid),
    Field(min_length=36, max_length=36, json_schema_extra={"format": "uuid"}),
]
LongText = Annotated[str, Field(max_length=4_000), AfterValidator(_lines)]
ShortText = Annotated[str, Field(max_length=100), AfterValidator(_one_line)]
Name = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(_one_line), AfterValidator(_not_blank)
]
Address = Annotated[str, Field(max_length=500), AfterValidator(_lines)]
Postal = Annotated[str, Field(max_length=20), AfterValidator(_one_line)]
Email = Annotated[str, Field(max_length=254), AfterValidator(_one_line), AfterValidator(_email)]
Source = Annotated[
    str, Field(min_length=1, max_length=100), AfterValidator(_one_line), AfterValidator(_not_blank)
]
SourceRef = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(_one_line), AfterValidator(_not_blank)
]
Reason = Annotated[
    str, Field(min_length=1, max_length=1_000), AfterValidator(_lines), AfterValidator(_not_blank)
]
