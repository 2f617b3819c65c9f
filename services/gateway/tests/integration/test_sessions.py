"""Life of a session, and the requests that prolong it."""

import json
from datetime import datetime

import pytest

from gateway.testing.browser import Answered, Browser
from gateway.testing.portal import Portal
from gateway.testing.wire import answer

PATH = "/accounts/session/"
AGED = "UPDATE gateway.session SET last_seen_at = now() - interval '1 hour'"


def ends_in(answered: Answered) -> int:
    assert answered.status == 200
    assert answered.header("cache-control") == "private, no-store"
    said = json.loads(answered.body)
    assert said.keys() == {"ends_in", "ends_at", "customer"}
    assert datetime.fromisoformat(said["ends_at"]).utcoffset() is not None
    seconds: int = said["ends_in"]
    return seconds


async def prolong(browser: Browser) -> Answered:
    return await browser.ask("POST", PATH, body=b"", X_CSRFToken=browser.cookies["csrftoken"])


async def test_asking_for_the_end_does_not_move_it_and_prolonging_does(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute(AGED)
    for _ in range(2):
        assert 3_500 <= ends_in(await browser.get(PATH)) <= 3_600
        await gate.gateway.visitors.write_touched(gate.gateway.pool)
    assert 7_100 <= ends_in(await prolong(browser)) <= 7_200
    assert 7_100 <= ends_in(await browser.get(PATH)) <= 7_200


async def test_no_session_is_prolonged_beyond_its_age(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("UPDATE gateway.session SET expires_at = now() + interval '1 minute'")
    assert ends_in(await prolong(browser)) <= 60


async def test_a_page_that_asks_by_itself_does_not_keep_its_session(gate: Portal) -> None:
    gate.query.default = answer()
    browser = await gate.signed_in()
    await gate.execute(AGED)
    await browser.get("/customer/api/figures/", X_Background="1")
    await gate.gateway.visitors.write_touched(gate.gateway.pool)
    assert ends_in(await browser.get(PATH)) <= 3_600
    await browser.get("/customer/api/figures/")
    await gate.gateway.visitors.write_touched(gate.gateway.pool)
    assert ends_in(await browser.get(PATH)) >= 7_100


@pytest.mark.parametrize(
    "ran_out", ["last_seen_at = now() - interval '3 hours'", "expires_at = now()"]
)
async def test_a_use_that_is_written_too_late_revives_nothing(gate: Portal, ran_out: str) -> None:
    browser, other = await gate.signed_in(), await gate.signed_in("bert")
    await gate.execute(AGED)
    for one in (browser, other):
        assert (await one.get("/customer/api/figures/")).status == 200
    # The store was unavailable for as long as one of the two still had.
    before = await gate.execute(
        f"UPDATE gateway.session SET {ran_out} "
        "FROM gateway.\"user\" u WHERE u.id = user_id AND username = 'anna' "
        "RETURNING last_seen_at"
    )

    await gate.gateway.visitors.write_touched(gate.gateway.pool)

    assert (await browser.get(PATH)).status == 302
    assert ends_in(await other.get(PATH)) >= 7_100
    after = await gate.execute(
        'SELECT last_seen_at FROM gateway.session JOIN gateway."user" u ON u.id = user_id '
        "WHERE username = 'anna'"
    )
    assert after == before


async def test_without_a_session_or_without_the_token_there_is_no_answer(gate: Portal) -> None:
    browser = await gate.signed_in()
    assert (await browser.ask("POST", PATH, body=b"")).status == 403
    stranger = await gate.browser().get(PATH)
    assert (stranger.status, stranger.header("location")) == (
        302, "/accounts/login/?next=/accounts/session/",
    )  # fmt: skip


async def test_who_belongs_to_no_customer_has_a_session_as_well(gate: Portal) -> None:
    browser = await gate.signed_in(customer_id=None)
    assert ends_in(await browser.get(PATH)) > 7_000


async def test_the_customer_is_named_as_text(gate: Portal) -> None:
    customer = 844197938335842305  # above JavaScript's exact integers
    browser = await gate.signed_in(customer_id=customer)
    assert json.loads((await browser.get(PATH)).body)["customer"] == str(customer)
