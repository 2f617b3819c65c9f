import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from service_runtime.clock import SystemClock

PATH = "/customer/dashboard/"


class Page(HTMLParser):
    """Elements of a page: tags with their attributes, and the texts of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


async def read(api: Any, customer_id: int = 1, **headers: str) -> tuple[Any, str]:
    async with api.ask(PATH, customer_id, **headers) as answer:
        return answer, await answer.text()


async def test_the_page_brings_the_status_list_as_documented(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    _, text = await read(api)
    async with api.ask("/customer/api/repair-status-data/") as answer:
        body = await answer.text()
    assert f'<script id="repair_status_counts" type="application/json">{body}</script>' in text


async def test_the_page_is_kept_by_nobody_and_allows_nothing_inline(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    answer, text = await read(api)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, attributes in Page(text).tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action"):
            address = attributes.get(name)
            assert address is None or re.match(r"/(?!/)|#", address), address
        if tag == "script":
            assert "src" in attributes or attributes["type"] == "application/json"


async def test_without_script_the_page_has_all_figures(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet, name="Prairie & Sons")
    _, text = await read(api)
    assert "<h1>Prairie &amp; Sons</h1>" in text
    for row in (
        '<a href="/customer/repairs/?unit=A1">A1</a></th><td class="n">6</td>',
        '<a href="/customer/repairs/?unit=C%20%C3%A9">C é</a></th>',
        '<a href="/customer/repairs/?month=2026-01">January 2026</a></th><td class="n">4</td>',
        'Waiting for you</a></th><td class="n">2</td><td class="n">17 %</td>',
        "<strong data-value>8</strong>",
        "of 12 repairs in all",
    ):
        assert row in text


async def test_names_of_units_are_text_wherever_they_stand(
    api: Any, read_model: Any, repair: Any
) -> None:
    names = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"'&lt;{{7*7}}"]
    await read_model.put(1, [repair(name) for name in names], name="</title><script>x</script>")
    _, text = await read(api)
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "img"][1:]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 4
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "{{7*7}}" in text
    assert json.loads(page.scripts["repair_status_counts"])


async def test_signing_out_is_a_form_with_the_token_that_the_gateway_gave(api: Any) -> None:
    _, text = await read(api, X_Csrf_Token='to"ken')
    assert '<form method="post" action="/accounts/logout/" id="sign-out">' in text
    assert 'name="csrfmiddlewaretoken" value="to&#34;ken"' in text


async def test_the_page_says_when_its_figures_stand_still(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    _, text = await read(api)
    assert "How recent this is, is not known" in text
    await read_model.as_of(1, datetime(2026, 3, 5, 20, 3, 4, tzinfo=UTC))
    _, text = await read(api)
    assert "These figures stand at 2:03:04\u202fPM, March 5, 2026." in text
    assert 'data-state="stale"' in text
    await read_model.as_of(1, SystemClock().now() - timedelta(seconds=5))
    _, text = await read(api)
    assert "As of <time" in text
    assert 'data-state="page"' in text


async def test_a_customer_without_repairs_gets_a_page_without_invented_data(api: Any) -> None:
    answer, text = await read(api)
    assert answer.status == 200
    assert "No repair has been recorded yet." in text
    assert "<h1>Your repairs</h1>" in text
    assert {row["count"] for row in json.loads(Page(text).scripts["repair_status_counts"])} == {0}


async def test_scripts_and_styles_are_public_and_named_by_their_content(api: Any) -> None:
    _, text = await read(api)
    addresses = set(re.findall(r'"(/static/portal/[^"]+)"', text))
    assert {address.rsplit(".", 1)[1] for address in addresses} == {"js", "css", "svg"}
    for address in addresses:
        assert re.search(r"\.[0-9a-f]{16}\.\w+$", address)
        async with api.ask(address, None) as answer:
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            tag = answer.headers["ETag"]
        async with api.ask(address, None, If_None_Match=tag) as answer:
            assert answer.status == 304
        async with api.ask(address, None, Accept_Encoding="br, gzip") as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
            compressed = await answer.read()
        for plain in ("identity", "gzip;q=0", "br, gzip; q=0.0"):
            async with api.ask(address, None, Accept_Encoding=plain) as answer:
                assert "Content-Encoding" not in answer.headers
                assert await answer.read() == compressed
        async with api.ask(address, None, method="HEAD") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with api.ask(address, None, method="POST") as answer:
            assert answer.status == 405
    for wrong in ("nothing.0000000000000000.js", "../../main.py", "portal.js", "portal.0.js", ""):
        async with api.ask(f"/static/portal/{wrong}", None) as answer:
            assert answer.status in {401, 404}


async def test_a_page_of_another_release_gets_the_style_that_there_is_and_keeps_it_not(
    api: Any,
) -> None:
    _, text = await read(api)
    address = re.search(r'"(/static/portal/portal)\.([0-9a-f]{16})\.css"', text)
    assert address
    bodies = []
    for digest, kept in ((address[2], "max-age=31536000"), ("0" * 16, "no-store")):
        async with api.ask(f"{address[1]}.{digest}.css", None) as answer:
            assert answer.status == 200
            assert kept in answer.headers["Cache-Control"]
            bodies.append(await answer.read())
    assert bodies[0] == bodies[1]
