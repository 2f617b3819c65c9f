"""The API's documentation: a page without script, and examples with the shape of real responses."""

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from portal_query.api.described import ENDPOINTS, JSON
from portal_query.api.docs import operations_of

DOCS = "/customer/api/docs/"
OPENAPI = "/customer/api/openapi.json"


class Page(HTMLParser):
    """Collects links, anchors and scripts of a page, and all of its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.inline = False
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [given["href"] or ""] if "href" in given else []
        self.anchors += [given["id"] or ""] if "id" in given else []
        self.inline |= tag == "script" and "src" not in given

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_shows_every_operation_and_leads_to_each(api: Any) -> None:
    async with api.ask(DOCS) as answer:
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        page = Page(await answer.text())
    async with api.ask(OPENAPI) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        tag = answer.headers["ETag"]
        operations = list(operations_of(await answer.json()))
    assert len(operations) == len({one.anchor for one in operations}) > len(ENDPOINTS)
    for one in operations:
        assert f"{one.method} {one.path}" in page.text
        assert one.example in page.text
        assert f"#{one.anchor}" in page.links
    assert len(page.anchors) == len(set(page.anchors))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.anchors)
    assert all(link.startswith(("/", "#")) for link in page.links)
    assert not page.inline
    async with api.ask(OPENAPI, If_None_Match=tag) as answer:
        assert answer.status == 304


async def test_every_example_is_shaped_like_a_real_answer(
    api: Any, read_model: Any, repair: Any
) -> None:
    some = [repair("A123", "PENDING") for _ in range(3)]
    await read_model.put(1, some)
    await read_model.history(1, some[0].repair_id, "recorded")
    for endpoint in ENDPOINTS:
        if endpoint.media == "text/event-stream":
            continue  # test_live reads it
        path = endpoint.path.replace("{repair_id}", str(some[0].repair_id))
        async with api.ask(path + endpoint.asked) as answer:
            assert answer.status == 200, path
            assert answer.headers["Content-Type"].partition(";")[0] == endpoint.media
            body = await answer.read()
        if endpoint.media == JSON:
            assert shape_of(json.loads(body)) == shape_of(endpoint.answer), path
        else:
            first, *_ = body.decode().splitlines()
            assert first == str(endpoint.answer).splitlines()[0]


def shape_of(value: object) -> object:
    """Return names and kinds; of a list its first entry; a nullable value is any kind."""
    if isinstance(value, dict):
        return {name: shape_of(one) for name, one in value.items() if name not in MAYBE_NULL}
    if isinstance(value, list):
        return [shape_of(one) for one in value[:1]]
    return type(value).__name__


MAYBE_NULL = {"batch_id", "next", "reason", "count"}


@pytest.mark.parametrize("path", [DOCS, OPENAPI])
async def test_the_documentation_is_for_customers(api: Any, path: str) -> None:
    async with api.ask(path, None) as answer:
        assert answer.status == 401
