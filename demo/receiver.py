"""A receiver of webhooks, as an integrator would have one: it checks each signature."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Final, Self

import jwt

from demo.processes import HOST, DemoError

ARRIVES_WITHIN_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Webhook:
    """What came, as it came."""

    kind: str  # invoice.payment_failure, …
    thing: dict[str, Any]
    unique_key: str
    signature: str
    body: str

    def check_signature(self, public_key: bytes) -> str:
        """Check that Recoup sent exactly this body, and return who signed it.

        The signature is a token signed with RS256 whose claim `data` is the body.
        """
        claims = jwt.decode(self.signature, public_key.decode(), algorithms=["RS256"])
        if claims["data"] != self.body:
            raise DemoError(f"The webhook {self.kind} is signed, but for another body.")
        return str(claims["iss"])


class Receiver:
    """Listens on a free port; whoever waits is woken by what comes."""

    def __init__(self) -> None:
        self.came: list[Webhook] = []
        self._news = Condition()
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}/"

    def wait_for(self, kind: str, about: Callable[[dict[str, Any]], bool]) -> Webhook:
        """Return the first webhook of this kind and about this thing; it may be here already."""
        deadline = time.monotonic() + ARRIVES_WITHIN_SECONDS
        with self._news:
            while True:
                for webhook in self.came:
                    if webhook.kind == kind and about(webhook.thing):
                        return webhook
                if not self._news.wait(deadline - time.monotonic()):
                    kinds = ", ".join(webhook.kind for webhook in self.came) or "nothing"
                    raise DemoError(
                        f"No webhook {kind} within {ARRIVES_WITHIN_SECONDS:.0f} s; came: {kinds}."
                    )

    def _take(self, headers: Any, body: str) -> None:
        told = json.loads(body)
        with self._news:
            self.came.append(
                Webhook(
                    kind=told["webhook_type"],
                    thing=told[told["object_type"]],
                    unique_key=headers["X-Lago-Unique-Key"],
                    signature=headers["X-Lago-Signature"],
                    body=body,
                )
            )
            self._news.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver._take(self.headers, body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the walk shows what came."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
