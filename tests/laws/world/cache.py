"""Redis in memory: the hashes of cached counts and of times, and the two scripts that change them.

A stand-in for the server; `integration/test_cache.py` gives the real one the same input and
compares.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from redis.exceptions import ConnectionError as RedisConnectionError
from tests.laws.world.calls import Calls, Process

from portal_query.document import VIEWS
from portal_query.read_model.redis import AS_OF_KEY, LIFE_SECONDS

_FIELDS: Final = 8


@dataclass(frozen=True)
class Held:
    """Cached counts as Redis holds them, with their expiry."""

    refold: int
    revision: int
    tag: str
    frozen: str
    bodies: tuple[bytes, ...]
    until: float


class Server:
    """Contents of Redis: cached counts by customer, times by partition."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.documents: dict[int, Held] = {}
        self.times: dict[int, str] = {}
        #: Called for each accepted write, with the state before and after.
        self.taken: Callable[[int, Held | None, Held], None] = lambda *_: None

    def get(self, customer: int) -> Held | None:
        """Return cached counts that have not expired."""
        held = self.documents.get(customer)
        return held if held is not None and self._seconds() < held.until else None

    def put(self, arguments: Sequence[Any]) -> int:
        """Store those cached counts that are newer, as the script does; return their number."""
        taken = 0
        for at in range(2, len(arguments), _FIELDS):
            customer, refold, revision, tag, frozen, *bodies = arguments[at : at + _FIELDS]
            held = self.get(customer)
            until = self._seconds() + LIFE_SECONDS
            made = Held(refold, revision, tag, frozen, tuple(bodies), until)
            newer = 1 if held is None else _newer(held, made)
            if newer > 0:
                taken += 1
                self.documents[customer] = made
                self.taken(customer, held, made)
            elif newer == 0 and held is not None:
                self.documents[customer] = Held(
                    held.refold, held.revision, held.tag, held.frozen, held.bodies, until
                )
        return taken

    def empty(self) -> None:
        """Lose everything."""
        self.documents, self.times = {}, {}


def _newer(held: Held, made: Held) -> int:
    newer = made.refold - held.refold or made.revision - held.revision
    return 1 if newer == 0 and not held.frozen and made.frozen else newer


class MemoryRedis:
    """Stand-in for a client of redis-py."""

    def __init__(self, calls: Calls, process: Process, server: Server) -> None:
        self._calls = calls
        self._process = process
        self._server = server

    def register_script(self, text: str) -> Callable[..., Any]:
        """Return a runner of one of the two scripts; their writes distinguish them."""
        if "HSET" in text:
            return self._put
        return self._read

    async def _put(self, *, keys: Sequence[str], args: Sequence[Any]) -> int:
        assert len(keys) == (len(args) - 2) // _FIELDS
        return int(await self._ask("put", lambda: self._server.put(args), late=True))

    async def _read(self, *, keys: Sequence[str], args: Sequence[str]) -> list[Any]:
        def read() -> list[Any]:
            assert keys[0] == AS_OF_KEY
            times: list[bytes] = []
            for partition, moment in self._server.times.items():
                times += (b"%d" % partition, moment.encode())
            return [times, *(self._view(k, v) for k, v in zip(keys[1:], args, strict=True))]

        found: list[Any] = await self._ask("read", read)
        return found

    def _view(self, key: str, view: str) -> list[bytes | None]:
        held = self._server.get(int(key.rpartition(":")[2]))
        if held is None:
            return [None, None, None]
        return [held.tag.encode(), held.frozen.encode(), held.bodies[VIEWS.index(view)]]

    async def hset(self, key: str, *, items: Sequence[Any]) -> None:
        """Set times of partitions."""
        assert key == AS_OF_KEY
        made: Mapping[int, str] = dict(zip(items[::2], items[1::2], strict=True))
        await self._ask("hset", lambda: self._server.times.update(made), late=True)

    async def hdel(self, key: str, *fields: str) -> None:
        """Remove times of partitions."""
        assert key == AS_OF_KEY

        def delete() -> None:
            for one in fields:
                self._server.times.pop(int(one), None)

        await self._ask("hdel", delete)

    def pipeline(self, *, transaction: bool) -> "_Pipeline":
        """Return a reader of several customers' versions at once."""
        assert not transaction
        return _Pipeline(self)

    async def versions(self, customers: Sequence[int]) -> list[list[bytes | None]]:
        """Return refold and revision of each."""

        def read() -> list[list[bytes | None]]:
            found = map(self._server.get, customers)
            return [
                [None, None] if one is None else [b"%d" % one.refold, b"%d" % one.revision]
                for one in found
            ]

        answer: list[list[bytes | None]] = await self._ask("versions", read)
        return answer

    async def _ask(self, name: str, do: Callable[[], Any], *, late: bool = False) -> Any:
        return await self._calls.ask(
            self._process,
            f"{self._process.name} redis {name}",
            do,
            error=lambda: RedisConnectionError(f"connection lost in {name}"),
            late=late,
        )


class _Pipeline:
    def __init__(self, client: MemoryRedis) -> None:
        self._client = client
        self._customers: list[int] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def hmget(self, key: str, *_: str) -> None:
        self._customers.append(int(key.rpartition(":")[2]))

    async def execute(self) -> list[list[bytes | None]]:
        return await self._client.versions(self._customers)
