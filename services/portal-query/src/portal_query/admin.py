"""The command line of the read side: `portal-query migrate`, `refold`, `verify`, `parked`, `dead-letters`."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from portal_query.migrations import migrate as migrate_tables
from portal_query.projector import bulk
from portal_query.projector.lists import WriterAwayError, WriterLists
from portal_query.projector.refold import Outcome, Refolder
from portal_query.projector.settings import ReadModelSettings, RefoldSettings
from portal_query.projector.verify import Verifier
from portal_query.read_model import letters, standing
from portal_query.read_model.postgres import Connection, Line, is_infrastructure
from portal_query.read_model.redis import DocumentCache
from service_runtime import logs
from service_runtime.clock import SystemClock, rfc3339
from service_runtime.redis import create_redis
from service_runtime.settings import load

_STATEMENT_SECONDS: Final = 300.0
_LOCK_SECONDS: Final = 60.0
_SHOWN_BYTES: Final = 2_000

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
dead = typer.Typer(no_args_is_help=True, help="Records that are no part of any list.")
app.add_typer(dead, name="dead-letters")

Customers = Annotated[
    list[int] | None, typer.Option("--customer", min=1, help="This customer; may be repeated.")
]
Jobs = Annotated[int, typer.Option(min=1, max=32, help="How many at a time.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class _Tools:
    lists: WriterLists
    cache: DocumentCache
    line: Line
    new_line: Callable[[], Line]
    time_zone: str


@app.command()
def migrate() -> None:
    """Bring the tables to the state that this version needs. May be run again at any time."""
    url = load(ReadModelSettings).portal_database_url.get_secret_value()
    _or_give_up(lambda: migrate_tables(url))
    typer.echo("The read model's tables are up to date.")


@app.command()
def refold(
    everyone: Annotated[bool, typer.Option("--all", help="Every customer.")] = False,
    customer: Customers = None,
    parked: Annotated[bool, typer.Option("--parked", help="Those that are parked.")] = False,
    before: Annotated[
        datetime | None,
        typer.Option(
            help="With --all: only those not refolded since; goes on where a run stopped."
        ),
    ] = None,
    jobs: Jobs = 4,
) -> None:
    """Count customers anew from the writer's lists. Readers see each before or after, never between."""
    if sum((everyone, bool(customer), parked)) != 1:
        raise typer.BadParameter("say one of --all, --customer N, --parked")

    async def go(tools: _Tools) -> int:
        begun = before.astimezone() if before else SystemClock().now()
        if everyone:
            Console(stderr=True).print(
                f"If this stops, go on with: --all --before {rfc3339(begun)}"
            )
        chosen = await _chosen(tools, customer, begun, parked=parked)
        return await _refold(tools, chosen, jobs)

    failed = _with_tools(go)
    raise typer.Exit(1 if failed else 0)


@app.command()
def verify(customer: Customers = None, jobs: Jobs = 4) -> None:
    """Compare all customers, or some, with a fold of their lists. Status 1 when any differs."""

    async def go(tools: _Tools) -> dict[int, list[str]]:
        chosen = customer or list(await bulk.everybody(tools.lists, tools.line))
        return await _verify(tools, chosen, jobs)

    found = _with_tools(go)
    for one, what in sorted(found.items()):
        typer.echo(f"customer {one}: {'; '.join(what)}")
    typer.echo("Everything agrees." if not found else f"{len(found)} customers differ.")
    raise typer.Exit(1 if found else 0)


@app.command("parked")
def list_parked(as_json: AsJson = False) -> None:
    """List the customers whose list cannot be folded, and why."""
    rows = _on_read_model(standing.parked)
    if as_json:
        shown = [
            {
                "customer_id": row.customer_id,
                "revision": row.revision,
                "parked_at": rfc3339(row.parked_at),
                "reason": row.reason,
            }
            for row in rows
        ]
        typer.echo(json.dumps(shown))
        return
    table = Table("customer", "revision", "since", "why")
    for row in rows:
        table.add_row(str(row.customer_id), str(row.revision), rfc3339(row.parked_at), row.reason)
    Console().print(table if rows else "Nobody is parked.")


@dead.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50, as_json: AsJson = False
) -> None:
    """List the newest dead letters."""
    kept = _on_read_model(lambda connection: letters.newest(connection, limit))
    if as_json:
        typer.echo(json.dumps([_letter(one) for one in kept]))
        return
    table = Table("id", "seen", "partition", "offset", "customer", "why")
    for one in kept:
        at = one.letter
        customer = "" if at.customer_id is None else str(at.customer_id)
        table.add_row(
            str(one.id),
            rfc3339(one.seen_at),
            str(at.partition),
            str(at.offset),
            customer,
            at.reason,
        )
    Console().print(table if kept else "There are no dead letters.")


@dead.command("show")
def show_letter(letter_id: Annotated[int, typer.Argument(min=1)]) -> None:
    """Print one dead letter with the bytes of its record."""
    found = _on_read_model(lambda connection: letters.one(connection, letter_id))
    if found is None:
        typer.echo(f"There is no dead letter {letter_id}.", err=True)
        raise typer.Exit(1)
    typer.echo(json.dumps(_letter(found, whole=True), indent=2))


def main() -> None:
    """Run the command line."""
    app()


def _letter(kept: letters.KeptLetter, *, whole: bool = False) -> dict[str, Any]:
    at = kept.letter
    size = None if whole else _SHOWN_BYTES
    return {
        "id": kept.id,
        "topic": at.topic,
        "partition": at.partition,
        "offset": at.offset,
        "customer_id": at.customer_id,
        "reason": at.reason,
        "seen_at": rfc3339(kept.seen_at),
        "key": None if at.key is None else at.key[:size].decode(errors="backslashreplace"),
        "value": None if at.value is None else at.value[:size].decode(errors="backslashreplace"),
    }


async def _chosen(
    tools: _Tools, customers: list[int] | None, begun: datetime, *, parked: bool
) -> list[int]:
    if customers:
        return customers
    if parked:
        async with tools.line.connection() as connection:
            return [row.customer_id for row in await standing.parked(connection)]
    return bulk.not_refolded_since(await bulk.everybody(tools.lists, tools.line), begun)


async def _refold(tools: _Tools, customers: list[int], jobs: int) -> int:
    """Refold these customers; return how many could not be folded."""
    outcomes: dict[Outcome, int] = {}
    unpublished = 0
    with _progress(len(customers)) as (progress, task):

        async def work(worker: tuple[Refolder, Line], customer: int) -> None:
            nonlocal unpublished
            refolder, line = worker
            outcome, published = await bulk.refold(refolder, line, tools.cache, customer)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            unpublished += not published
            progress.advance(task)

        # A line is for one task at a time, so each worker has one of its own.
        lines = [tools.new_line() for _ in range(jobs)]
        workers = [(Refolder(line, tools.lists, tools.time_zone), line) for line in lines]
        await bulk.for_each(customers, workers, work)
    said = ", ".join(f"{n} {outcome.value}" for outcome, n in outcomes.items())
    typer.echo(f"{len(customers)} customers: {said or 'nothing to do'}.")
    if unpublished:
        typer.echo(
            f"Redis did not take {unpublished}; it learns of them within a minute.", err=True
        )
    return outcomes.get(Outcome.PARKED, 0)


async def _verify(tools: _Tools, customers: list[int], jobs: int) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    with _progress(len(customers)) as (progress, task):

        async def work(verifier: Verifier, customer: int) -> None:
            what = await verifier.differences(customer)
            if what:
                found[customer] = what
            progress.advance(task)

        workers = [Verifier(tools.new_line(), tools.lists, tools.time_zone) for _ in range(jobs)]
        await bulk.for_each(customers, workers, work)
    return found


class _progress:  # noqa: N801 - reads as a function
    """A bar on stderr, shown to people only."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID = self._bar.add_task("customers", total=total)

    def __enter__(self) -> tuple[Progress, TaskID]:
        self._bar.start()
        return self._bar, self._task

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@asynccontextmanager
async def _tools(settings: RefoldSettings) -> AsyncIterator[_Tools]:
    async with AsyncExitStack() as stack:

        def new_line() -> Line:
            line = Line(
                settings.portal_database_url.get_secret_value(),
                name="portal-query admin",
                statement_seconds=_STATEMENT_SECONDS,
                lock_seconds=_LOCK_SECONDS,
            )
            stack.callback(line.drop)
            return line

        key = settings.writer_history_key.get_secret_value()
        lists = await stack.enter_async_context(WriterLists(settings.writer_url, key))
        redis = create_redis(settings.redis_url.get_secret_value())
        stack.push_async_callback(redis.aclose)
        yield _Tools(lists, DocumentCache(redis), new_line(), new_line, settings.portal_time_zone)


def _with_tools(work: Callable[[_Tools], Coroutine[Any, Any, ResultT]]) -> ResultT:
    settings = load(RefoldSettings)
    logs.configure(level="warning", log_format="console", service="portal-query")

    async def go() -> ResultT:
        async with _tools(settings) as tools:
            return await work(tools)

    return _or_give_up(lambda: asyncio.run(go()))


def _on_read_model(work: Callable[[Connection], Coroutine[Any, Any, ResultT]]) -> ResultT:
    settings = load(ReadModelSettings)

    async def go() -> ResultT:
        line = Line(settings.portal_database_url.get_secret_value(), name="portal-query admin")
        try:
            async with line.connection() as connection:
                return await work(connection)
        finally:
            line.drop()

    return _or_give_up(lambda: asyncio.run(go()))


def _or_give_up(work: Callable[[], ResultT]) -> ResultT:
    """Run it; what is away is said in one line, with status 69 (EX_UNAVAILABLE)."""
    try:
        return work()
    except (WriterAwayError, OSError) as error:
        reason: BaseException = error
    except BaseExceptionGroup as group:
        reason = group.exceptions[0]
        if not (isinstance(reason, WriterAwayError) or is_infrastructure(reason)):
            raise
    except Exception as error:
        if not is_infrastructure(error):
            raise
        reason = error
    typer.echo(f"Not possible now: {type(reason).__name__}: {reason}", err=True)
    raise typer.Exit(69)


if __name__ == "__main__":
    main()
