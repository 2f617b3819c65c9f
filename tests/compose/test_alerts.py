"""The alert rules: they fire on metrics that exist, and link to a section of the manual."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compose.images import image

PROMETHEUS = image("prom/prometheus")
BUILT_IN = {"up", "process_start_time_seconds"}


@pytest.fixture(scope="module")
def rules(root: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load((root / "deploy/prometheus/rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.fixture
def promtool(root: Path, needs_images: Callable[..., None]) -> Callable[..., str]:
    """Run promtool in deploy/prometheus: the local one, or that of the image."""
    folder = root / "deploy/prometheus"
    words = ["promtool"]
    if shutil.which("promtool") is None:
        needs_images(PROMETHEUS)
        words = ["docker", "run", "--rm", "--network", "none", "--volume", f"{folder}:/rules:ro"]
        words += ["--workdir", "/rules", "--entrypoint", "promtool", PROMETHEUS]

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [*words, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def test_each_alert_fires_when_it_should_and_not_before(promtool: Callable[..., str]) -> None:
    promtool("test", "rules", "rules_test.yml")


def test_prometheus_accepts_its_settings_and_the_rules(promtool: Callable[..., str]) -> None:
    promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")


def test_each_alert_has_a_test(root: Path, rules: list[dict[str, Any]]) -> None:
    tests = (root / "deploy/prometheus/rules_test.yml").read_text()

    assert [r["alert"] for r in rules if "alert" in r and r["alert"] not in tests] == []


def test_each_metric_of_a_rule_is_one_that_a_process_has(
    root: Path, rules: list[dict[str, Any]]
) -> None:
    expressions = " ".join(re.sub(r'"[^"]*"|\{[^}]*\}', "", rule["expr"]) for rule in rules)
    named = set(re.findall(r"\b((?:repair|gateway|http|invariant)_\w+)\b", expressions))
    code = "".join(p.read_text() for p in root.glob("s*/**/src/**/*.py"))
    suffix = re.compile(r"_(total|count|bucket|sum)$")

    assert named
    assert {
        n for n in named if f'"{n}"' not in code and f'"{suffix.sub("", n)}"' not in code
    } == set()


def test_each_alert_says_whom_it_wakes_and_where_to_read_on(
    root: Path, rules: list[dict[str, Any]]
) -> None:
    headings = re.findall(r"^#+ +(.+)$", (root / "docs/operating.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).strip().replace(" ", "-") for h in headings}

    for rule in rules:
        if "alert" not in rule:
            continue
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/operating.md", rule["alert"]
        assert anchor in anchors, rule["alert"]
