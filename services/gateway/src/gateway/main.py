"""The gateway process: it reads its settings, opens its resources, serves, and closes in reverse.

Run: python -m gateway.main
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gateway import store
from gateway.accounts import FAILED_SECONDS, Accounts, SessionRules
from gateway.aiohttp_upstream import AiohttpUpstream
from gateway.answers import security_headers
from gateway.audit import Audit
from gateway.buckets import MemoryBuckets, SharedBuckets
from gateway.csrf import UserSecrets
from gateway.devices import DeviceTokens
from gateway.downloads import HEAD_SECONDS, Downloads
from gateway.downloads import IN_ALL as DOWNLOADS_IN_ALL
from gateway.form_posts import FormPosts
from gateway.front import Front, Parts
from gateway.hashing import HashPool
from gateway.identity import IdentityTokens
from gateway.judgement import Judge
from gateway.keepalive import KeptUpstream
from gateway.limits import RequestLimits, request_counter
from gateway.login import Cookies, LoginPages
from gateway.pages import Pages
from gateway.proxy import Calls, Proxy
from gateway.refusals import RefusalAnswers
from gateway.request import Hosts, Peers
from gateway.routes import RouteTable
from gateway.sessions import SessionAnswers
from gateway.settings import GatewaySettings
from gateway.sign_in_limits import SignInLimits
from gateway.streams import IDLE_SECONDS, IN_ALL, RECHECK_SECONDS, Streams
from gateway.upstream import CONNECTIONS, Upstream
from gateway.visitor import Visitors
from portal_access.token import QUERY, WRITER, TokenSigner
from repair_events.ids import new_id
from service_runtime import lifecycle, logs
from service_runtime.access_log import AccessLog
from service_runtime.clock import Clock, SystemClock
from service_runtime.metrics import BUILD_INFO
from service_runtime.ops import Health, OpsServer
from service_runtime.postgres import close_pool, create_pool, is_infrastructure
from service_runtime.redis import create_redis
from service_runtime.settings import load
from service_runtime.watchdog import Watchdog

_POOL: Final = 8
#: Twice the connections to the services, so that each of them always has work. By Little's law 128
#: requests wait 0.1 s at 1 000 a second, and 1 s at 128 a second.
_MAX_REQUESTS: Final = 2 * CONNECTIONS
_SWEEP_SECONDS: Final = 600.0
_VERSION: Final = "0.1.0"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts that live as long as the process."""

    app: Front
    pool: store.Pool
    visitors: Visitors
    streams: Streams
    audit: Audit
    log: AccessLog


@asynccontextmanager
async def build(
    settings: GatewaySettings,
    clock: Clock,
    *,
    failed_seconds: float = FAILED_SECONDS,
    recheck_seconds: float = RECHECK_SECONDS,
) -> AsyncIterator[Gateway]:
    """Build the gateway of these settings, for the process and for tests."""
    async with AsyncExitStack() as stack:
        pool = await create_pool(settings.gateway_database_url, name="gateway", size=_POOL)
        stack.push_async_callback(close_pool, pool)
        visitors = Visitors(
            settings.gateway_database_url, idle_seconds=settings.gateway_session_idle_seconds
        )
        stack.push_async_callback(visitors.close)
        await visitors.open()
        audit = Audit(clock)
        stack.push_async_callback(audit.write_waiting, pool)
        accounts = _accounts(
            settings, pool, audit, clock, stack=stack, failed_seconds=failed_seconds
        )
        streams = Streams(
            _upstreams(
                settings,
                stack,
                lambda url: AiohttpUpstream(url, connections=IN_ALL, idle_seconds=IDLE_SECONDS),
            ),
            visitors,
            recheck_seconds=recheck_seconds,
        )
        log = AccessLog(
            clock, service="gateway", level=settings.log_level, log_format=settings.log_format
        )
        stack.callback(log.flush)
        front = _front(
            settings,
            clock,
            stack,
            pool=pool,
            accounts=accounts,
            visitors=visitors,
            streams=streams,
            log=log,
        )
        yield Gateway(front, pool, visitors, streams, audit, log)


def _upstreams(
    settings: GatewaySettings, stack: AsyncExitStack, make: Callable[[str], Upstream]
) -> dict[str, Upstream]:
    upstreams = {"query": make(settings.query_url), "writer": make(settings.writer_url)}
    for upstream in upstreams.values():
        stack.push_async_callback(upstream.close)
    return upstreams


def _accounts(
    settings: GatewaySettings,
    pool: store.Pool,
    audit: Audit,
    clock: Clock,
    *,
    stack: AsyncExitStack,
    failed_seconds: float,
) -> Accounts:
    hashes = HashPool()
    stack.callback(hashes.close)
    return Accounts(
        pool,
        _sign_in_limits(settings, clock, stack),
        hashes,
        audit,
        clock,
        rules=SessionRules(
            settings.gateway_session_idle_seconds,
            settings.gateway_session_max_seconds,
            settings.gateway_sessions_per_user,
        ),
        # It only keeps names out of the store of the limits. All gateways must agree on it.
        key=hashlib.sha256(b"login limits" + settings.identity_keys_query.encode()).digest(),
        devices=DeviceTokens(settings.identity_keys_query),
        failed_seconds=failed_seconds,
    )


def _sign_in_limits(settings: GatewaySettings, clock: Clock, stack: AsyncExitStack) -> SignInLimits:
    shared = None
    if settings.limits_redis_url is not None:
        client = create_redis(settings.limits_redis_url)
        stack.push_async_callback(client.aclose)
        shared = SharedBuckets(client.register_script, clock)
    return SignInLimits(
        shared, MemoryBuckets(clock), clock, attempts_a_minute=settings.gateway_login_rate
    )


def _front(
    settings: GatewaySettings,
    clock: Clock,
    stack: AsyncExitStack,
    *,
    pool: store.Pool,
    accounts: Accounts,
    visitors: Visitors,
    streams: Streams,
    log: AccessLog,
) -> Front:
    secure = settings.gateway_cookie_secure
    cookies = Cookies(secure, settings.gateway_session_max_seconds, clock)
    pages = Pages()
    tokens = {
        "query": IdentityTokens(TokenSigner(settings.identity_keys_query, QUERY), clock),
        "writer": IdentityTokens(TokenSigner(settings.identity_keys_writer, WRITER), clock),
    }
    kept = _upstreams(settings, stack, lambda url: KeptUpstream(url, connections=CONNECTIONS))
    files = _upstreams(
        settings,
        stack,
        lambda url: KeptUpstream(url, connections=DOWNLOADS_IN_ALL, head_seconds=HEAD_SECONDS),
    )
    calls, proxy = Calls(tokens), Proxy(kept)
    secrets = UserSecrets(settings.identity_keys_query)
    devices = DeviceTokens(settings.identity_keys_query)
    login = LoginPages(accounts, pages, cookies, secrets, clock, device_tokens=devices)
    refusals = RefusalAnswers(pages)
    judge = Judge(
        table=RouteTable(),
        hosts=Hosts(settings.allowed_hosts),
        peers=Peers(settings.trusted_proxies),
        visitors=visitors,
        limits=_request_limits(settings, clock, stack),
        login=login,
        pages=pages,
        cookies=cookies,
        secrets=secrets,
        refusals=refusals,
        scheme="https" if secure else "http",
    )
    parts = Parts(
        judge=judge,
        visitors=visitors,
        login=login,
        sessions=SessionAnswers(pool, clock, idle_seconds=settings.gateway_session_idle_seconds),
        calls=calls,
        proxy=proxy,
        forms=FormPosts(calls, proxy, pages),
        downloads=Downloads(Proxy(files)),
        streams=streams,
        refusals=refusals,
        log=log,
        new_id=new_id,
    )
    return Front(parts, https=secure)


def _request_limits(
    settings: GatewaySettings, clock: Clock, stack: AsyncExitStack
) -> RequestLimits | None:
    if not settings.gateway_session_rate and not settings.gateway_customer_rate:
        return None
    counter = request_counter(settings.limits_redis_url, clock)
    stack.push_async_callback(counter.aclose)
    return RequestLimits(
        counter,
        per_session=settings.gateway_session_rate,
        per_customer=settings.gateway_customer_rate,
    )


async def sweep(gateway: Gateway, settings: GatewaySettings) -> None:
    """Delete ended sessions and old devices and audit events every ten minutes, until cancelled."""
    while True:
        try:
            ended = await store.sweep(
                gateway.pool, settings.gateway_session_idle_seconds, settings.gateway_audit_days
            )
            if ended:
                logs.get().info("sessions-swept", sessions=ended)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            logs.get().warning("sweep-waits", error=repr(error))
        await asyncio.sleep(_SWEEP_SECONDS)


async def serve(stop: asyncio.Event, settings: GatewaySettings) -> None:
    """Run the gateway until `stop` is set."""
    clock = SystemClock()
    health = Health(clock)
    BUILD_INFO.labels("gateway", _VERSION).set(1)
    listener = lifecycle.listen(settings.gateway_host, settings.gateway_port, settings.listen_fd)
    async with (
        build(settings, clock) as gateway,
        OpsServer(health, settings.ops_host, settings.ops_port),
    ):
        watchdog = Watchdog(health)
        watchdog.watch("sessions", gateway.visitors.check, gateway.visitors.check_store)
        async with lifecycle.background(
            watchdog.run(),
            gateway.visitors.write_touches(gateway.pool, lambda: health.beat("touches")),
            gateway.audit.write(gateway.pool, lambda: health.beat("audit")),
            sweep(gateway, settings),
        ):
            await lifecycle.serve_http(
                gateway.app,
                listener,
                stop=stop,
                health=health,
                before_stop=gateway.streams.close,
                limits=settings.http_limits(settings.trusted_proxies),
                max_requests=_MAX_REQUESTS,
                refusal_headers=security_headers(https=settings.gateway_cookie_secure),
            )


def main() -> None:
    """Start the process."""
    settings = load(GatewaySettings)
    logs.configure(level=settings.log_level, log_format=settings.log_format, service="gateway")
    lifecycle.run(lambda stop: serve(stop, settings))


if __name__ == "__main__":
    main()
