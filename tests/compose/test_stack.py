"""The whole system in containers, used through its one port as a customer, an internal system and
an operator do.

It builds the images and waits for everything, which takes minutes: only `./dev test --long` runs
it.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.compose.images import IMAGES
from tests.compose.stack import PASSWORD, Stack
from tests.compose.visitors import MONTHS, STATUSES, UNITS, Browser, InternalSystem

PROCESSES = ("writer", "relay", "projector-1", "projector-2", "query", "gateway")

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]


@pytest.fixture(scope="module")
def stack(
    root: Path, compose: list[str], env_file: Path, needs_images: Callable[..., None]
) -> Iterator[Stack]:
    """Yield the running system: `deploy/compose/secrets`, then `docker compose up --wait`."""
    needs_images(*IMAGES)
    stack = Stack(root, compose, env_file)
    try:
        stack.compose("up", "--wait", "--wait-timeout", "600")
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="module")
def writer(stack: Stack) -> InternalSystem:
    key = stack.new_key("repairs:write,repairs:read,customers:write,history:read")
    return InternalSystem(stack.address, key)


@pytest.fixture(scope="module")
def customer(stack: Stack, writer: InternalSystem) -> Browser:
    """Return a signed-in customer without repairs."""
    status, answer = writer.send("PUT", "/v1/customers/7001", profile("Harbor Freight Lines"))
    assert status in {200, 201}, answer
    stack.add_user("harbor", "--customer", "7001")
    browser = Browser(stack.address)
    status, headers, _ = browser.sign_in("harbor", PASSWORD)
    assert (status, headers["location"]) == (302, UNITS)
    return browser


def profile(name: str) -> dict[str, str]:
    return {
        "name": name,
        "email": "office@harbor.example",
        "phone": "+1 414 555 0120",
        "address": "2 Dock Street",
        "city": "Milwaukee",
        "state": "WI",
        "postal_code": "53202",
    }


def repair(unit: str, date: str, number: int) -> dict[str, Any]:
    return {
        "customer_id": 7001,
        "unit_number": unit,
        "repair_date": date,
        "status": "REQUESTED",
        "description": "chip in the passenger's field of view",
        "damage_type": "chip",
        "cost": "120.00",
        "source": "test",
        "source_ref": f"T-{number}",
    }


def eventually(ask: Callable[[], Any], wanted: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    seen = ask()
    while seen != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
        seen = ask()
    assert seen == wanted


@pytest.mark.parametrize("path", [UNITS, MONTHS])
def test_who_is_not_signed_in_is_sent_to_the_login(stack: Stack, path: str) -> None:
    status, headers, body = Browser(stack.address).ask(path)

    assert (status, headers["location"], body) == (302, f"/accounts/login/?next={path}", b"")
    assert headers["vary"] == "Cookie"


def test_a_user_without_a_customer_is_told_so(stack: Stack) -> None:
    stack.add_user("nobody")
    browser = Browser(stack.address)
    browser.sign_in("nobody", PASSWORD)
    status, _, body = browser.ask(UNITS)

    assert (status, body) == (404, b'{"error": "Customer profile not found"}')


def units(browser: Browser) -> dict[str, int]:
    return {row["unit_number"]: row["repair_count"] for row in browser.json(UNITS)}


def months(browser: Browser) -> dict[str, int]:
    return {row["date"]: row["count"] for row in browser.json(MONTHS)}


def statuses(browser: Browser) -> dict[str, int]:
    return {row["status"]: row["count"] for row in browser.json(STATUSES)}


def total(browser: Browser) -> set[int]:
    """Return the sum of each of the three counts; one number when they agree."""
    return {sum(counts(browser).values()) for counts in (units, months, statuses)}


def test_a_repair_is_counted_where_it_stands_and_moves_when_it_changes(
    customer: Browser, writer: InternalSystem
) -> None:
    (before,) = total(customer)
    status, made = writer.send("POST", "/v1/repairs", repair("TRUCK-9", "2026-02-28T12:00:00Z", 1))
    assert status == 201, made
    eventually(lambda: units(customer).get("TRUCK-9"), 1)
    assert months(customer)["2026-02"] == 1

    path = f"/v1/repairs/{made['repair_id']}"
    change = {"repair_date": "2026-04-02T12:00:00Z", "unit_number": "TRUCK-10", "reason": "misread"}
    status, answer = writer.send("PATCH", path, change)
    assert status == 200, answer
    eventually(lambda: units(customer).get("TRUCK-10"), 1)
    assert "TRUCK-9" not in units(customer)
    assert "2026-02" not in months(customer)
    assert months(customer)["2026-04"] == 1

    status, answer = writer.send("POST", f"{path}/status", {"status": "APPROVED"})
    assert status == 200, answer
    eventually(lambda: statuses(customer)["APPROVED"], 1)

    status, answer = writer.send("DELETE", path, {"reason": "entered twice"})
    assert status == 200, answer
    eventually(lambda: total(customer), {before})


def test_an_import_of_thousands_goes_through_the_one_port(
    customer: Browser, writer: InternalSystem
) -> None:
    (before,) = total(customer)
    lines = [repair(f"BUS-{n % 40}", f"2025-{1 + n % 12:02}-10T12:00:00Z", 1_000 + n) for n in range(3_000)]  # fmt: skip
    status, _, body = writer.ask(
        "/v1/repairs/import",
        method="POST",
        body=b"".join(json.dumps(line).encode() + b"\n" for line in lines),
        Content_Type="application/x-ndjson",
        Authorization=f"Bearer {writer.key}",
    )

    assert status == 200, body[:500]
    assert len(body.splitlines()) == 3_000
    eventually(lambda: total(customer), {before + 3_000}, 60)


def test_the_dashboard_holds_the_counts(customer: Browser) -> None:
    status, headers, body = customer.ask("/customer/dashboard/")

    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert b'<script id="repair_status_counts" type="application/json">' in body


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/v1x", "/docs", "/customer/api/unknown/"])
def test_nothing_else_is_reached_from_outside(customer: Browser, path: str) -> None:
    assert customer.ask(path)[0] == 404


def test_the_writer_answers_nobody_without_a_key(stack: Stack) -> None:
    assert Browser(stack.address).ask("/v1/heads")[0] == 401


def test_two_gateways_know_the_same_session(stack: Stack, customer: Browser) -> None:
    stack.compose("up", "--wait", "--no-recreate", "--scale", "gateway=2", "gateway")

    def gateways_asked() -> int:
        customer.json(UNITS)
        asked = {json.loads(line)["upstream"] for line in _edge_log(stack)}
        return len({address for address in asked if re.fullmatch(r"[\d.]+:8080", address)})

    eventually(gateways_asked, 2)


def _edge_log(stack: Stack) -> list[str]:
    log = stack.compose("logs", "--no-log-prefix", "--tail", "200", "nginx")
    return [line for line in log.splitlines() if '"path":"/customer' in line]


def test_a_projector_that_dies_is_relieved_by_the_other(
    stack: Stack, customer: Browser, writer: InternalSystem
) -> None:
    (before,) = total(customer)
    stack.compose("kill", "projector-1")
    for number in range(20):
        status, answer = writer.send(
            "POST", "/v1/repairs", repair("VAN-1", "2026-05-05T12:00:00Z", 9_000 + number)
        )
        assert status == 201, answer
    eventually(lambda: total(customer), {before + 20}, 90)
    stack.compose("up", "--wait", "projector-1")


@pytest.mark.parametrize("process", ["writer", "query", "gateway"])
def test_an_image_has_no_compiler_and_nothing_of_its_own_to_write_to(
    stack: Stack, process: str
) -> None:
    script = """
        id -u
        command -v cc gcc g++ clang make ld || echo none
        for folder in / /opt/app /usr/local/bin /home; do
            if touch "$folder/x" 2>/dev/null; then echo "$folder can be written to"; fi
        done
        grep -E '^(CapEff|NoNewPrivs)' /proc/1/status
    """
    printed = stack.compose("exec", "-T", process, "sh", "-c", script).split()

    assert printed == ["10001", "none", "CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


def test_a_process_that_is_killed_comes_back_by_itself(stack: Stack, customer: Browser) -> None:
    (before,) = total(customer)
    script = """
        for process in /proc/[0-9]*; do
            case $(tr '\\0' ' ' <"$process/cmdline") in "python -m"*) kill -9 "${process#/proc/}" ;; esac
        done
    """
    stack.compose("exec", "-T", "query", "sh", "-c", script)

    eventually(lambda: customer.ask(UNITS)[0], 200, 60)
    assert total(customer) == {before}


def test_prometheus_sees_every_process_and_holds_our_rules(stack: Stack) -> None:
    def asked(path: str) -> Any:
        url = f"http://127.0.0.1:9090/api/v1/{path}"
        return json.loads(stack.compose("exec", "-T", "prometheus", "wget", "-qO-", url))["data"]

    def seen() -> set[str]:
        targets = asked("targets?state=active")["activeTargets"]
        return {t["discoveredLabels"]["__meta_dns_name"].rstrip(".") for t in targets if t["health"] == "up" and t["labels"]["job"] != "prometheus"}  # fmt: skip

    eventually(seen, set(PROCESSES), 60)
    assert asked("rules")["groups"]


def test_every_process_leaves_in_peace_and_all_comes_back_with_its_data(
    stack: Stack, customer: Browser
) -> None:
    (before,) = total(customer)
    stack.compose("stop")
    states = [json.loads(line) for line in stack.compose("ps", "--all", "--format", "json").splitlines()]  # fmt: skip
    codes = {s["Service"]: s["ExitCode"] for s in states if s["Service"] in PROCESSES}
    stack.compose("up", "--wait")

    assert codes == dict.fromkeys(PROCESSES, 0)
    eventually(lambda: total(customer), {before}, 60)
