"""Decisions of customers: one or many, each bound to the state that the customer saw.

A refused decision is explained to the person who made it. The explanation gives the change, its
side and time, and the present state of the repair. The names of people are not disclosed.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from repair_events.event import STATUS_CHANGED, Event, decode, fact_of
from repair_events.repair import Repair
from repair_events.status import LABELS, PENDING
from repair_writer.asking import (
    Ask,
    Outcome,
    RefusedError,
    Result,
    Standing,
    kept_outcome,
    lock,
    precondition_failed,
    until_won,
    visible,
)
from repair_writer.commands import append_change, change_repair, held_after
from repair_writer.history import History
from repair_writer.repair import Change, ChangeStatus, Refusal, decide, undecidable
from repair_writer.store.answers import keep_outcome
from repair_writer.store.events import read_payloads
from repair_writer.store.repairs import load_by_id, load_held
from repair_writer.store.rows import HeldRepair
from repair_writer.store.transaction import Connection, Pool, reading

#: Refusals that are explained with the present state.
_EXPLAINED: Final = frozenset({"illegal-move", "precondition-failed"})
_EVENT_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: Fields of a repair that a customer sees, with their names in the portal. The cost comes first.
SHOWN: Final = {
    "cost": "the cost",
    "unit_number": "the unit",
    "repair_date": "the date",
    "damage_type": "the kind of damage",
    "description": "the description",
    "customer_notes": "your notes",
}
_TOLD: Final = frozenset({"cost", "unit_number"})
_SIDE: Final = {"customer": "Your company", "company": "RS Wind"}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A repair to decide, and the tags of the states that the customer saw."""

    repair_id: str
    tags: tuple[str, ...]


async def decide_repair(pool: Pool, ask: Ask, repair_id: str, command: ChangeStatus) -> Outcome:
    """Decide one repair and return the outcome.

    Raises RefusedError. For a wrong state it carries the present state and an explanation.
    """
    try:
        return await change_repair(pool, ask, repair_id, command)
    except RefusedError as error:
        if error.refusal.code not in _EXPLAINED:
            raise
        refused = error
    seen = Seen(repair_id=repair_id, tags=ask.expected or ())
    async with reading(pool) as connection:
        held = visible(ask, (await load_held(connection, [repair_id])).get(repair_id))
        met = Result(repair_id=repair_id, held=held, refusal=refused.refusal)
        (result,) = await _explained(connection, [(seen, met)])
    assert result.refusal is not None  # noqa: S101 - that is what was explained
    raise RefusedError(result.refusal, result.standing) from refused


async def decide_repairs(
    pool: Pool, ask: Ask, customer_id: int, wanted: Sequence[Seen], command: ChangeStatus
) -> Outcome:
    """Decide each repair independently, in the order given, in one transaction.

    Return an outcome with one result for each repair.
    The outcome is stored under the key even if every decision was refused.
    Raises RefusedError when the key is running or was used for another request.
    """

    async def once(connection: Connection) -> Outcome:
        heads = await lock(connection, ask, [customer_id])
        loaded = await load_by_id(connection, ask.key_digest, None)
        kept = kept_outcome(ask, loaded)
        if kept is not None:
            return kept
        held = await load_held(connection, [one.repair_id for one in wanted])
        history = History(heads.values(), loaded.now)
        results = [
            _decided(history, ask, one, visible(ask, held.get(one.repair_id)), command)
            for one in wanted
        ]
        explained = await _explained(connection, list(zip(wanted, results, strict=True)))
        head = history.head(customer_id)
        outcome = Outcome(revision=head.revision if head else 0, results=tuple(explained))
        kept_row = ask.keep(outcome)
        if history.is_empty:
            if kept_row is not None:
                await keep_outcome(connection, kept_row, loaded.now)
        else:
            await history.save(connection, kept_row)
        return outcome

    return await until_won(pool, once)


def _decided(
    history: History, ask: Ask, seen: Seen, held: HeldRepair | None, command: ChangeStatus
) -> Result:
    decision = decide(None if held is None else held.repair, command)
    if held is not None and held.event_id not in seen.tags:
        decision = precondition_failed()
    if isinstance(decision, Refusal):
        return Result(repair_id=seen.repair_id, held=held, refusal=decision)
    if isinstance(decision, Change):
        head = append_change(history, ask.author, decision, None)
        held = held_after(history, head, decision.repair, held)
    return Result(repair_id=seen.repair_id, held=held)


async def _explained(connection: Connection, met: Sequence[tuple[Seen, Result]]) -> list[Result]:
    """Return the results, with an explanation and the present state for each refusal.

    A refusal without a visible repair stays as it is.
    """
    refused = [(seen, one.held) for seen, one in met if one.refusal and one.held]
    ids = {held.event_id for _, held in refused}
    ids |= {tag for seen, _ in refused for tag in seen.tags if _EVENT_ID.fullmatch(tag)}
    events = {
        name: decode(payload) for name, payload in (await read_payloads(connection, ids)).items()
    }
    return [_told(seen, one, events) if one.refusal and one.held else one for seen, one in met]


def _told(seen: Seen, met: Result, events: Mapping[str, Event]) -> Result:
    held = met.held
    assert held is not None  # noqa: S101 - only what is there is explained
    last = events[held.event_id]
    states = (
        events[tag].data.repair
        for tag in seen.tags
        if tag in events and events[tag].data.customer_id == held.repair.customer_id
    )
    before = next((one for one in states if one and one.repair_id == met.repair_id), None)
    standing = Standing(
        held=held,
        by="customer" if last.data.actor.startswith("customer:") else "company",
        seen=before,
    )
    if held.repair.status != PENDING:
        refusal = undecidable(held.repair, _what_happened(standing, last))
    else:
        refusal = msgspec.structs.replace(precondition_failed(), detail=_what_is_now(standing))
    return Result(repair_id=met.repair_id, refusal=refusal, standing=standing)


def _what_happened(standing: Standing, last: Event) -> str:
    side, moment = _SIDE[standing.by], _moment(standing.held.changed_at)
    word = LABELS[standing.held.repair.status]
    if fact_of(last.type)[0] == STATUS_CHANGED:
        what = f"{side} set this repair to {word} on {moment}."
    else:
        what = f"This repair is {word}; {side} changed it last, on {moment}."
    return f"{what} It does not wait for a decision, so nothing was changed."


def _what_is_now(standing: Standing) -> str:
    side, moment = _SIDE[standing.by], _moment(standing.held.changed_at)
    changes = changed_fields(standing)
    said = [
        f"{SHOWN[name]} was {before} and is {now} now"
        if name in _TOLD
        else f"{SHOWN[name]} differs"
        for name, before, now in changes
    ]
    if standing.seen is None:
        said = [f"the cost is {standing.held.repair.cost} now"]
    what = "; ".join(said) or "nothing that you see differs"
    return (
        f"{side} changed this repair after you saw it, on {moment}: {what}. "
        "Nothing was decided; please look again and decide."
    )


def changed_fields(standing: Standing) -> list[tuple[str, str, str]]:
    """Return (field, seen, now) for each field in SHOWN that differs from the seen state.

    Return an empty list if the seen state is unknown.
    """
    if standing.seen is None:
        return []
    now = standing.held.repair
    pairs = [(name, _text(standing.seen, name), _text(now, name)) for name in SHOWN]
    return [(name, before, after) for name, before, after in pairs if before != after]


def _text(repair: Repair, name: str) -> str:
    return str(getattr(repair, name))


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%-d %B %Y at %H:%M} UTC"
