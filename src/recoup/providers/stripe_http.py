"""Call Stripe through its SDK, and turn every way in which that can end into a value.

What would surprise you: the SDK's errors quote whole requests and answers, so of them only the
class's name and what Stripe's JSON says in known fields goes on. Answers are strangers' bytes: they
are read up to a size, and decoded by us, whatever the SDK made of them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

import httpx
import msgspec
import stripe

from recoup.providers.protocol import Lost
from recoup.providers.reading import decode
from recoup.providers.stripe_objects import Error, ErrorAnswer

Wanted = TypeVar("Wanted")

TIMEOUT: Final = httpx.Timeout(10, connect=2)
MOST_ANSWER_BYTES: Final = 1_000_000
TURNED_AWAY: Final = (
    stripe.CardError,  # 402: the issuer has spoken
    stripe.InvalidRequestError,  # 400, 404
    stripe.AuthenticationError,  # 401
    stripe.PermissionError,  # 403
)

# Stripe's types of errors that mean: this was not done.
WORDS_OF_A_NO: Final = frozenset({"card_error", "invalid_request_error"})

stripe.enable_telemetry = False
# At DEBUG the SDK writes whole requests and answers, and what sends them writes the key where it
# cannot stand in a header.
for writer in ("stripe", "httpcore"):
    logging.getLogger(writer).setLevel(logging.WARNING)


class TurnedAway(msgspec.Struct, frozen=True):
    """Stripe has answered, and says no."""

    status: int
    kind: str  # the name of the SDK's class
    error: Error

    @property
    def code(self) -> str:
        """Stripe's code; where it gives none, the class (`rules/declines.py` knows both)."""
        return self.error.code or self.kind

    @property
    def is_missing(self) -> bool:
        """There is no such object."""
        return self.status == 404 or self.error.code == "resource_missing"


class SaysNothingError(Exception):
    """A status that tells nothing of what became of the request."""

    def __init__(self, status: int, retry_after: str) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


class StripeHttp(stripe.HTTPClient):
    """What the SDK sends its requests through: a shared pool, with our time-outs and a size limit.

    The SDK's own client for httpx has neither limit nor pool to share, reads a 500 as JSON, and
    passes bodies in a way of which httpx warns.
    """

    name = "httpx"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request.

        :raises SaysNothingError: conflict, too many requests, a redirect, or Stripe's own trouble.
        """
        async with self._http.stream(
            method,
            url,
            headers=dict(headers),
            content=post_data,
            timeout=TIMEOUT,
            follow_redirects=False,
        ) as response:
            status = response.status_code
            if status in {409, 429} or 300 <= status < 400 or status >= 500:
                raise SaysNothingError(status, response.headers.get("retry-after", ""))
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_ANSWER_BYTES:  # cut off, it cannot be read: the answer is lost
                    break
            told = httpx.Headers(response.headers)
            told.pop("stripe-notice", None)  # the SDK would warn of it, into our logs
            return body[:MOST_ANSWER_BYTES], status, told


async def call(
    asked: Awaitable[stripe.StripeObject], kind: type[Wanted]
) -> Wanted | TurnedAway | Lost:
    """Await one call of the SDK's, and read its answer as `kind`.

    A call that is cancelled raises `CancelledError` on: whoever cancelled it knows that it was.
    """
    try:
        response = (await asked).last_response
        told = decode(response.body, kind) if response is not None else None
    except TURNED_AWAY as error:
        return _turned_away(error)
    except SaysNothingError as nothing:
        return Lost(
            f"http_{nothing.status}",
            _seconds(nothing.retry_after) if nothing.status == 429 else None,
            is_outage=nothing.status >= 500,
        )
    except Exception as error:  # noqa: BLE001  what the SDK raises for the world's doings has no end
        is_ours = isinstance(error, httpx.LocalProtocolError)  # a key that is none, for instance
        is_outage = isinstance(error, httpx.TransportError | TimeoutError) and not is_ours
        return Lost(type(error).__name__, is_outage=is_outage)
    return Lost("unreadable_answer") if told is None else told


def _turned_away(error: stripe.StripeError) -> TurnedAway | Lost:
    """Believe a no that is in Stripe's words: whatever stands before it can answer 400 too."""
    said = decode(error.http_body or "", ErrorAnswer)
    if said is None or said.error.type not in WORDS_OF_A_NO or error.http_status is None:
        return Lost("unreadable_answer")
    if error.http_status == 401:
        return Lost(type(error).__name__, key_refused=True)
    return TurnedAway(error.http_status, type(error).__name__, said.error)


def _seconds(text: Any) -> float | None:
    is_readable = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10
    return float(text) if is_readable else None
