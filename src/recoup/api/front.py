"""What stands before the handlers: odd paths made plain, bodies read and capped, callers found.

The order is the contract's (sections 1.2 and 1.6): the route, then the JSON, then the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from recoup.api import errors
from recoup.rules.refusal import Refusal
from recoup.store.api_keys import digest

if TYPE_CHECKING:
    from recoup.api.edge import Edge

MOST_BODY_BYTES: Final = 1_000_000
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# The last segment of these is free text (an external id, a code), so `.json` there is part of it.
_FREE_TEXT = re.compile(r"^/api/v1/(customers|add_ons|taxes|billing_entities)/[^/]+$")
_TOO_LARGE = b'{"status":413,"error":"Request Entity Too Large"}'


class _CallerGoneError(Exception):
    """The caller hung up before the end of the body."""


class Front:
    """Wraps the whole application: plain paths in, and no body above the cap."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # a GET whose body the server leaves out
            scope = {**scope, "method": "GET"}
        if scope["method"] not in METHODS:
            await _refuse(send, errors.NO_ROUTE)
            return
        # The raw path, still encoded: `%2F` in an external id is no slash. Handlers decode it.
        scope["path"] = _plain(scope["raw_path"].decode("latin-1"))
        try:
            body = await _read(receive)
        except _CallerGoneError:
            return
        if body is None:
            await _send(send, 413, _TOO_LARGE)
            return
        scope["recoup_body"] = body  # type: ignore[typeddict-unknown-key]
        await self._app(scope, _replay(body, receive), send)


class Leaving:
    """Wraps the whole application: while the process is on its way out, connections are not kept.

    Or else whoever keeps one would send the next call just when it is closed.
    """

    def __init__(self, app: ASGIApp, edge: Edge) -> None:
        self._app = app
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._edge.stopping:
                headers = [*message.get("headers", []), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, closing)


class Authenticated:
    """Wraps the handlers below `/api/v1`: readable JSON, then a key that we know."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope_values: Any = scope
        body = scope_values["recoup_body"]
        asked = _read_object(body) if body else {}
        if asked is None:
            await _refuse(send, errors.UNREADABLE)
            return
        scope_values["recoup_sent"] = asked
        key = _shown_key(scope_values["headers"])
        edge: Edge = scope_values["litestar_app"].state["edge"]
        caller = await edge.callers.ask(digest(key)) if key else None
        if caller is None:
            await _refuse(send, errors.UNAUTHORIZED)
            return
        scope["auth"] = caller
        scope["user"] = None
        await self._app(scope, receive, send)


def sent(scope: Any) -> dict[str, Any]:
    """The object that the call's body holds, as it was sent: also the keys that nobody reads."""
    asked: dict[str, Any] = scope["recoup_sent"]
    return asked


def _plain(raw: str) -> str:
    """Drop the query, doubled and trailing slashes, and a `.json` that is a format suffix."""
    path = re.sub("/{2,}", "/", raw.partition("?")[0]).rstrip("/") or "/"
    if path.endswith(".json") and not _FREE_TEXT.match(path) and not path.endswith("openapi.json"):
        path = path.removesuffix(".json")
    return path


def _shown_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The second word of `Authorization`; the scheme is not checked (contract section 1.2)."""
    for name, value in headers:
        if name == b"authorization":
            words = value.decode("latin-1").split()
            return words[1] if len(words) > 1 else None
    return None


def _read_object(body: bytes) -> dict[str, Any] | None:
    """Read JSON that a call may send: an object, or null for an empty one. None for all else."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested too deep
        return None
    if decoded is None:
        return {}
    return decoded if isinstance(decoded, dict) else None


async def _read(receive: Receive) -> bytes | None:
    """Read the body to its end; None where it is larger than we take."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _CallerGoneError  # half a body is no ask: nothing is done
        parts.append(message["body"])
        size += len(message["body"])
        if size > MOST_BODY_BYTES:
            return None
        if not message["more_body"]:
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, refusal: Refusal) -> None:
    status, body = errors.encoded(refusal)
    await _send(send, status, body)


async def _send(send: Send, status: int, body: bytes) -> None:
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
