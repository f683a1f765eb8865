"""What stands before the handlers: odd paths made plain, bodies read and capped, callers found.

The order is the contract's (sections 1.2 and 1.6): the route, then the JSON, then the key and what
it may do; its pace is last, so that who may not call at all is told so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from recoup.api import errors
from recoup.api.callers import TooManyStrangersError
from recoup.api.limits import BODY, HEAD, RATE, STRANGERS, pace_headers
from recoup.api.needs import resource_of, weight_of
from recoup.rules.key_permissions import why_not_permitted
from recoup.rules.refusal import Refusal
from recoup.store.api_keys import digest

if TYPE_CHECKING:
    from recoup.api.edge import Edge

MOST_HEAD_BYTES: Final = 64 * 1024  # names and values of all headers
MOST_QUERY_BYTES: Final = 16 * 1024  # of path and query together
DEEPEST: Final = 100  # arrays and objects within each other
PROVIDERS: Final = "/webhooks/"
COME_AGAIN: Final = [(b"retry-after", b"1"), (b"x-ratelimit-reset", b"1")]
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# The last segment of these is free text (an external id, a code), so `.json` there is part of it.
_FREE_TEXT = re.compile(r"^/api/v1/(customers|add_ons|taxes|billing_entities)/[^/]+$")


class _CallerGoneError(Exception):
    """The caller hung up before the end of the body."""


class Front:
    """Wraps the whole application: plain paths in, and nothing above its cap.

    A body whose length says that it is too large is not read at all; one without a length is read
    up to the cap.
    """

    def __init__(self, app: ASGIApp, edge: Edge) -> None:
        self._app = app
        self._limits = edge.limits
        self._turned_away = edge.turned_away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # a GET whose body the server leaves out
            scope = {**scope, "method": "GET"}
        if scope["method"] not in METHODS:
            await _refuse(send, errors.NO_ROUTE)
            return
        head_bytes, body_bytes = _measured(scope["headers"])
        if status := _why_too_large(scope, head_bytes):
            self._turned_away.count(HEAD)
            await _send(send, status, errors.bare(status))
            return
        # The raw path, still encoded: `%2F` in an external id is no slash. Handlers decode it.
        scope["path"] = _plain(scope["raw_path"].decode("latin-1"))
        is_provider = scope["path"].startswith(PROVIDERS)
        limits = self._limits
        most = limits.most_webhook_body_bytes if is_provider else limits.most_body_bytes
        try:
            body = None if body_bytes > most else await _read(receive, most)
        except _CallerGoneError:
            return
        if body is None:
            self._turned_away.count(BODY)
            await _refuse(send, errors.TOO_LARGE)
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
    """Wraps the handlers below `/api/v1`: readable JSON, then a key that we know and that may."""

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
        try:
            caller = await edge.callers.ask(digest(key)) if key else None
        except TooManyStrangersError:
            edge.turned_away.count(STRANGERS)
            await _refuse(send, errors.TOO_OFTEN, COME_AGAIN)
            return
        if caller is None:
            await _refuse(send, errors.UNAUTHORIZED)
            return
        handler = scope_values["route_handler"]
        refusal = why_not_permitted(
            caller.permissions, resource_of(handler), scope_values["method"]
        )
        if refusal is not None:
            await _refuse(send, refusal)
            return
        if edge.paces is not None:
            taken = edge.paces.take(caller.key, weight_of(handler, asked), now=edge.now())
            told = pace_headers(edge.paces.limit, taken)
            if not taken.granted:
                edge.turned_away.count(RATE)
                await _refuse(send, errors.TOO_OFTEN, told)
                return
            send = _telling(send, told)
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
    if not isinstance(decoded, dict):
        return None
    # Few brackets cannot nest deep, and nobody has to look.
    is_flat = body.count(b"{") + body.count(b"[") <= DEEPEST
    return decoded if is_flat or _nests_within(decoded, DEEPEST) else None


def _nests_within(outermost: object, deepest: int) -> bool:
    """Whether arrays and objects lie within each other no deeper than this; level by level."""
    level: list[Any] = [outermost]
    for _ in range(deepest):
        inner = [
            held
            for one in level
            for held in (one.values() if isinstance(one, dict) else one)
            if isinstance(held, dict | list)
        ]
        if not inner:
            return True
        level = inner
    return False


def _why_too_large(scope: Scope, head_bytes: int) -> int | None:
    """The status that refuses a head larger than anybody needs; None: it is none."""
    values: Any = scope
    if len(values["raw_path"]) + len(values["query_string"]) > MOST_QUERY_BYTES:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if head_bytes > MOST_HEAD_BYTES:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None


def _measured(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, int]:
    """How long the headers are, and how long they say that the body is; 0: they do not say."""
    head_bytes = body_bytes = 0
    for name, value in headers:
        head_bytes += len(name) + len(value)
        if name == b"content-length" and value.isdigit():
            body_bytes = int(value)
    return head_bytes, body_bytes


def _telling(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> Send:
    """Answer with these headers besides, but for those that the answer has."""

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            there = {name.lower() for name, _ in own}
            more = [one for one in headers if one[0] not in there]
            message = {**message, "headers": [*own, *more]}
        await send(message)

    return telling


async def _read(receive: Receive, most: int) -> bytes | None:
    """Read the body to its end; None where it is larger than `most` bytes."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _CallerGoneError  # half a body is no ask: nothing is done
        parts.append(message["body"])
        size += len(message["body"])
        if size > most:
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


async def _refuse(
    send: Send, refusal: Refusal, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    status, body = errors.encoded(refusal)
    await _send(send, status, body, headers)


async def _send(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
