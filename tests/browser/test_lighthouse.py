"""Lighthouse over the dashboard, as a phone and as a desktop: machine-independent scores must be
perfect.

Speed depends on the machine: it is printed and saved under `.run/lighthouse/`, not asserted.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deploy.local.layout import ROOT
from playwright.async_api import async_playwright
from tests.browser import chrome

if TYPE_CHECKING:
    from tests.browser.site import Site

HERE = Path(__file__).parent / "lighthouse"
REPORTS = ROOT / ".run" / "lighthouse"
FORMS = {"phone": (), "desk": ("--preset=desktop",)}
FIGURES = ("first-contentful-paint", "total-blocking-time", "cumulative-layout-shift")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm"),
]


@pytest.mark.parametrize("form", FORMS)
async def test_lighthouse_finds_nothing_wrong(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    if not (HERE / "node_modules").is_dir():
        await _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    customer = await site.customer()
    statuses = ("PENDING", "COMPLETED", "APPROVED")
    await site.load(
        customer,
        ({"unit": f"Bus {n % 60}", "status": statuses[n % 3]} for n in range(400)),
    )
    report = await _judge(site, customer, tmp_path, form)
    scores = {name: found["score"] for name, found in report["categories"].items()}
    shown = [report["audits"][name].get("displayValue") for name in FIGURES]
    with capsys.disabled():
        sys.stdout.write(
            f"\nLighthouse, {form}: {scores}, {dict(zip(FIGURES, shown, strict=True))}\n"
        )
    assert (scores["accessibility"], scores["best-practices"]) == (1, 1), _faults(report)
    assert report["audits"]["cumulative-layout-shift"]["numericValue"] == 0


async def _judge(site: Site, customer: int, profile: Path, form: str) -> dict[str, Any]:
    """Sign in with a browser of its own, run Lighthouse in it, and return the report."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    output, port = REPORTS / f"dashboard-{form}.json", _free_port()
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=chrome.CHROMIUM,
            args=[*chrome.ARGUMENTS, f"--remote-debugging-port={port}"],
        )
        await site.sign_in(context.pages[0], customer)
        await _run(
            *("node_modules/.bin/lighthouse", f"{site.url}/customer/dashboard/", *FORMS[form]),
            *(
                f"--port={port}",
                "--disable-storage-reset",
                "--quiet",
                "--no-enable-error-reporting",
            ),
            *("--output=json", f"--output-path={output}"),
            "--only-categories=performance,accessibility,best-practices",
        )
        await context.close()
    report: dict[str, Any] = json.loads(output.read_text())
    return report


def _free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


def _faults(report: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {found['title']}"
        for name, found in report["audits"].items()
        if found["scoreDisplayMode"] == "binary" and found["score"] != 1
    ]
