"""Logs: one JSON object a line on stdout, or readable lines for a person.

Event names are constant; variable parts go into fields. Never log a body, a token, a password or a
list of units.
"""

import logging
import sys
import time
from typing import Any, Final

import orjson
import structlog

_SAY_AGAIN_SECONDS: Final = 10.0
_MAX_HEARD: Final = 1_000


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def configure(*, level: str, log_format: str, service: str) -> None:
    """Configure logging of this process; `service` is a field of each line."""
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if log_format == "json":
        processors += [
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(serializer=_dumps),
        ]
    else:
        # Plain tracebacks: rendering one with its variables blocks the event loop for seconds.
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Warnings of libraries become lines of this log.
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


class _ToStructlog(logging.Handler):
    """Handler that logs the records of libraries, without their tracebacks.

    A repeated message (of a driver whose server is unavailable) is logged once in ten seconds, with
    the number of suppressed repetitions.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        key = (record.name, str(record.msg)[:200])
        last, unheard = self._heard.get(key, (-_SAY_AGAIN_SECONDS, 0))
        now = time.monotonic()
        if now - last < _SAY_AGAIN_SECONDS:
            self._heard[key] = (last, unheard + 1)
            return
        if len(self._heard) >= _MAX_HEARD:
            self._heard.clear()
        self._heard[key] = (now, 0)
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message}: {record.exc_info[1]!r}"
        more = {"unheard": unheard} if unheard else {}
        structlog.get_logger().log(
            record.levelno, "library", logger=record.name, text=message[:2_000], **more
        )


def get() -> structlog.typing.FilteringBoundLogger:
    """Return the logger of this process."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
