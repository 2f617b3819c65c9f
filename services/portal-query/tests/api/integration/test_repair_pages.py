import itertools
import json
import uuid
from datetime import UTC, datetime
from typing import Any

LIST = "/customer/repairs/"
PAGES = (LIST, "/customer/repairs/new/", "/customer/units/", "/customer/profile/")

BAD_LISTS = {
    "status=LOST": "Status must be one of",
    "month=2023-13": "must be a month, written 2026-03",
    "from=2026-02-30": "must be a day that exists",
    "from=2026-03-02&to=2026-03-01": "must not be before from",
    "cursor=AAAA": "Cursor is not one that this list has returned",
    f"unit={'x' * 200}": "at most 50 characters",
    f"q={'x' * 200}": "must be 1 to 100 characters",
    "sort=colour": "Sort must be one of",
    "limit=1000": "Limit must be a number from 1 to 200",
    "a%3Cb=1": "A&lt;b is not a parameter of this list",
}


async def read(api: Any, path: str, customer_id: int = 1) -> tuple[int, str]:
    async with api.ask(path, customer_id) as answer:
        return answer.status, await answer.text()


async def again(api: Any, path: str, body: Any) -> tuple[int, str]:
    """Request a page as the gateway does after a rejected form."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Gateway-Token": api.token(1), "X-Csrf-Token": "m" * 64}
    async with api.client.post(api.url + path, data=data, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_nobody_but_the_gateway_may_ask_for_a_page(api: Any) -> None:
    for path, method in itertools.product(PAGES, ("GET", "POST")):
        async with api.ask(path, None, method) as answer:
            assert answer.status == 401


async def test_a_page_is_there_before_anything_has_happened(api: Any) -> None:
    expected = dict.fromkeys(PAGES, 200) | {"/customer/profile/": 404}
    for path, wanted in expected.items():
        status, text = await read(api, path)
        assert status == wanted
        assert "<h1>" in text


async def test_a_list_that_cannot_be_asked_for_is_answered_in_words(api: Any) -> None:
    for query, words in BAD_LISTS.items():
        status, text = await read(api, f"{LIST}?{query}")
        assert status == 400, query
        assert words in text
        assert "Show all repairs" in text


async def test_units_that_cannot_be_asked_for_are_answered_in_words(api: Any) -> None:
    for query in ("year=26", "year=3000", "at_least=0", "at_least=many", "x=1"):
        status, text = await read(api, f"/customer/units/?{query}")
        assert status == 400, query
        assert "These units cannot be shown" in text


async def test_a_seen_revision_that_is_none_is_not_waited_for(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    for seen in ("x", "-1", "9" * 30, "٣"):
        status, text = await read(api, f"{LIST}?seen={seen}")
        assert status == 200
        assert "appears here in a moment" not in text


async def test_a_change_that_is_on_its_way_is_said_to_be(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet, revision=12)
    _, late = await read(api, f"{LIST}?seen=13")
    assert "Your change is recorded and appears here in a moment" in late
    _, there = await read(api, f"{LIST}?seen=12")
    assert "Your change is recorded; this list includes it" in there


async def test_pages_of_a_list_hold_each_repair_once(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    found, path = [], f"{LIST}?limit=5&sort=cost"
    while path:
        _, text = await read(api, path)
        found += [
            part.split("/")[0]
            for part in text.split(f'scope="row" class="unit"><a href="{LIST}')[1:]
        ]
        rest = text.partition('rel="next"')[0].rpartition('<a class="button" href="')[2]
        path = rest.partition('"')[0].replace("&amp;", "&") if 'rel="next"' in text else ""
    by_cost = sorted(a_fleet, key=lambda one: float(one.cost))
    assert found == [str(one.repair_id) for one in by_cost]


async def test_a_repair_of_another_customer_is_not_there(
    api: Any, read_model: Any, repair: Any
) -> None:
    theirs = repair("secret-unit")
    await read_model.put(2, [theirs])
    for repair_id in (theirs.repair_id, uuid.uuid4(), "no-uuid"):
        status, text = await read(api, f"{LIST}{repair_id}/")
        assert status == 404
        assert "There is no such repair" in text
        assert "secret-unit" not in text


async def test_names_and_notes_are_only_text(api: Any, read_model: Any, repair: Any) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    one = repair(evil, "PENDING", description=evil, notes=evil)
    await read_model.put(1, [one], name=evil)
    await read_model.publish(1)
    paths = (LIST, f"{LIST}?view=print", f"{LIST}{one.repair_id}/", *PAGES[1:])
    for path in (*paths, f"{LIST}?q=%22%3E%3Cimg+src%3Dx%3E", f"{LIST}new/?unit=%22%3E%3Cimg%3E"):
        _, text = await read(api, path)
        assert "<img src=x" not in text
        assert "<img>" not in text


async def test_a_form_that_was_refused_comes_back_as_it_was_typed(api: Any) -> None:
    values = {"unit_number": "<A1>", "description-5": "long", "idempotency_key": "key-1"}
    body = {"values": values, "errors": {"description-5": "Too <long>."}, "notice": None}
    status, text = await again(api, f"{LIST}new/", body)
    assert status == 200
    assert 'value="&lt;A1&gt;"' in text
    assert 'value="key-1"' in text
    assert 'id="description-5-error">Too &lt;long&gt;.' in text
    assert '<a href="#description-5">Break 5, description</a>' in text
    assert 'id="description-6"' not in text

    odd = {f"description-{number}": "x" for number in ("11", "²", "9" * 5_000)}
    status, text = await again(api, f"{LIST}new/", {"values": odd})
    assert status == 200
    assert 'id="description-4"' not in text


async def test_a_refused_decision_shows_what_is_now_and_asks_again(
    api: Any, read_model: Any, repair: Any
) -> None:
    one = repair("A1", "PENDING", cost="260.00")
    await read_model.put(1, [one])
    body = {"values": {"status": "APPROVED", "reason": "ok"}, "notice": "The cost is 260.00 now."}
    status, text = await again(api, f"{LIST}{one.repair_id}/", body)
    assert status == 200
    assert "The cost is 260.00 now." in text
    assert "$260.00" in text
    assert f"&quot;{one.event_id}&quot;" in text
    assert ">ok</textarea>" in text


async def test_each_of_many_decisions_has_its_own_result(
    api: Any, read_model: Any, repair: Any
) -> None:
    mine, other = repair("A1", "APPROVED"), repair("B2", "COMPLETED")
    await read_model.put(1, [mine, other])
    results = [
        {"repair_id": str(mine.repair_id), "status": 200, "repair": {"status": "APPROVED"}},
        {"repair_id": str(other.repair_id), "status": 409, "problem": {"detail": "Too late."}},
        {"repair_id": str(uuid.uuid4()), "status": 404, "problem": {"title": "None such"}},
    ]
    status, text = await again(api, f"{LIST}?unit=A1", {"results": results})
    assert status == 200
    assert "1 repair approved, 2 not" in text
    assert "Unit B2</a>" in text
    assert "Too late." in text
    assert "A repair that is not here: None such" in " ".join(text.split()).replace("</a>", "")


async def test_what_the_gateway_never_sends_is_refused(api: Any) -> None:
    for body in (b"", b"[]", b"{", b'{"values": 1}', b'{"results": [{}]}'):
        status, _ = await again(api, LIST, body)
        assert status == 400, body
    status, _ = await again(api, LIST, b" " * 200_000)
    assert status == 413


async def test_a_sheet_holds_more_than_a_page_and_says_what_it_leaves_out(
    api: Any, read_model: Any, repair: Any
) -> None:
    await read_model.put(1, [repair(f"U{n}") for n in range(501)])
    _, text = await read(api, f"{LIST}?view=print")
    assert text.count('scope="row"') == 500
    assert "These are the first 500 repairs of 501" in " ".join(text.split())
    assert "<form" not in text.partition("<main")[2]


async def test_a_figure_of_a_unit_leads_to_as_many_repairs(
    api: Any, read_model: Any, repair: Any
) -> None:
    # In Chicago the last of these is still of 2025.
    dates = [(2026, 1, 1, 7), (2026, 12, 31, 12), (2026, 1, 1, 5)]
    await read_model.put(1, [repair("A+1", date=datetime(*one, tzinfo=UTC)) for one in dates])
    _, text = await read(api, "/customer/units/?year=2026&at_least=2")
    assert 'aria-label="2 repairs of unit A+1"' in text
    address = "/customer/repairs/?unit=A%2B1&from=2026-01-01&to=2026-12-31"
    assert address.replace("&", "&amp;") in text
    _, listed = await read(api, address)
    assert '<strong id="length">2 repairs</strong>' in listed
