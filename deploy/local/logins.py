"""Logins of the demo: one for each of its customers, and one without a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.local import credentials
from deploy.local.layout import Place, venv_command

if TYPE_CHECKING:
    from collections.abc import Mapping

# The customers are those of deploy/demo/fleets.py; the names are those of their people.
DEMO: dict[str, int | None] = {"cedar": 1001, "lakeshore": 1002, "midland": 1003, "visitor": None}


def listed(place: Place) -> list[dict[str, Any]]:
    """Return the created logins with password and customer, as in `./dev status --json`."""
    return [
        {"username": name, "password": password(place, name), "customer_id": customer}
        for name, customer in DEMO.items()
        if credentials.path_of(place.secrets, f"login_{name}").exists()
    ]


def password(place: Place, name: str) -> str:
    """Return the password of a login, created at its first use."""
    return credentials.one(place.secrets, f"login_{name}")


def commands(
    place: Place, settings: Mapping[str, str]
) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return name -> (command, settings) to create the logins; each is idempotent."""
    found: dict[str, tuple[list[str], dict[str, str]]] = {}
    for name, customer in DEMO.items():
        password(place, name)
        file = str(credentials.path_of(place.secrets, f"login_{name}"))
        linked = ["--customer", str(customer)] if customer is not None else []
        argv = [
            venv_command("gateway"),
            "users",
            "add",
            name,
            *linked,
            "--password-file",
            file,
            "--if-missing",
        ]
        found[f"login {name}"] = (argv, dict(settings))
    return found
