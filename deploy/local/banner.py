"""Banner after the start: addresses, logins, next steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.local import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.system import System


def show(system: System, found: Mapping[str, object], seconds: float | None) -> None:
    """Print the banner; `seconds` is the duration of the start, None if everything was running."""
    took = "is up already" if seconds is None else f"is ready after {seconds:.1f} s"
    say.line()
    say.line(say.paint(f"The repair portal {took}: {system.at.portal}", say.BOLD))
    say.line()
    _logins(found)
    for name, address in (
        ("portal", f"{system.at.portal}/customer/dashboard/"),
        ("writer", f"{system.at.writer}/openapi.json  (internal systems; with the key)"),
        ("query api", f"{system.at.query}  (behind the gateway: answers no one without its token)"),
    ):
        say.line(f"  {name:<10} {address}")
    say.line(f"  {'API key':<10} {system.secrets['internal_key']}  (all scopes, any source)")
    say.line()
    _next_steps(system)


def _logins(found: Mapping[str, object]) -> None:
    logins = found["logins"]
    if isinstance(logins, list):
        for login in logins:
            who = (
                f"customer {login['customer_id']}"
                if login["customer_id"]
                else "no customer: sees that page"
            )
            say.line(f"  login      {login['username']:<10} {login['password']}   {who}")


def _next_steps(system: System) -> None:
    say.line("  Try next:")
    for command, what in (
        ("./dev demo live", "repairs keep happening: watch the charts move"),
        ("./dev status", "every process, its memory, its log"),
        ('eval "$(./dev env)"', "PORTAL, WRITER and KEY for curl"),
        ("./dev logs gateway -f", "what a process says"),
        ("./dev down", "stop; ./dev up goes on where this ended"),
    ):
        say.line(f"    {command:<24}{what}")
    say.line()
    say.line(
        say.paint(
            "  Cookies are not marked Secure here (GATEWAY_COOKIE_SECURE=false): plain http on loopback.",
            say.DIM,
        )
    )
    say.line(say.paint(f"  Months are those of {system.at.time_zone} (PORTAL_TIME_ZONE).", say.DIM))
