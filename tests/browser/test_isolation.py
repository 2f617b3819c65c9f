"""Two customers: neither ever sees, or changes, anything of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

PATHS = ("/customer/repairs/", "/customer/units/", "/customer/profile/", "/customer/repairs/new/")


async def test_one_after_the_other_in_one_browser(visit: Visit, site: Site) -> None:
    names = ("Alder Freight", "Birch Lines")
    customers = [await site.customer(name) for name in names]
    for customer, unit in zip(customers, ("ALDER-1", "BIRCH-1"), strict=True):
        await site.load(customer, [{"unit": unit}])
    page = await visit(customers[0], PATHS[0])
    await expect(page.get_by_role("rowheader")).to_contain_text("ALDER-1")
    one_repair = await page.get_by_role("rowheader").get_by_role("link").get_attribute("href")
    assert one_repair is not None
    await page.goto(PATHS[3])
    await page.get_by_label("Unit").fill("ALDER-2")
    await site.sign_in(page, customers[1])
    for path in PATHS:
        await page.goto(path)
        assert "ALDER" not in (await page.content()).upper()
    # What the first had begun to type in this tab is hers alone.
    await expect(page.get_by_label("Unit")).to_have_value("")
    answer = await page.goto(one_repair)
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_role("heading", name="There is no such repair")).to_be_visible()
    await page.go_back()
    assert "ALDER" not in (await page.content()).upper()


async def test_a_decision_on_somebody_elses_repair_finds_nothing(visit: Visit, site: Site) -> None:
    mine, theirs = await site.customer(), await site.customer()
    await site.load(mine, [{"unit": "MINE-1"}])
    other = await site.record(theirs, "THEIRS-1")
    page = await visit(mine, "/customer/repairs/")
    await page.evaluate(
        """([id, tag]) => {
          document.querySelector("[name=repair]").value = id;
          document.querySelector("[name^=etag-]").setAttribute("name", `etag-${id}`);
          document.querySelector("[name^=etag-]").value = `"${tag}"`;
        }""",
        [other["repair_id"], other["event_id"]],
    )
    await page.get_by_role("checkbox", name="Choose unit MINE-1").check()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="Nothing was decided")).to_be_visible()
    await expect(page.get_by_role("main")).not_to_contain_text("THEIRS-1")
    held = await site.writer.call("GET", f"/v1/repairs/{other['repair_id']}")
    assert held.body["status"] == "PENDING"
