"""Known attacks on the portal's pages, forms and calls."""

import json
from urllib.parse import urlencode

import pytest

from gateway.routes import ROUTES, Kind, Refusals, Route, Who
from gateway.testing.browser import Answered, Browser
from gateway.testing.portal import Portal
from gateway.testing.wire import answer

ONE = "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"
CUSTOMERS = [row for row in ROUTES if row.who is Who.CUSTOMER]
CHANGES = [row for row in CUSTOMERS if "GET" not in row.methods]
FORMS = [row for row in CUSTOMERS if row.kind is Kind.FORM]
HTML = "text/html; charset=utf-8"
EVIL = '"><script>alert(1)</script>=cmd|A1'


def path_of(path: str) -> str:
    return path.replace("{id}", ONE)


async def send(browser: Browser, method: str, path: str, **headers: str) -> Answered:
    return await browser.ask(method, path, body=b"" if method != "GET" else None, **headers)


@pytest.mark.parametrize("row", CUSTOMERS, ids=lambda row: row.name)
async def test_no_row_of_a_customer_answers_a_stranger(gate: Portal, row: Route) -> None:
    assert row in CUSTOMERS
    browser = gate.browser()
    await browser.token()
    token = browser.cookies["csrftoken"]
    answered = await send(browser, row.methods[0], path_of(row.path), X_CSRFToken=token)
    sent_away = (302, f"/accounts/login/?next={path_of(row.path)}")
    in_a_form = (403, None)
    expected = in_a_form if row.kind is Kind.FORM else sent_away
    assert (answered.status, answered.header("location")) == expected
    assert not gate.query.received
    assert not gate.writer.received


async def test_every_change_needs_the_token_of_a_page_and_its_own_origin(gate: Portal) -> None:
    browser = await gate.signed_in()
    token = browser.cookies["csrftoken"]
    for row in CHANGES:
        path, method = path_of(row.path), row.methods[0]
        for headers in (
            {}, {"X-CSRFToken": "x" * 32},
            {"X-CSRFToken": token, "Origin": "https://evil.test"},
            {"X-CSRFToken": token, "Origin": "null"},
            {"X-CSRFToken": token, "Sec-Fetch-Site": "cross-site"},
            {"X-CSRFToken": token, "Sec-Fetch-Site": "same-site"},
        ):  # fmt: skip
            answered = await send(browser, method, path, **headers)
            assert answered.status == 403, (path, headers)
    assert not gate.writer.received
    assert not gate.query.received


async def test_a_method_that_a_page_does_not_have_is_refused_and_not_overridden(
    gate: Portal,
) -> None:
    browser = await gate.signed_in()
    token = browser.cookies["csrftoken"]
    for row in CUSTOMERS:
        path = path_of(row.path)
        for method in ("PUT", "DELETE"):
            answered = await send(browser, method, path, X_CSRFToken=token)
            assert answered.status == 405, (method, path)
        assert (await browser.ask("OPTIONS", path)).status == 405
    await browser.get("/customer/profile/", X_HTTP_Method_Override="PATCH")
    assert gate.query.received[-1].method == "GET"
    assert not gate.writer.received


async def test_a_form_cannot_put_a_line_into_a_call(gate: Portal) -> None:
    gate.query.default = answer(b"<title>x</title>", content_type=HTML)
    browser = await gate.signed_in()
    forged = f'"{ONE}"\r\nX-Gateway-Token: forged\r\n\r\nGET /v1/repairs HTTP/1.1'
    for name in ("etag", "idempotency_key"):
        fields = {"status": "APPROVED", "etag": ONE, "idempotency_key": "k", name: forged}
        answered = await form(browser, f"/customer/repairs/{ONE}/", fields)
        assert answered.status == 422
    assert not gate.writer.received


async def test_a_forms_address_names_no_other_repair_customer_or_service(gate: Portal) -> None:
    browser = await gate.signed_in(customer_id=42)
    fields = {"status": "APPROVED", "etag": ONE, "idempotency_key": "k", "customer_id": "43"}
    for path in (
        "/customer/repairs/..%2f..%2fv1/", f"/customer/repairs/{ONE}%2fstatus/",
        "/customer/repairs/a/b/", f"/customer/repairs/{ONE}/status/",
    ):  # fmt: skip
        assert (await form(browser, path, fields)).status in {400, 404}
    assert not gate.writer.received
    gate.writer.default = answer(b"{}", portal_revision="2")
    await form(browser, f"/customer/repairs/{ONE}/?customer_id=43", fields)
    received = gate.writer.received[-1]
    assert received.target == f"/customer/api/repairs/{ONE}/status/"
    assert json.loads(received.body) == {"status": "APPROVED"}


async def test_what_is_typed_is_text_on_every_page_of_the_gateway(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("DELETE FROM gateway.session")
    fields = {"unit_number": EVIL, EVIL: EVIL, "idempotency_key": "k"}
    answered = await form(browser, f"/customer/repairs/new/?unit={urlencode({'': EVIL})}", fields)
    assert answered.status == 403
    assert EVIL not in answered.text
    assert "<script" not in answered.text
    assert "&#34;&gt;&lt;script&gt;" in answered.text


async def test_every_page_keeps_out_of_caches_and_allows_nothing_inline(gate: Portal) -> None:
    gate.query.default = answer(
        b"<title>x</title>", content_type=HTML, cache_control="public, max-age=60",
        content_security_policy="default-src *", set_cookie="sessionid=x",
    )  # fmt: skip
    browser = await gate.signed_in()
    pages = [row for row in CUSTOMERS if row.refusals is Refusals.PAGE and "GET" in row.methods]
    assert len(pages) == 7
    for row in pages:
        answered = await browser.get(path_of(row.path))
        assert answered.status == 200
        assert answered.all("cache-control") == ["no-store"]
        (policy,) = answered.all("content-security-policy")
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert all("sessionid" not in cookie for cookie in answered.all("set-cookie"))
        assert gate.query.received[-1].header("x-csrf-token")


async def test_bodies_are_bounded_before_anything_is_asked(gate: Portal) -> None:
    browser = await gate.signed_in()
    token = browser.cookies["csrftoken"]
    for row in CHANGES:
        answered = await browser.ask(
            row.methods[0],
            path_of(row.path),
            Content_Length=str(row.body_bytes + 1),
            Content_Type="application/x-www-form-urlencoded",
            X_CSRFToken=token,
        )
        assert answered.status == 413, row.name
    assert not gate.writer.received


async def form(browser: Browser, path: str, fields: dict[str, str]) -> Answered:
    token = browser.cookies["csrftoken"]
    return await browser.submit(path, {"csrfmiddlewaretoken": token, **fields})


async def test_every_form_is_a_page_as_well(gate: Portal) -> None:
    gate.query.default = answer(b"<title>x</title>", content_type=HTML)
    browser = await gate.signed_in()
    assert len(FORMS) == 4
    for row in FORMS:
        assert (await browser.get(path_of(row.path))).status == 200
