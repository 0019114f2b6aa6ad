"""Small HTTP servers for tests, on a free port of this machine."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The server's address, until the block ends. Requests that are still open are left behind."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Gate(BaseHTTPRequestHandler):
    """Stands in front of the local Studio: answers a request itself, or forwards it."""

    def do_POST(self) -> None:
        self.respond(self.rfile.read(int(self.headers["Content-Length"])))

    def respond(self, body: bytes) -> None:
        """Answers or forwards a request."""
        raise NotImplementedError

    @property
    def signer(self) -> tuple[str, str]:
        """The access key and the region of the request's signature; empty if there is none."""
        found = re.search(r"Credential=(\w+)/\d+/([\w-]+)/", self.headers["Authorization"])
        return (found[1], found[2]) if found else ("", "")

    def forward(self, url: str, body: bytes) -> None:
        """Answers as the Studio at ``url`` does."""
        headers = {name: self.headers[name] for name in ("Content-Type", "X-Amz-Target")}
        request = urllib.request.Request(url, body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=90) as reply:  # noqa: S310
                self.answer(reply.status, reply.read(), reply.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            with error:
                self.answer(error.code, error.read(), error.headers["Content-Type"])

    def answer(self, status: int, body: bytes, kind: str) -> None:
        """Answers a request."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""
