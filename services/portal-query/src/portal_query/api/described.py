"""Descriptions of the portal's read endpoints for the OpenAPI document.

One entry for each address that the query API serves to programs.
A test compares this table with the routes, and each example with a real response.
"""

from dataclasses import dataclass
from typing import Any, Final

from portal_query.api.parameters import DEFAULT_LIMIT, MAX_LIMIT
from portal_query.read_model.repairs import HISTORY_LINES, SORTS
from repair_events.status import STATUSES

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a path or a query."""

    name: str
    text: str
    schema: dict[str, Any]
    example: object
    where: str = "query"
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One read endpoint: purpose, parameters and an example response.

    `refusals` are the problem codes (RFC 9457) beside those that every address has.
    """

    path: str
    tag: str
    summary: str
    text: str
    answer: object
    asked: str = ""
    media: str = JSON
    parameters: tuple[Parameter, ...] = ()
    refusals: tuple[str, ...] = ()
    states_revision: bool = True


DOCUMENTED, REPAIRS, FIGURES, LIVE = "Documented", "Repairs", "Figures and company", "Live"
COMMANDS: Final = "Changes"
#: Order and description of the groups in the document.
TAGS: Final = {
    DOCUMENTED: "The endpoints of the portal's first document: bytes and order are as they always"
    ' were, and a query string is ignored. Their errors are {"error": ...}.',
    REPAIRS: "Repairs one by one: any filter, any order, page by page, and as a file.",
    COMMANDS: "What a customer may change. Each needs the CSRF token and an Idempotency-Key: the"
    " same key and body again change nothing twice.",
    FIGURES: "What the head of the dashboard shows, the units behind it, and the company's data.",
    LIVE: "To hear of changes instead of asking for them.",
}

_DAY: Final = {"type": "string", "format": "date"}
_LIST: Final = (
    Parameter(
        "status",
        "Only repairs in this status; may be given several times.",
        {"type": "string", "enum": list(STATUSES)},
        "PENDING",
        repeated=True,
    ),
    Parameter(
        "unit",
        "Only repairs of this unit, in any spelling that looks the same: white space around it and"
        " invisible characters do not matter, capitals do.",
        {"type": "string", "maxLength": 200},
        "A123",
    ),
    Parameter(
        "month",
        "Only repairs dated in this month, on the portal's calendar.",
        {"type": "string", "pattern": r"^\d{4}-\d{2}$"},
        "2026-03",
    ),
    Parameter("from", "Only repairs dated on this day or later.", _DAY, "2026-01-01"),
    Parameter("to", "Only repairs dated on this day or earlier.", _DAY, "2026-12-31"),
    Parameter(
        "q",
        "Only repairs with this text in unit, description, damage or notes. Capitals, the amount of"
        " white space, invisible characters and how an accent is written do not matter. At most"
        " 100 characters after that.",
        {"type": "string", "minLength": 1, "maxLength": 400},
        "crack",
    ),
    Parameter(
        "sort",
        "By what the list is sorted; - in front: descending. Without it: -repair_date.",
        {"type": "string", "enum": [sign + by for by in SORTS for sign in ("", "-")]},
        "-repair_date",
    ),
)
_PAGED: Final = (
    Parameter(
        "limit",
        f"How many entries a page has at most; {DEFAULT_LIMIT} without it.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        DEFAULT_LIMIT,
    ),
    Parameter(
        "cursor",
        "Where the page begins: `next` of the page before, with the same filters and order.",
        {"type": "string", "maxLength": 600},
        None,
    ),
)
_REPAIR: Final = {
    "repair_id": "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e",
    "unit_number": "A123",
    "repair_date": "2026-03-01T14:30:00.000000Z",
    "month": "2026-03",
    "status": "PENDING",
    "description": "Star break, passenger side",
    "damage_type": "star break",
    "cost": "240.00",
    "customer_notes": "Keys are at the gate.",
    "requested_by": "customer",
    "batch_id": None,
    "recorded_at": "2026-03-01T14:31:07.482913Z",
    "changed_at": "2026-03-01T15:02:40.118204Z",
    "revision": 17,
    "etag": '"01970f4e-7a3d-7b21-9c40-7d0d1f1c0a55"',
}
_STATE: Final = {"refold": 1773412345678, "revision": 42, "changed_since": False}

ENDPOINTS: Final = (
    Endpoint(
        "/customer/api/unit-repair-data/",
        DOCUMENTED,
        "Repairs by unit",
        "All units with their numbers of repairs: most first, then by unit.",
        [{"unit_number": "A123", "repair_count": 8}, {"unit_number": "B456", "repair_count": 5}],
    ),
    Endpoint(
        "/customer/api/repair-cost-data/",
        DOCUMENTED,
        "Repairs by month",
        "All months with a repair, by the repair's date on the portal's calendar, oldest first.",
        [{"date": "2023-01", "count": 3}, {"date": "2023-02", "count": 7}],
    ),
    Endpoint(
        "/customer/api/repair-status-data/",
        DOCUMENTED,
        "Repairs by status",
        "All six statuses in the order of work. The same list stands in the dashboard's page as"
        " the JSON of the element with the id repair_status_counts.",
        [{"status": one, "count": n} for one, n in zip(STATUSES, (5, 3, 2, 4, 12, 1), strict=True)],
    ),
    Endpoint(
        "/customer/api/repairs/",
        REPAIRS,
        "A list of repairs",
        "`count` is the length of the whole list; null when counting it would mean reading a very"
        " long history. `next` is null on the last page. With it, a page may hold fewer repairs"
        " than `limit`, or none: texts and rare combinations are looked for step by step, so go on"
        " until `next` is null. `changed_since` says that something has changed since the first"
        " page was asked for.",
        {"repairs": [_REPAIR], "count": 3, "next": None, **_STATE},
        "?status=PENDING&sort=-repair_date&limit=50",
        parameters=(*_LIST, *_PAGED),
        refusals=("bad-parameter", "bad-header", "revision-not-reached"),
    ),
    Endpoint(
        "/customer/api/repairs/export.csv",
        REPAIRS,
        "A list of repairs as a file",
        "The whole list, in the same order, as CSV for a spreadsheet: UTF-8 with a byte order"
        " mark, dates as 2026-03-31, and an apostrophe in front of whatever a spreadsheet"
        " would take for a formula. It is sent whole or not at all.",
        "\ufeffrepair_id,unit_number,repair_date,status,damage_type,description,customer_notes,"
        "cost,requested_by,changed_at\r\n01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e,A123,2026-03-01,"
        'PENDING,star break,"Star break, passenger side",Keys are at the gate.,240.00,customer,'
        "2026-03-01T09:02:40-06:00\r\n",
        "?status=PENDING",
        media="text/csv",
        parameters=_LIST,
        refusals=("bad-parameter", "bad-header", "revision-not-reached"),
    ),
    Endpoint(
        "/customer/api/repairs/{repair_id}/",
        REPAIRS,
        "One repair with its history",
        "`by` is customer or company. `etag` names this state of the repair: a decision is bound"
        f" to it. `history` holds the newest {HISTORY_LINES:,} lines, oldest first;"
        " `history_complete` is false where older ones are left out.",
        {
            **_REPAIR,
            "history": [
                {
                    "revision": 12,
                    "what": "recorded",
                    "when": "2026-03-01T14:31:07.482913Z",
                    "accepted_at": "2026-03-01T14:31:07.482913Z",
                    "by": "customer",
                    "status": "REQUESTED",
                    "reason": None,
                },
            ],
            "history_complete": True,
        },
        parameters=(
            Parameter(
                "repair_id",
                "Which repair.",
                {"type": "string", "format": "uuid"},
                _REPAIR["repair_id"],
                where="path",
            ),
        ),
        refusals=("repair-unknown", "bad-header", "revision-not-reached"),
    ),
    Endpoint(
        "/customer/api/figures/",
        FIGURES,
        "This month and this year",
        "Completed repairs dated in this month and the month before, and how many units have been"
        " repaired at least twice this year.",
        {
            "completed_this_month": {
                "month": "2026-11",
                "count": 7,
                "month_before": "2026-10",
                "count_before": 9,
            },
            "units_repaired_again": {"year": 2026, "at_least": 2, "count": 4},
        },
        refusals=("bad-header", "revision-not-reached"),
    ),
    Endpoint(
        "/customer/api/units/",
        FIGURES,
        "Units with their numbers of repairs",
        "Of one year, or ever; most first, then by unit.",
        {
            "units": [{"unit_number": "A123", "repair_count": 3}],
            "count": 1,
            "next": None,
            **_STATE,
        },
        "?year=2026&at_least=2",
        parameters=(
            Parameter(
                "year",
                "Only repairs dated in this year.",
                {"type": "string", "pattern": r"^\d{4}$"},
                "2026",
            ),
            Parameter(
                "at_least",
                "Only units with so many repairs.",
                {"type": "integer", "minimum": 1},
                2,
            ),
            *_PAGED,
        ),
        refusals=("bad-parameter", "bad-header", "revision-not-reached"),
    ),
    Endpoint(
        "/customer/api/profile/",
        FIGURES,
        "The company's data",
        "`etag` names this state, for a change that is bound to it. `customer_id` is a 64-bit integer:"
        " JSON.parse of JavaScript rounds it beyond 2^53.",
        {
            "customer_id": 1042,
            "name": "Prairie Freight",
            "email": "fleet@prairie.example",
            "phone": "+1 608 555 0117",
            "address": "12 Depot Road",
            "city": "Joliet",
            "state": "IL",
            "postal_code": "60431",
            "etag": '"p-5d1c6f0e9b7a4c21"',
        },
        refusals=("customer-unknown", "bad-header", "revision-not-reached"),
    ),
    Endpoint(
        "/customer/api/events/",
        LIVE,
        "A stream of revisions",
        "Server-sent events: where the customer stands, then each newer revision, and `alive` where"
        " there is none for five seconds. What has changed, one asks for with Portal-Min-Revision"
        " and Portal-Refold. `customer` and `refold` are 64-bit integers, as text. The stream ends with the session; where there is no room for it (503),"
        " ask from time to time with If-None-Match.",
        "retry: 2000\n\nid: 1773412345678.42\nevent: revision\n"
        'data: {"customer":"1042","refold":"1773412345678","revision":42}\n\n',
        media="text/event-stream",
        refusals=("too-many-streams",),
        states_revision=False,
    ),
)
