"""Floor of every endpoint: uvicorn, one function, ready bytes. `python -m bench.bare FILE PORT`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn


def app_of(body: bytes) -> Any:
    """Return an ASGI application that sends `body` to every request."""
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    whole = {"type": "http.response.body", "body": body}

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start)
        await send(whole)

    return answer


def main() -> None:
    """Serve the file's bytes."""
    body = Path(sys.argv[1]).read_bytes()
    uvicorn.run(
        app_of(body), host="127.0.0.1", port=int(sys.argv[2]), lifespan="off", access_log=False, loop="uvloop",
        http="httptools", log_level="warning", server_header=False, proxy_headers=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
