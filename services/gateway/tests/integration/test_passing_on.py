"""Requests to a service and its responses, and the client's error when a service fails."""

import asyncio
import json
from typing import Any

import pytest

from gateway.main import build
from gateway.testing.portal import KEYS_QUERY, KEYS_WRITER, Portal, portal
from gateway.testing.wire import Received, answer, raw
from portal_access.token import QUERY, WRITER, TokenVerifier
from service_runtime.clock import SystemClock

UNITS = "/customer/api/unit-repair-data/"
MONTHS = "/customer/api/repair-cost-data/"
REPAIRS = "/customer/api/repairs/"
DASHBOARD = "/customer/dashboard/"
BODY = b'[{"unit_number": "A123", "repair_count": 8}]'


LONG = "q" * 8_001


@pytest.mark.parametrize(
    ("target", "media_type"),
    [
        (f"{UNITS}?{LONG}", "application/json"),
        (f"{REPAIRS}?{LONG}", "application/problem+json"),
        (f"{REPAIRS}x-1/?{LONG}", "application/problem+json"),
        (f"{REPAIRS}{LONG}/", "application/problem+json"),
        (f"/customer/api/docs/?{LONG}", "text/html; charset=utf-8"),
        (f"/customer/repairs/?{LONG}", "text/html; charset=utf-8"),
        (f"/customer/{LONG}/", "text/html; charset=utf-8"),
    ],
)
async def test_an_address_too_long_is_refused_in_the_shape_of_its_place(
    gate: Portal, target: str, media_type: str
) -> None:
    answered = await (await gate.signed_in()).get(target)

    assert (answered.status, answered.header("content-type")) == (414, media_type)
    assert answered.header("x-request-id")
    if media_type == "application/json":
        assert json.loads(answered.body) == {"error": "Address too long"}
    elif media_type == "application/problem+json":
        said = json.loads(answered.body)
        assert (said["status"], said["code"]) == (414, "address-too-long")
        assert said["request_id"] == answered.header("x-request-id")
    else:
        assert "This address is too long" in answered.text
    assert gate.query.received == []


async def test_a_documented_answer_passes_byte_for_byte(gate: Portal) -> None:
    gate.query.on(
        UNITS,
        answer(
            BODY, etag='"42.1.7.x"', cache_control="private, no-cache", portal_revision="7",
            portal_refold="1", portal_as_of="2026-03-01T12:00:00Z", portal_lag="0.5",
        ),
    )  # fmt: skip
    browser = await gate.signed_in()

    answered = await browser.get(UNITS)

    assert answered.status == 200
    assert answered.body == BODY
    assert answered.header("content-type") == "application/json"
    assert answered.header("content-length") == str(len(BODY))
    assert answered.header("vary") == "Cookie"
    assert answered.header("etag") == '"42.1.7.x"'
    assert answered.header("portal-revision") == "7"
    assert answered.header("portal-lag") == "0.5"


async def test_a_head_has_the_headers_of_a_get(gate: Portal) -> None:
    gate.query.on(UNITS, answer(BODY, etag='"1"'))
    browser = await gate.signed_in()

    get, head = await browser.get(UNITS), await browser.ask("HEAD", UNITS)

    varying = {"date", "x-request-id"}
    assert head.body == b""
    assert [h for h in head.headers if h[0] not in varying] == [
        h for h in get.headers if h[0] not in varying
    ]


async def test_the_identity_is_the_sessions_and_for_that_service(gate: Portal) -> None:
    browser = await gate.signed_in(customer_id=42)

    await browser.get(UNITS)
    token = browser.cookies["csrftoken"]
    await browser.ask(
        "POST", REPAIRS, body=b"{}", Content_Type="application/json", X_CSRFToken=token
    )

    now = SystemClock().now()
    for service, keys, audience in (
        (gate.query, KEYS_QUERY, QUERY),
        (gate.writer, KEYS_WRITER, WRITER),
    ):
        text = service.received[-1].header("x-gateway-token")
        assert text is not None
        identity = TokenVerifier(keys, audience).verify(text, now)
        assert (identity.username, identity.customer_id) == ("anna", 42)
        assert identity.session not in browser.cookies["sessionid"]


async def test_a_condition_travels_and_304_comes_back(gate: Portal) -> None:
    gate.query.on(UNITS, raw(b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n'))
    browser = await gate.signed_in()

    answered = await browser.get(UNITS, If_None_Match='"1"')

    assert answered.status == 304
    assert answered.body == b""
    assert answered.header("content-length") is None
    assert answered.header("etag") == '"1"'
    assert gate.query.received[-1].header("if-none-match") == '"1"'


async def test_a_query_string_goes_only_where_it_means_something(gate: Portal) -> None:
    browser = await gate.signed_in()

    await browser.get(f"{UNITS}?customer=8&x=%20")
    await browser.get(f"{REPAIRS}?status=PENDING&unit=A%20B")

    assert [r.target for r in gate.query.received] == [
        UNITS,
        f"{REPAIRS}?status=PENDING&unit=A%20B",
    ]


async def test_a_command_travels_with_its_conditions(gate: Portal) -> None:
    browser = await gate.signed_in()
    gate.writer.on(f"{REPAIRS}a-b/status/", answer(b'{"ok": 1}', 200, portal_revision="9"))

    answered = await browser.ask(
        "POST",
        f"{REPAIRS}a-b/status/",
        body=b'{"status": "APPROVED"}',
        Content_Type="application/json",
        If_Match='"e1"',
        Idempotency_Key="k-1",
        X_CSRFToken=browser.cookies["csrftoken"],
    )

    received = gate.writer.received[-1]
    assert answered.status == 200
    assert answered.header("portal-revision") == "9"
    assert (received.method, received.target) == ("POST", f"{REPAIRS}a-b/status/")
    assert received.body == b'{"status": "APPROVED"}'
    assert received.header("if-match") == '"e1"'
    assert received.header("idempotency-key") == "k-1"
    assert received.header("x-csrftoken") is None


async def test_each_path_has_its_methods_and_says_so(gate: Portal) -> None:
    browser = await gate.signed_in()
    token = browser.cookies["csrftoken"]

    for path, allow in (
        (UNITS, "GET, HEAD"),
        (REPAIRS, "GET, HEAD, POST"),
        (f"{REPAIRS}status/", "POST"),
        ("/customer/api/profile/", "GET, HEAD, PATCH"),
        (DASHBOARD, "GET, HEAD"),
    ):
        answered = await browser.ask("DELETE", path, X_CSRFToken=token)
        assert (answered.status, answered.header("allow")) == (405, allow)
        assert answered.body == b""
        assert answered.header("vary") == "Cookie"
    assert gate.writer.received == []


async def test_the_dashboard_gets_a_token_for_its_forms(gate: Portal) -> None:
    gate.query.on(
        DASHBOARD,
        answer(b"<p>", 200, "text/html; charset=utf-8", etag='"1"', cache_control="public"),
    )
    browser = await gate.signed_in()
    browser.cookies.pop("csrftoken")

    answered = await browser.get(DASHBOARD)
    token = gate.query.received[-1].header("x-csrf-token")

    assert answered.header("cache-control") == "no-store"
    assert answered.header("etag") is None
    assert "csrftoken" in browser.cookies
    signed_out = await browser.submit("/accounts/logout/", {"csrfmiddlewaretoken": token or ""})
    assert signed_out.status == 302


async def test_a_token_from_outside_never_reaches_a_page(gate: Portal) -> None:
    browser = await gate.signed_in()

    await browser.get(DASHBOARD, X_Csrf_Token="evil")

    assert gate.query.received[-1].header("x-csrf-token") != "evil"


async def test_static_files_are_public_and_asked_for_without_an_identity(gate: Portal) -> None:
    gate.query.on(
        "/static/portal/app.css",
        answer(b"p {}", 200, "text/css", etag='"1"', cache_control="public, max-age=60"),
    )

    answered = await gate.browser().get(
        "/static/portal/app.css?v=1", Cookie="sessionid=" + "a" * 32
    )

    received = gate.query.received[-1]
    assert answered.status == 200
    assert answered.header("cache-control") == "public, max-age=60"
    assert answered.header("vary") is None
    assert answered.all("set-cookie") == []
    assert received.target == "/static/portal/app.css"
    assert received.header("x-gateway-token") is None
    assert received.header("cookie") is None


async def test_our_own_files_stay_in_the_browser(gate: Portal) -> None:
    page = (await gate.browser().get("/accounts/login/")).text
    css = page.partition('rel="stylesheet" href="')[2].partition('"')[0]

    first = await gate.browser().get(css)
    again = await gate.browser().get(css, If_None_Match=first.header("etag") or "")
    other = await gate.browser().get("/static/gateway/gateway.css")

    assert (first.status, again.status, other.status) == (200, 304, 404)
    assert first.header("content-type") == "text/css; charset=utf-8"
    assert "immutable" in (first.header("cache-control") or "")


async def test_home_leads_to_the_dashboard(gate: Portal) -> None:
    for path in ("/", "/customer/"):
        answered = await gate.browser().get(path)
        assert (answered.status, answered.header("location")) == (302, DASHBOARD)
    slashless = await gate.browser().get("/customer?x=1")
    assert (slashless.status, slashless.header("location")) == (301, "/customer/?x=1")


TRACEBACK = b"Traceback (most recent call last): secret at /srv/app.py"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (UNITS, "application/json"),
        (REPAIRS, "application/problem+json"),
        (DASHBOARD, "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("status", [500, 502, 504, 599])
async def test_what_a_service_says_of_its_own_faults_stays_inside(
    gate: Portal, path: str, kind: str, status: int
) -> None:
    gate.query.on(path, answer(TRACEBACK, status, "text/plain"))
    browser = await gate.signed_in()

    answered = await browser.get(path)

    assert answered.status == 500
    assert b"secret" not in answered.body
    assert answered.header("content-type") == kind
    assert answered.header("x-request-id") == gate.query.received[-1].header("x-request-id")


async def test_a_documented_fault_is_worded_as_documented(gate: Portal) -> None:
    gate.query.on(UNITS, answer(TRACEBACK, 500))
    gate.query.on(MONTHS, answer(b"{}", 503, retry_after="4"))
    browser = await gate.signed_in()

    fault, away = await browser.get(UNITS), await browser.get(MONTHS)

    assert fault.body == b'{"error": "Server error"}'
    assert away.status == 503
    assert away.all("retry-after") == ["4"]
    assert away.body == b'{"error": "Service temporarily unavailable"}'


async def test_an_extensions_own_503_passes(gate: Portal) -> None:
    body = json.dumps({"code": "not-yet"}).encode()
    gate.query.on(REPAIRS, answer(body, 503, "application/problem+json", retry_after="1"))
    browser = await gate.signed_in()

    answered = await browser.get(REPAIRS, Portal_Min_Revision="9")

    assert (answered.status, answered.body) == (503, body)
    assert answered.header("retry-after") == "1"
    assert gate.query.received[-1].header("portal-min-revision") == "9"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401])
async def test_a_status_between_us_and_a_service_is_a_502(gate: Portal, status: int) -> None:
    gate.query.on(UNITS, answer(b"{}", status, location="http://evil.test/"))
    browser = await gate.signed_in()

    answered = await browser.get(UNITS)

    assert answered.status == 502
    assert answered.header("location") is None
    assert answered.body == b'{"error": "Server error"}'


async def test_a_long_answer_passes_whole(gate: Portal) -> None:
    body = json.dumps([{"unit_number": f"U{n}", "repair_count": 1} for n in range(60_000)]).encode()
    gate.query.on(UNITS, answer(body))
    browser = await gate.signed_in()

    get, head = await browser.get(UNITS), await browser.ask("HEAD", UNITS)

    assert get.body == body
    assert head.header("content-length") == get.header("content-length") == str(len(body))
    assert head.body == b""


async def test_a_long_answer_that_breaks_off_is_cut_and_not_ended(gate: Portal) -> None:
    async def broken(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + b"x" * 400_000)
        await writer.drain()
        writer.close()

    gate.query.on(UNITS, broken)
    browser = await gate.signed_in()

    with pytest.raises(ValueError, match="cut short"):
        await browser.get(UNITS)


async def test_a_bug_of_ours_is_told_by_its_number_alone(
    gate: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await gate.signed_in()

    async def bug(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("gateway.proxy.Proxy.forward", bug)
    answered = await browser.get(UNITS)

    assert answered.status == 500
    assert answered.body == b'{"error": "Server error"}'
    assert answered.header("x-request-id")


async def test_a_repair_of_somebody_is_found_only_by_a_service(gate: Portal) -> None:
    gate.query.on(
        f"{REPAIRS}0192-x/", answer(b'{"code": "not-found"}', 404, "application/problem+json")
    )
    browser = await gate.signed_in()

    answered = await browser.get(f"{REPAIRS}0192-x/")

    assert (answered.status, answered.body) == (404, b'{"code": "not-found"}')


async def test_an_extension_without_a_profile_says_so(gate: Portal) -> None:
    browser = await gate.signed_in(customer_id=None)

    answered = await browser.get(REPAIRS)
    page = await browser.get(DASHBOARD)

    assert answered.status == 404
    assert answered.header("content-type") == "application/problem+json"
    assert json.loads(answered.body)["code"] == "customer-profile-not-found"
    assert page.status == 404
    assert "No customer profile" in page.text
    assert 'action="/accounts/logout/"' in page.text
    assert gate.query.received == []


async def test_requests_may_be_bounded_by_a_setting(database: Any) -> None:
    async with portal(build, database.gateway_url, gateway_session_rate=3) as gate:
        browser = await gate.signed_in()
        answers = [await browser.get(UNITS) for _ in range(4)]

    assert [answered.status for answered in answers] == [200, 200, 200, 429]
    assert answers[0].header("ratelimit-policy") == '"session";q=3;w=60'
    assert (answers[0].header("ratelimit") or "").startswith('"session";r=2;t=')
    assert answers[-1].body == b'{"error": "Too many requests"}'
    assert int(answers[-1].header("retry-after") or 0) >= 1


async def test_the_bound_holds_for_what_the_gateway_answers_by_itself(database: Any) -> None:
    async with portal(build, database.gateway_url, gateway_session_rate=3) as gate:
        browser = await gate.signed_in()
        answers = [await browser.get("/accounts/session/") for _ in range(4)]

    assert [answered.status for answered in answers] == [200, 200, 200, 429]
    assert answers[-1].header("content-type") == "application/problem+json"
