"""A small S3 over HTTP, in a thread of its own: puts, gets and deletes objects, and lists nothing.

As Amazon's does where nobody may list, it says 403, and not 404, of an object that is not there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


ACCESS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}


class Shelf:
    """What it holds, who asked, and what it refuses."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str]] = []  # method, path with query, authorization
        self.refused: set[str] = set()  # methods
        self.failing = False
        self.base = ""


@contextmanager
def s3_stand_in() -> Iterator[Shelf]:
    """Run it until the block ends."""
    shelf = Shelf()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_said: object) -> None:
            """Say nothing."""

        def _answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 200:
                self.send_header("ETag", '"e"')
                self.send_header("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            signed = self.headers.get("Authorization", "")
            shelf.asked.append((self.command, self.path, signed))
            name = self.path.partition("?")[0]
            if shelf.failing:
                self._answer(500)
            elif not signed.startswith("AWS4-HMAC-SHA256 Credential=") or (
                self.command in shelf.refused or "?" in self.path
            ):
                self._answer(403, DENIED)
            elif self.command == "PUT":
                shelf.objects[name] = body
                self._answer(200)
            elif self.command == "DELETE":
                shelf.objects.pop(name, None)
                self._answer(204)
            elif name in shelf.objects:
                self._answer(200, shelf.objects[name])
            else:
                self._answer(403, DENIED)

        do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _handle  # noqa: N815  http.server's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    shelf.base = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield shelf
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
