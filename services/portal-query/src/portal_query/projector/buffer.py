"""What has been read and not been taken yet, in the order in which it was read."""

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
    """Filled by the intake, taken from by the applier; whoever waits is told of each change."""

    def __init__(self) -> None:
        self.size = 0
        self._chunks: deque[_Chunk] = deque()
        self._changed = asyncio.Event()

    def add(self, partition: int, records: Sequence[ConsumerRecord], mark: Mark) -> None:
        """Append records of a partition; `mark` stands after the last of them."""
        self._chunks.append(_Chunk(partition, records, mark))
        self.size += len(records)
        self.say()

    def take(self, limit: int) -> tuple[list[ConsumerRecord], dict[int, Mark]]:
        """Take at most `limit` records; with them, per partition, the mark after the last."""
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
        """Drop everything."""
        self._chunks.clear()
        self.size = 0
        self.say()

    def say(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, timeout: float) -> None:  # noqa: ASYNC109 - waiting shorter is no error
        """Wait for the next change, at most so long."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout):
                await changed.wait()
        except TimeoutError:
            return
