"""Forms without a script: the writer's request, and the resulting page."""

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.testing.browser import Answered, Browser
from gateway.testing.portal import PASSWORD, Portal
from gateway.testing.wire import Received, answer, raw

ONE = "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"
TAG = '"01970f4e-7a3d-7b21-9c40-7d0d1f1c0a55"'
LIST = "/customer/repairs/"
REPAIR = f"/customer/repairs/{ONE}/"
DECIDED = f"/customer/api/repairs/{ONE}/status/"
PAGE = b"<!doctype html><title>the page again</title>"
HTML = "text/html; charset=utf-8"


async def submit(browser: Browser, target: str, *pairs: tuple[str, str]) -> Answered:
    fields = [("csrfmiddlewaretoken", browser.cookies["csrftoken"]), *pairs]
    return await browser.ask(
        "POST",
        target,
        body=urlencode(fields).encode(),
        Content_Type="application/x-www-form-urlencoded",
    )


async def decide(browser: Browser, target: str = REPAIR, **fields: str) -> Answered:
    given = {"status": "APPROVED", "etag": TAG, "idempotency_key": "k1", **fields}
    return await submit(browser, target, *given.items())


def problem(status: int, code: str, **more: Any) -> Any:
    body = json.dumps({"status": status, "code": code, "title": "T", **more}).encode()
    return answer(body, status, "application/problem+json")


def asked_again(gate: Portal) -> dict[str, Any]:
    """Return the latest form state that the page received, after a check of the request."""
    received = gate.query.received[-1]
    assert (received.method, received.header("content-type")) == ("POST", "application/json")
    assert received.header("x-gateway-token")
    assert received.header("x-csrf-token")
    found: dict[str, Any] = json.loads(received.body)
    return found


@pytest.fixture
async def browser(gate: Portal) -> Browser:
    gate.query.default = answer(PAGE, content_type=HTML)
    return await gate.signed_in()


async def test_an_accepted_decision_leads_to_the_page_that_shows_it(
    gate: Portal, browser: Browser
) -> None:
    gate.writer.on(DECIDED, answer(b"{}", portal_revision="17"))

    answered = await decide(browser, reason="Yes")

    assert (answered.status, answered.header("location")) == (303, f"{REPAIR}?seen=17")
    assert answered.header("cache-control") == "no-store"
    received = gate.writer.received[-1]
    assert (received.method, received.target) == ("POST", DECIDED)
    assert received.header("if-match") == TAG
    assert received.header("idempotency-key") == "k1"
    assert json.loads(received.body) == {"status": "APPROVED", "reason": "Yes"}


async def test_a_request_leads_to_its_repair_or_to_those_of_its_unit(
    gate: Portal, browser: Browser
) -> None:
    repair = {"repair_id": ONE, "unit_number": "A&1 é"}
    for repairs, shown in (
        ([repair], f"{REPAIR}?seen=9"),
        ([repair] * 2, f"{LIST}?unit=A%261%20%C3%A9&sort=-changed_at&seen=9"),
    ):
        body = json.dumps({"batch_id": None, "repairs": repairs}).encode()
        gate.writer.on("/customer/api/repairs/", answer(body, 201, portal_revision="9"))
        fields = (("unit_number", "A&1 é"), ("description-3", "<b>"), ("idempotency_key", "k"))
        answered = await submit(browser, "/customer/repairs/new/", *fields)
        assert (answered.status, answered.header("location")) == (303, shown)
    assert json.loads(gate.writer.received[-1].body)["breaks"] == [
        {"damage_type": "", "description": "<b>"}
    ]


async def test_bad_fields_come_back_with_what_was_typed(gate: Portal, browser: Browser) -> None:
    errors = [{"pointer": "/reason", "detail": "too long"}]
    gate.writer.on(DECIDED, problem(422, "invalid", errors=errors))

    answered = await decide(browser, f"{REPAIR}?status=PENDING&seen=3", reason="x")

    assert (answered.status, answered.body) == (422, PAGE)
    assert answered.header("cache-control") == "no-store"
    assert answered.header("content-type") == HTML
    assert gate.query.received[-1].target == f"{REPAIR}?status=PENDING"
    shown = asked_again(gate)
    assert shown["errors"] == {"reason": "too long"}
    assert shown["values"] == {"status": "APPROVED", "reason": "x", "idempotency_key": "k1"}


@pytest.mark.parametrize(("status", "code"), [(409, "illegal-move"), (412, "precondition-failed")])
async def test_what_happened_meanwhile_is_told_on_a_page_that_shows_it(
    gate: Portal, browser: Browser, status: int, code: str
) -> None:
    gate.writer.on(DECIDED, problem(status, code, detail="The cost is 260.00 now.", revision=41))

    answered = await decide(browser)

    assert (answered.status, answered.body) == (status, PAGE)
    assert gate.query.received[-1].target == f"{REPAIR}?seen=41"
    shown = asked_again(gate)
    assert shown["notice"] == "The cost is 260.00 now."
    assert shown["values"] == {"status": "APPROVED"}, "the page asks again, under another key"


async def test_many_decisions_are_shown_each_with_its_result(
    gate: Portal, browser: Browser
) -> None:
    results = [
        {"repair_id": ONE, "status": 200, "repair": {"unit_number": "A1", "notes": "x" * 4_000}},
        *[
            {
                "repair_id": ONE,
                "status": 412,
                "problem": {"detail": "d", "changed": [{"seen": "x" * 4_000, "now": "y" * 4_000}]},
            }
            for _ in range(99)
        ],
    ]
    body = json.dumps({"results": results}).encode()
    gate.writer.on("/customer/api/repairs/status/", answer(body, portal_revision="8"))
    # The longest page sends each repair with its state, chosen or not.
    chosen = [("repair", f"{n}") for n in range(100)] + [(f"etag-{n}", TAG) for n in range(200)]

    answered = await submit(
        browser, f"{LIST}?status=PENDING", ("status", "DENIED"), ("idempotency_key", "k"), *chosen
    )

    assert (answered.status, answered.body) == (200, PAGE)
    assert len(json.loads(gate.writer.received[-1].body)["repairs"]) == 100
    assert gate.query.received[-1].target == f"{LIST}?status=PENDING&seen=8"
    shown = asked_again(gate)
    assert [one["status"] for one in shown["results"]] == [200] + [412] * 99
    assert len(gate.query.received[-1].body) < 65_536


async def test_a_second_click_waits_for_the_answer_of_the_first(
    gate: Portal, browser: Browser
) -> None:
    begun = 0

    async def running_then_done(received: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        begun += 1
        done = answer(b"{}", portal_revision="5")
        await (done if begun > 2 else problem(409, "key-running"))(received, writer)

    gate.writer.on(DECIDED, running_then_done)

    assert (await decide(browser)).header("location") == f"{REPAIR}?seen=5"
    assert {one.header("idempotency-key") for one in gate.writer.received} == {"k1"}


async def test_a_key_of_another_form_asks_again_under_a_new_one(
    gate: Portal, browser: Browser
) -> None:
    gate.writer.on(DECIDED, problem(422, "key-reused"))

    assert (await decide(browser)).status == 422
    shown = asked_again(gate)
    assert "sent before" in shown["notice"]
    assert "idempotency_key" not in shown["values"]


async def test_when_the_writer_is_away_the_same_form_can_be_sent_again(
    gate: Portal, browser: Browser
) -> None:
    for broken, status in (
        (raw(b"", close=True), 503),
        (problem(503, "unavailable", detail="Postgres"), 503),
        (answer(b"<html>no answer of ours"), 502),
    ):
        gate.writer.on(DECIDED, broken)
        answered = await decide(browser, reason="typed")
        assert (answered.status, answered.body) == (status, PAGE)
        assert (answered.header("retry-after") is not None) == (status == 503)
        shown = asked_again(gate)
        assert shown["values"] == {
            "status": "APPROVED", "reason": "typed", "idempotency_key": "k1",
        }  # fmt: skip
        assert "not be done twice" in shown["notice"]


async def test_when_no_page_can_be_had_a_plain_one_says_what_was_wrong(
    gate: Portal, browser: Browser
) -> None:
    gate.query.default = raw(b"", close=True)
    gate.writer.on(DECIDED, problem(412, "precondition-failed", detail="It is <260.00> now."))
    answered = await decide(browser)
    assert answered.status == 412
    assert "It is &lt;260.00&gt; now." in answered.text

    results = [{"repair_id": ONE, "status": 200, "repair": {}}, {"repair_id": ONE, "status": 404}]
    body = json.dumps({"results": results}).encode()
    gate.writer.on("/customer/api/repairs/status/", answer(body))
    answered = await submit(browser, LIST, ("repair", ONE), ("idempotency_key", "k"))
    assert answered.status == 200
    assert "<h1>Not all of your decisions were recorded</h1>" in answered.text
    assert "1 of 2 decisions were recorded" in answered.text


async def test_another_customers_repair_is_no_page(gate: Portal, browser: Browser) -> None:
    gate.writer.on(DECIDED, problem(404, "repair-unknown"))
    answered = await decide(browser)
    assert answered.status == 404
    assert "There is no such page" in answered.text


async def test_a_form_with_too_much_or_without_its_parts_changes_nothing(
    gate: Portal, browser: Browser
) -> None:
    assert (await decide(browser, reason="x" * 70_000)).status == 413
    answered = await decide(browser, etag="")
    assert answered.status == 422
    assert "hidden field" in asked_again(gate)["notice"]
    many = [("repair", str(n)) for n in range(600)]
    assert (await submit(browser, LIST, *many)).status == 403, "no page of ours sends so many"
    assert not gate.writer.received


async def test_what_was_typed_comes_back_after_the_session_ended(
    gate: Portal, browser: Browser
) -> None:
    await gate.execute("DELETE FROM gateway.session")
    target = "/customer/repairs/new/?unit=A1"
    typed = (("unit_number", 'A"1<'), ("description-1", "two\nlines"), ("etag", TAG))

    told = await submit(browser, target, *typed, ("idempotency_key", "k"))

    assert told.status == 403
    assert "Your session has ended" in told.text
    assert 'name="kept.unit_number" value="A&#34;1&lt;"' in told.text
    assert 'name="next" value="/customer/repairs/new/?unit=A1"' in told.text
    assert "kept.etag" not in told.text
    fields = [
        ("next", target), ("username", "anna"), ("kept.unit_number", 'A"1<'),
        ("kept.description-1", "two\r\nlines"),
    ]  # fmt: skip
    wrong = await submit(browser, "/accounts/login/", *fields, ("password", "wrong"))
    assert 'name="kept.unit_number" value="A&#34;1&lt;"' in wrong.text
    assert not gate.query.received

    back = await submit(browser, "/accounts/login/", *fields, ("password", PASSWORD))

    assert (back.status, back.body) == (200, PAGE)
    assert gate.query.received[-1].target == target
    shown = asked_again(gate)
    assert shown["values"] == {"unit_number": 'A"1<', "description-1": "two\nlines"}
    assert "nothing of it has been sent" in shown["notice"]
    assert not gate.writer.received
    gate.writer.on("/customer/api/repairs/", answer(
        json.dumps({"repairs": [{"repair_id": ONE}]}).encode(), 201, portal_revision="3",
    ))  # fmt: skip
    sent = await submit(browser, target, *typed, ("idempotency_key", "k"))
    assert sent.status == 303, "the new session and the new token are in the browser"


async def test_what_is_kept_leads_to_forms_of_ours_alone(gate: Portal) -> None:
    browser = await gate.signed_in()
    for target, leads_to in (
        ("/customer/api/repairs/", "/customer/api/repairs/"), ("/customer/units/?year=2026",) * 2,
        ("//evil.test/customer/profile/", "/customer/dashboard/"), ("/nowhere/", "/nowhere/"),
    ):  # fmt: skip
        answered = await browser.sign_in("anna", PASSWORD, next=target, **{"kept.a": "b"})
        assert (answered.status, answered.header("location")) == (302, leads_to)
    assert not gate.query.received
