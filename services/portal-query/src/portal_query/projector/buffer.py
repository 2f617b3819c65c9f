"""Records that have been read and wait to be applied, in reading order."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from portal_query.projector.positions import Mark
from service_runtime.kafka import ConsumerRecord


@dataclass(slots=True)
class _Chunk:
    partition: int
    records: Sequence[ConsumerRecord]
    mark: Mark


class Buffer:
    """A queue between the intake and the applier. Each change wakes the waiting tasks."""

    def __init__(self) -> None:
        self.size = 0
        self._chunks: deque[_Chunk] = deque()
        self._changed = asyncio.Event()

    def add(self, partition: int, records: Sequence[ConsumerRecord], mark: Mark) -> None:
        """Append records of a partition. `mark` is the position after the last of them."""
        self._chunks.append(_Chunk(partition, records, mark))
        self.size += len(records)
        self.say()

    def take(self, limit: int) -> tuple[list[ConsumerRecord], dict[int, Mark]]:
        """Remove and return at most `limit` records, and per partition the mark after the last."""
        taken: list[ConsumerRecord] = []
        marks: dict[int, Mark] = {}
        while self._chunks and len(taken) < limit:
            chunk = self._chunks[0]
            room = limit - len(taken)
            if len(chunk.records) <= room:
                self._chunks.popleft()
                taken += chunk.records
                marks[chunk.partition] = chunk.mark
            else:
                taken += chunk.records[:room]
                chunk.records = chunk.records[room:]
                marks[chunk.partition] = chunk.mark._replace(offset=chunk.records[0].offset)
        self.size -= len(taken)
        self.say()
        return taken, marks

    def clear(self) -> None:
        """Remove all records."""
        self._chunks.clear()
        self.size = 0
        self.say()

    def say(self) -> None:
        """Wake the tasks that wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, timeout: float) -> None:  # noqa: ASYNC109 - waiting shorter is no error
        """Wait for the next change, at most `timeout` seconds."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout):
                await changed.wait()
        except TimeoutError:
            return
