"""Leaky buckets with a growing wait. One atomic step fills several buckets, or changes none.

`limits` has no strategy that returns a count, or one whose wait grows. The rule is written twice:
in Lua for the shared store, in Python for the memory of one process.
`tests/integration/test_buckets.py` compares them.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from service_runtime.clock import Clock

#: A take that the shared store executes later than this after it was sent counts nothing.
_LATE_SECONDS: Final = 1.0
#: Keys in the memory of one process; beyond it the least recently used key is removed.
_MAX_IN_MEMORY: Final = 50_000
_LATE: Final = -1

_Script = Callable[..., Awaitable[Any]]


class LateError(Exception):
    """An error for a command that the store executed too late for its caller."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A limit: `size` at once, and one is forgotten every `forget_seconds`.

    The drop that fills the bucket blocks it for `forget_seconds`. Each further drop doubles the
    time, up to `longest_seconds`. A blocked bucket forgets nothing until its wait has ended. A
    drop that is given back leaves no trace, and no wait.
    """

    name: str
    size: int
    forget_seconds: float
    longest_seconds: float

    @property
    def top(self) -> int:
        """The highest count: it has the longest wait."""
        return self.size + math.ceil(math.log2(self.longest_seconds / self.forget_seconds))

    def shared_among(self, processes: int, smallest: int) -> "Bucket":
        """Return the share of one of `processes` processes, with a size of at least `smallest`."""
        return replace(self, size=max(min(smallest, self.size), self.size // processes))


#: A bucket and the key that it counts: an account, an address, a device.
Drop = tuple[Bucket, str]


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of a step: allowed, or refused by the named bucket for `seconds`."""

    refused_by: str = ""
    seconds: float = 0.0

    @property
    def allowed(self) -> bool:
        """True if every bucket took its drop."""
        return not self.refused_by


class Buckets(Protocol):
    """A store of buckets."""

    async def take(self, drops: Sequence[Drop]) -> Taken:
        """Add one to each bucket, or to none if one of them is blocked."""
        ...

    async def give_back(self, drops: Sequence[Drop]) -> Taken:
        """Remove the one that was added to each bucket, and end the wait that it caused."""
        ...


@dataclass(frozen=True, slots=True)
class _State:
    count: int
    since: float
    blocked_until: float

    def after_another(self, bucket: Bucket, now: float) -> "_State":
        since = max(self.since, self.blocked_until)
        forgotten = int(max(0.0, now - since) // bucket.forget_seconds)
        count = max(0, self.count - forgotten)
        since = now if count == 0 else since + forgotten * bucket.forget_seconds
        count = min(count + 1, bucket.top)
        if count < bucket.size:
            return _State(count, since, 0.0)
        wait = min(bucket.longest_seconds, bucket.forget_seconds * 2 ** (count - bucket.size))
        return _State(count, since, now + wait)

    def ends_at(self, bucket: Bucket) -> float:
        return max(self.since, self.blocked_until) + self.count * bucket.forget_seconds


class MemoryBuckets:
    """The buckets of one process, in its memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str], tuple[Bucket, _State]] = {}

    async def take(self, drops: Sequence[Drop]) -> Taken:
        """Add one to each bucket, or to none if one of them is blocked."""
        now = self._clock.monotonic()
        states = [self._state(drop, now) for drop in drops]
        waits = [state.blocked_until - now for state in states]
        longest = max(range(len(drops)), key=waits.__getitem__)
        if waits[longest] > 0:
            return Taken(drops[longest][0].name, waits[longest])
        for (bucket, key), state in zip(drops, states, strict=True):
            self._held.pop((bucket.name, key), None)  # so that it becomes the newest key
            self._held[bucket.name, key] = (bucket, state.after_another(bucket, now))
        self._bound(now)
        return Taken()

    async def give_back(self, drops: Sequence[Drop]) -> Taken:
        """Remove the one that was added to each bucket, and end the wait that it caused."""
        now = self._clock.monotonic()
        for bucket, key in drops:
            state = self._state((bucket, key), now)
            if state.count > 1:
                left = _State(state.count - 1, state.since, 0.0)
                self._held[bucket.name, key] = (bucket, left)
            else:
                self._held.pop((bucket.name, key), None)
        return Taken()

    def _state(self, drop: Drop, now: float) -> _State:
        held = self._held.get((drop[0].name, drop[1]))
        return _State(0, now, 0.0) if held is None else held[1]

    def _bound(self, now: float) -> None:
        if len(self._held) <= _MAX_IN_MEMORY:
            return
        for name, (bucket, state) in list(self._held.items()):
            if state.ends_at(bucket) <= now:
                del self._held[name]
        while len(self._held) > _MAX_IN_MEMORY * 3 // 4:
            del self._held[next(iter(self._held))]


# A value is "count since blocked_until". It expires when all of it is forgotten.
_SHARED: Final = """
local now, latest = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local function state(key)
  local held = redis.call('GET', key)
  if not held then return 0, now, 0 end
  local count, since, blocked = string.match(held, '^(%S+) (%S+) (%S+)$')
  return tonumber(count), tonumber(since), tonumber(blocked)
end
local function keep(key, count, since, blocked, forget)
  local ends = math.max(since, blocked) + count * forget
  redis.call('SET', key, string.format('%d %.6f %.6f', count, since, blocked),
             'PX', math.max(1, math.ceil((ends - now) * 1000)))
end
local function answer(refused, wait)
  return {refused, string.format('%.6f', wait), string.format('%.6f', now)}
end
"""
_TAKE: Final = (
    _SHARED
    + """
if latest and now > latest then return answer(-1, 0) end
local refused, longest_wait = 0, 0
for i, key in ipairs(KEYS) do
  local _, _, blocked = state(key)
  if blocked - now > longest_wait then refused, longest_wait = i, blocked - now end
end
if refused > 0 then return answer(refused, longest_wait) end
for i, key in ipairs(KEYS) do
  local size, forget = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local longest, top = tonumber(ARGV[4 * i + 1]), tonumber(ARGV[4 * i + 2])
  local count, since, blocked = state(key)
  since = math.max(since, blocked)
  local forgotten = math.floor(math.max(0, now - since) / forget)
  count = math.max(0, count - forgotten)
  if count == 0 then since = now else since = since + forgotten * forget end
  count = math.min(count + 1, top)
  blocked = 0
  if count >= size then
    blocked = now + math.min(longest, forget * 2 ^ (count - size))
  end
  keep(key, count, since, blocked, forget)
end
return answer(0, 0)
"""
)
_GIVE_BACK: Final = (
    _SHARED
    + """
for i, key in ipairs(KEYS) do
  local count, since = state(key)
  if count > 1 then
    keep(key, count - 1, since, 0, tonumber(ARGV[4 * i]))
  else
    redis.call('DEL', key)
  end
end
return answer(0, 0)
"""
)


class SharedBuckets:
    """The buckets of all gateways, in Valkey, by its clock.

    A command carries the latest time at which it may count. While the store hangs, a command can
    wait in its buffer, and the attempt is counted elsewhere. The late command must not count it
    again. `register` is the driver's `register_script`.
    """

    def __init__(self, register: Callable[[str], _Script], clock: Clock) -> None:
        self._take = register(_TAKE)
        self._give_back = register(_GIVE_BACK)
        self._clock = clock
        #: Replaces the store's clock, in seconds; for tests.
        self.now: float | None = None
        #: The store's clock minus this process's clock (seconds), from the last reply.
        self._offset: float | None = None

    async def take(self, drops: Sequence[Drop]) -> Taken:
        """Add one to each bucket, or to none if one of them is blocked.

        Raises LateError, and the driver's errors while the store is unavailable.
        """
        sent = self._clock.monotonic()
        latest = "" if self._offset is None else repr(sent + self._offset + _LATE_SECONDS)
        refused, wait, store_now = await self._run(self._take, drops, latest)
        self._offset = float(store_now) - sent
        if refused == _LATE:
            raise LateError
        return Taken() if refused == 0 else Taken(drops[refused - 1][0].name, float(wait))

    async def give_back(self, drops: Sequence[Drop]) -> Taken:
        """Remove the one that was added to each bucket, and end the wait that it caused.

        Raises the driver's errors while the store is unavailable.
        """
        await self._run(self._give_back, drops, "")
        return Taken()

    async def _run(self, script: _Script, drops: Sequence[Drop], latest: str) -> Any:
        arguments: list[str] = ["" if self.now is None else repr(self.now), latest]
        for bucket, _ in drops:
            numbers = (bucket.size, bucket.forget_seconds, bucket.longest_seconds, bucket.top)
            arguments += [repr(number) for number in numbers]
        keys = [f"{bucket.name}:{key}" for bucket, key in drops]
        return await script(keys=keys, args=arguments)
