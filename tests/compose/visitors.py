"""Clients of the published port: a browser without a screen, and an internal system with a key."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

UNITS, MONTHS = "/customer/api/unit-repair-data/", "/customer/api/repair-cost-data/"
STATUSES = "/customer/api/repair-status-data/"


class Browser:
    """A browser without a screen: it keeps cookies and follows no redirect."""

    def __init__(self, address: str) -> None:
        self.home = f"http://{address}"
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(
            _FollowsNothing, urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers by their lower-case names, and body."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.home + path, body, sent, method=method)
        try:
            answer = self._opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return (
                answer.status,
                {k.lower(): v for k, v in answer.headers.items()},
                answer.read(),
            )

    def json(self, path: str) -> Any:
        status, _, body = self.ask(path)
        assert status == 200, (path, status, body[:500])
        return json.loads(body)

    def sign_in(self, name: str, password: str) -> tuple[int, dict[str, str], bytes]:
        _, _, page = self.ask("/accounts/login/")
        token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, page
        form = {
            "username": name,
            "password": password,
            "csrfmiddlewaretoken": token[1].decode(),
            "next": UNITS,
        }
        return self.ask(
            "/accounts/login/",
            method="POST",
            body=urllib.parse.urlencode(form).encode(),
            Content_Type="application/x-www-form-urlencoded",
        )


class _FollowsNothing(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class InternalSystem(Browser):
    """A publisher of repairs, with an API key."""

    def __init__(self, address: str, key: str) -> None:
        super().__init__(address)
        self.key = key

    def send(self, method: str, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        status, _, answer = self.ask(
            path,
            method=method,
            body=json.dumps(body).encode(),
            Content_Type="application/json",
            Authorization=f"Bearer {self.key}",
            **headers,
        )
        return status, json.loads(answer)
