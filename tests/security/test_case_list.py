"""Known attacks on gateways: each has a test here or a reference to one elsewhere.

A test carries its numbers in its name: `test_case_15_16_...`. The file cases.md explains the
numbers.
"""

import re
from pathlib import Path

LIST = (Path(__file__).parent / "cases.md").read_text()
CASES = {int(number) for number in re.findall(r"^\| (\d+) \|", LIST, re.MULTILINE)}

_GATEWAY = "services/gateway/tests/integration"
ELSEWHERE = {
    40: "limits of time, at exact moments: shared/tests/integration/test_http_protocol.py",
    50: "a password changed by an operator: services/gateway/tests/integration/test_admin.py",
    52: "a hash renewed at login: services/gateway/tests/integration/test_sign_in.py",
    56: "no 200 after a deletion under load: services/gateway/tests/integration/test_visitors.py",
    79: "tokens that services must refuse: shared/tests/unit/test_token.py",
    122: f"a name of nobody: {_GATEWAY}/test_known_devices.py",
    123: f"devices that are not known: {_GATEWAY}/test_known_devices.py",
    124: f"several session cookies: {_GATEWAY}/test_session_cookies.py",
    125: f"several CSRF cookies: {_GATEWAY}/test_session_cookies.py",
    126: f"rows of strangers in the audit table: {_GATEWAY}/test_known_devices.py",
    127: f"a flood of password checks: {_GATEWAY}/test_known_devices.py",
    90: "API keys belong to the writer, which no customer reaches: services/repair-writer/tests",
    94: "an API key in a trailer: services/repair-writer/tests/integration/test_framing.py",
    96: "too many connections: shared/tests/integration/test_http_protocol.py",
    97: "an answer that nobody reads: shared/tests/integration/test_http_protocol.py",
    98: "too many requests: shared/tests/integration/test_admission.py",
    112: "work on a cookie: services/gateway/tests/unit/test_request.py",
    113: "places that a stranger holds: shared/tests/integration/test_admission.py",
}


def numbered_here() -> set[int]:
    numbers: set[int] = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        for name in re.findall(r"def test_case((?:_\d+)+)_", file.read_text()):
            numbers |= {int(part) for part in name.strip("_").split("_")}
    return numbers


def test_each_case_is_tested_or_has_its_place() -> None:
    here = numbered_here()

    assert here | set(ELSEWHERE) == CASES
    assert not here & set(ELSEWHERE)


def test_each_place_elsewhere_exists() -> None:
    root = Path(__file__).parents[2]
    for place in ELSEWHERE.values():
        assert (root / place.rpartition(": ")[2]).exists(), place
