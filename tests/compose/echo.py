"""A stand-in for the gateway and the writer behind nginx: it answers with what it was sent."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/customer/api/events/":
            self.stream()
            return
        length = int(self.headers.get("Content-Length") or 0)
        sent = {
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body_bytes": len(self.rfile.read(length)),
            "padding": "x" * 2048,
        }
        body = json.dumps(sent).encode()
        self.send_response(200)
        self.send_header("Content-Type", self.kind())
        self.send_header("ETag", '"42.1.7"')
        self.send_header("X-Request-Id", "answered-by-echo")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def kind(self) -> str:
        """Return what the gateway answers at this path: data, a style, or a page."""
        if self.path.startswith("/static/"):
            return "text/css"
        data = self.path.startswith(("/customer/api/", "/v1/")) and "/docs/" not in self.path
        return "application/json" if data else "text/html"

    do_POST = do_GET  # noqa: N815 - the server's naming

    def stream(self) -> None:
        """Send one event, and the next only after two seconds."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(2):
            self.wfile.write(b"data: %d\n\n" % number)
            self.wfile.flush()
            time.sleep(2)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Echo).serve_forever()
