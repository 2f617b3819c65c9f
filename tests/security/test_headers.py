"""Headers: a client's claims never reach a service; a service's internals never reach a client."""

from typing import Any

from gateway.main import build
from gateway.testing.portal import KEYS_QUERY, Portal, portal
from gateway.testing.wire import answer, raw
from portal_access.token import QUERY, TokenVerifier
from service_runtime.clock import SystemClock

UNITS = "/customer/api/unit-repair-data/"
OURS = {"host", "x-gateway-token", "x-request-id", "x-forwarded-for"}


def customer_of(gate: Portal) -> int:
    token = gate.query.received[-1].header("x-gateway-token")
    assert token is not None
    return TokenVerifier(KEYS_QUERY, QUERY).verify(token, SystemClock().now()).customer_id


async def test_case_1_a_forged_identity_without_a_session_is_nobody(gate: Portal) -> None:
    answered = await gate.browser().get(UNITS, X_Gateway_Token="forged")

    assert answered.status == 302
    assert gate.query.received == []


async def test_case_2_3_a_forged_identity_beside_a_session_is_dropped(gate: Portal) -> None:
    browser = await gate.signed_in()
    browser.headers = {
        "X-Gateway-Token": "forged",
        "X_Gateway_Token": "forged",
        "x.gateway.token": "forged",
        "X-GATEWAY-TOKEN": "forged again",
        "X_Identity": "8",
        "X-IDENTITY": "8",
    }

    assert (await browser.get(UNITS)).status == 200

    assert {name.lower() for name, _ in gate.query.received[-1].headers} <= OURS
    assert customer_of(gate) == 42


async def test_case_4_5_6_7_11_12_other_claims_are_dropped(gate: Portal) -> None:
    browser = await gate.signed_in()
    claims = (
        "X-Customer-Id", "Remote-User", "X-Forwarded-User", "X-Auth-Request-Email",
        "Authorization", "Proxy-Authorization", "Keep-Alive", "TE", "Trailer", "Proxy-Connection",  # codespell:ignore te
        "HTTP2-Settings", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
        "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-URL",
        "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Request-Id", "Accept-Encoding", "Range",
    )  # fmt: skip
    browser.headers = dict.fromkeys(claims, "8")
    browser.headers["Expect"] = "100-continue"

    assert (await browser.get(f"{UNITS}?_method=DELETE")).status == 200

    received = gate.query.received[-1]
    assert received.method == "GET"
    assert {name.lower() for name, _ in received.headers} <= OURS
    assert received.header("x-request-id") != "8"
    assert customer_of(gate) == 42


async def test_case_8_a_stranger_does_not_choose_its_address(gate: Portal) -> None:
    browser = await gate.signed_in()

    await browser.get(UNITS, X_Forwarded_For="6.6.6.6")

    assert gate.query.received[-1].header("x-forwarded-for") == "127.0.0.1"


async def test_case_9_10_behind_our_proxy_the_last_strange_hop_counts(database: Any) -> None:
    async with portal(build, database.gateway_url, gateway_trusted_proxies="127.0.0.0/8") as gate:
        browser = await gate.signed_in()
        for forwarded, client in (
            ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
            ("a", "127.0.0.1"),
            ("", "127.0.0.1"),
            ("x" * 10_000, "127.0.0.1"),
            ("fe80::1%eth0", "127.0.0.1"),
        ):
            assert (await browser.get(UNITS, X_Forwarded_For=forwarded)).status == 200
            assert gate.query.received[-1].header("x-forwarded-for") == client


async def test_case_13_a_probes_name_opens_nothing(gate: Portal) -> None:
    for agent in ("kube-probe/1.0", "GoogleHC/1.0", "ELB-HealthChecker/2.0"):
        assert (await gate.browser().get(UNITS, User_Agent=agent)).status == 302


async def test_case_14_what_a_service_says_of_itself_is_dropped(gate: Portal) -> None:
    gate.query.on(
        UNITS,
        answer(
            set_cookie="sessionid=x", x_identity="8", server="uvicorn", x_powered_by="x",
            access_control_allow_origin="*", x_gateway_token="leak",
        ),
    )  # fmt: skip
    browser = await gate.signed_in()

    answered = await browser.get(UNITS)

    names = {name for name, _ in answered.headers}
    assert answered.status == 200
    assert not names & {
        "set-cookie", "x-identity", "server", "x-powered-by", "access-control-allow-origin",
        "x-gateway-token",
    }  # fmt: skip


async def test_case_58_nothing_secret_is_in_logs_or_behind_us(gate: Portal, capfd: Any) -> None:
    browser = await gate.signed_in()
    session, token = browser.cookies["sessionid"], browser.cookies["csrftoken"]
    await browser.get(f"{UNITS}?secret=querysecret")
    gate.gateway.log.flush()

    said = capfd.readouterr().out
    behind = str(gate.query.received)
    assert '"route":"unit-repair-data"' in said
    for secret in (session, token, "correct horse", "querysecret"):
        assert secret not in said
        assert secret not in behind


async def test_case_73_no_other_origin_is_let_in(gate: Portal) -> None:
    browser = await gate.signed_in()

    answered = await browser.ask(
        "OPTIONS", UNITS, Origin="https://evil.test", Access_Control_Request_Method="GET"
    )

    assert answered.status == 405
    assert not any(name.startswith("access-control") for name, _ in answered.headers)


async def test_case_81_answers_are_private_and_every_answer_is_guarded(gate: Portal) -> None:
    gate.query.on("/customer/api/repairs/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"))
    gate.query.on(UNITS, answer(cache_control="private, no-cache", etag='"42.1.2.x"'))
    browser = await gate.signed_in()

    for path in (UNITS, "/customer/api/repairs/"):
        answered = await browser.get(path)
        assert answered.header("cache-control") == "private, no-cache"
        assert answered.header("vary") == "Cookie"
    for path in (UNITS, "/nope/", "/accounts/login/", "/", "/customer/api/unit-repair-data"):
        answered = await gate.browser().get(path)
        assert answered.header("x-frame-options") == "DENY"
        assert answered.header("x-content-type-options") == "nosniff"
        assert answered.header("referrer-policy") == "same-origin"
        assert answered.header("cross-origin-opener-policy") == "same-origin"
        assert "default-src 'none'" in (answered.header("content-security-policy") or "")
        assert answered.header("x-request-id")
