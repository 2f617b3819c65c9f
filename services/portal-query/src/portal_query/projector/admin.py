"""Commands that read the writer's streams: `portal-query refold` and `portal-query verify`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import typer

from portal_query.projector import bulk
from portal_query.projector.bulk import Known
from portal_query.projector.lists import WriterAwayError, WriterLists
from portal_query.projector.refold import Outcome, Refolder
from portal_query.projector.report import Report
from portal_query.projector.settings import RefoldSettings
from portal_query.projector.verify import Verifier
from portal_query.read_model import standing
from portal_query.read_model.postgres import Line, is_infrastructure
from portal_query.read_model.redis import DocumentCache
from service_runtime import logs
from service_runtime.clock import SystemClock, rfc3339
from service_runtime.command_line import fail, say
from service_runtime.redis import create_redis
from service_runtime.settings import load

_STATEMENT_SECONDS: Final = 300.0
_LOCK_SECONDS: Final = 60.0

Customers = Annotated[
    list[int] | None, typer.Option("--customer", min=1, help="This customer; may be repeated.")
]
Jobs = Annotated[int, typer.Option(min=1, max=32, help="How many at a time.")]
ResultT = TypeVar("ResultT")
#: Called once for each pass over the customers: the first pass counts, the second one works.
Chosen = Callable[[], AsyncIterator[Known]]


def register(app: typer.Typer) -> None:
    """Add the commands `refold` and `verify` to the command line."""
    app.command("refold")(refold)
    app.command("verify")(verify)


@dataclass(frozen=True, slots=True)
class _Tools:
    lists: WriterLists
    cache: DocumentCache
    new_line: Callable[[], Line]
    time_zone: str


def refold(
    everyone: Annotated[bool, typer.Option("--all", help="Every customer.")] = False,
    customer: Customers = None,
    parked: Annotated[bool, typer.Option("--parked", help="Those that are parked.")] = False,
    before: Annotated[
        datetime | None,
        typer.Option(
            help="With --all: only those not refolded since; goes on where a run was stopped."
        ),
    ] = None,
    jobs: Jobs = 2,
) -> None:
    """Rebuild customers from the writer's lists. Readers see each before or after, never between."""
    if sum((everyone, bool(customer), parked)) != 1:
        raise typer.BadParameter("say one of --all, --customer N, --parked")
    begun = before.astimezone() if before else SystemClock().now()
    if everyone:
        say(f"If this stops, go on with: refold --all --before {rfc3339(begun)}", err=True)

    async def go(tools: _Tools) -> int:
        line = tools.new_line()
        wanted = list(customer or ())
        if parked:
            async with line.connection() as connection:
                wanted = [row.customer_id for row in await standing.parked(connection)]

        async def chosen() -> AsyncIterator[Known]:
            found = bulk.everybody(tools.lists, line) if everyone else None
            async for one in found or bulk.these(wanted, tools.lists, line):
                if not (everyone and bulk.refolded_since(one, begun)):
                    yield one

        return await _refold(tools, chosen, jobs)

    failed = _with_tools(go)
    raise typer.Exit(1 if failed else 0)


def verify(
    customer: Customers = None,
    from_customer: Annotated[
        int, typer.Option(min=1, help="Go on from this customer, where a run was stopped.")
    ] = 1,
    jobs: Jobs = 2,
) -> None:
    """Compare all customers, or some, with a fold of their lists. Status 1 when any differs."""

    async def go(tools: _Tools) -> int:
        line = tools.new_line()

        def chosen() -> AsyncIterator[Known]:
            if customer:
                return bulk.these(customer, tools.lists, line)
            return bulk.everybody(tools.lists, line, first=from_customer)

        return await _verify(tools, chosen, jobs)

    different = _with_tools(go)
    typer.echo("Everything agrees." if not different else f"{different} customers differ.")
    raise typer.Exit(1 if different else 0)


async def _refold(tools: _Tools, chosen: Chosen, jobs: int) -> int:
    """Rebuild the chosen customers. Return how many were parked."""
    outcomes: dict[Outcome, int] = {}
    unpublished = 0
    report = await _report(chosen)

    async def work(worker: tuple[Refolder, Line], one: Known) -> None:
        nonlocal unpublished
        with report.of(one):
            outcome, published = await bulk.refold(*worker, tools.cache, one.customer_id)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        unpublished += not published

    # A `Line` serves one task at a time, so each worker has its own.
    lines = [tools.new_line() for _ in range(jobs)]
    workers = [(Refolder(line, tools.lists, tools.time_zone), line) for line in lines]
    await bulk.for_each(chosen(), workers, work)
    said = ", ".join(f"{n} {outcome.value}" for outcome, n in outcomes.items())
    typer.echo(f"{report.whole()}: {said or 'nothing to do'}.")
    if unpublished:
        say(f"Redis did not take {unpublished}; it learns of them within a minute.", err=True)
    return outcomes.get(Outcome.PARKED, 0)


async def _verify(tools: _Tools, chosen: Chosen, jobs: int) -> int:
    """Verify the chosen customers and print each difference. Return how many customers differ."""
    different = 0
    report = await _report(chosen)

    async def work(verifier: Verifier, one: Known) -> None:
        nonlocal different
        with report.of(one):
            found = await verifier.differences(one.customer_id)
        if found:
            different += 1
            say(f"customer {one.customer_id}: {'; '.join(found)}")

    workers = [Verifier(tools.new_line(), tools.lists, tools.time_zone) for _ in range(jobs)]
    try:
        await bulk.for_each(chosen(), workers, work)
    except BaseException:
        say(f"Stopped. Go on with: verify --from-customer {report.next_customer()}", err=True)
        raise
    typer.echo(f"{report.whole()}.")
    return different


async def _report(chosen: Chosen) -> Report:
    customers = events = 0
    async for one in chosen():
        customers += 1
        events += one.events
    return Report(customers, events, SystemClock(), partial(say, err=True))


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
        yield _Tools(lists, DocumentCache(redis), new_line, settings.portal_time_zone)


def _with_tools(work: Callable[[_Tools], Coroutine[Any, Any, ResultT]]) -> ResultT:
    settings = load(RefoldSettings)
    logs.configure(level="warning", log_format="console", service="portal-query")

    async def go() -> ResultT:
        async with _tools(settings) as tools:
            return await work(tools)

    return or_give_up(lambda: asyncio.run(go()))


def or_give_up(work: Callable[[], ResultT]) -> ResultT:
    """Run `work` and return its result.

    Exit with status 69 (EX_UNAVAILABLE) and one line of text when a dependency is unavailable.
    """
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
    return fail(f"Not possible now: {type(reason).__name__}: {reason}", 69)
