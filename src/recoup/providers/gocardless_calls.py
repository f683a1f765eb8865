"""Call GoCardless through its SDK, and say in four words what came of a call.

Called by `providers/gocardless` alone, in threads of the account's (`providers/sdk_threads`), since
the SDK is synchronous; one operation (an answer that leads to another question, a list page by
page) is one thread.

What would surprise you:
- Who stops waiting for a thread that sends has not stopped the sending: that call is `Lost`, never
  undone. One that has no thread yet when its time is up is not begun any more.
- The SDK tries again by itself, hides the headers of an error, follows redirects with the body of a
  charge, reads answers of any length, and would put the password of a `.netrc` in the token's
  place. `_Api` does none of it. What else it does, its errors included, is the SDK's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from re import fullmatch
from typing import Any, Final, TypeAlias

import msgspec
import requests
import urllib3
from gocardless_pro.api_client import ApiClient
from gocardless_pro.errors import (
    ApiError,
    GoCardlessProError,
    IdempotentCreationConflictError,
    MalformedResponseError,
)

from recoup.providers.protocol import Lost

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 10.0
MOST_ANSWER_BYTES: Final = 2_000_000  # a page of 500 payments has some 400 kB
_READ_AT_ONCE: Final = 65_536
# The SDK counts tries, not retries: with none it fails before the first.
_TRIES: Final = 1
_OUTAGES: Final = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
# The call itself did nothing, and the provider says why. Source: section "Errors" of
# https://developer.gocardless.com/api-reference/
_TURNED_AWAY: Final = frozenset({400, 403, 404, 410, 422})


class Said(msgspec.Struct, frozen=True):
    """An answer that means yes: its body, an object of any shape."""

    body: Mapping[str, Any]


class TurnedAway(msgspec.Struct, frozen=True):
    """This call did nothing: `code` is the provider's reason. Of an earlier one it says nothing."""

    status: int
    code: str


class Conflict(msgspec.Struct, frozen=True):
    """The idempotency key has made this already."""

    resource_id: str


Heard: TypeAlias = Said | TurnedAway | Conflict | Lost


class _TooLateError(Exception):
    """The time of the operation is up, with nothing sent."""


class _Api(ApiClient):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's client for one call, which keeps what the SDK throws away."""

    status: int | None = None  # of the answer; None: there was none
    headers: Mapping[str, str] = {}

    def __init__(self, base: str, token: str, *, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= CONNECT_SECONDS:
            raise _TooLateError
        super().__init__(base, token, (CONNECT_SECONDS, min(READ_SECONDS, left - CONNECT_SECONDS)))
        self._deadline = deadline

    def get(self, path: str, params: Any = None, headers: Any = None) -> requests.Response:
        return self._send("GET", path, headers, params=params)

    def post(self, path: str, body: Any, headers: Any = None) -> requests.Response:
        return self._send("POST", path, headers, data=json.dumps(body).encode())

    def _send(self, method: str, path: str, headers: Any, **more: Any) -> requests.Response:
        with requests.Session() as http:
            response = http.request(
                method,
                self._url_for(path),
                headers=self._headers(headers),
                auth=lambda request: request,  # else requests looks for a .netrc
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
                **more,
            )
            self.status, self.headers = response.status_code, response.headers
            body = self._read(response.raw)
            response._content = body
        body.decode()  # requests would put other signs in the place of what is no UTF-8
        self._handle_errors(response)
        if response.status_code >= 300 or not isinstance(response.json(), dict):
            raise MalformedResponseError("no answer of GoCardless's", "", response.status_code)
        return response

    def _read(self, raw: urllib3.HTTPResponse) -> bytes:
        """Read the whole body, unless it is endless, or drips on beyond the time."""
        read = b""
        while piece := raw.read1(_READ_AT_ONCE, decode_content=True):
            read += piece
            if len(read) > MOST_ANSWER_BYTES:
                raise MalformedResponseError("an endless answer", "", self.status)
            if time.monotonic() > self._deadline:
                raise requests.ReadTimeout
        return read


class Calls:
    """The calls of one operation, one after the other, all within `LONGEST_CALL`."""

    def __init__(self, base: str, token: str, *, deadline: float) -> None:
        self._base = base
        self._token = token
        self._deadline = deadline

    def ask(self, service: Callable[..., Any], question: Callable[[Any], Any]) -> Heard:
        """Make one call, once, and say what came of it. Raises for nothing that the world does.

        :param service: a class of `gocardless_pro.services`.
        :param question: is given the service, and calls a method of it.
        """
        api: _Api | None = None
        try:
            api = _Api(self._base, self._token, deadline=self._deadline)
            answer = question(service(api, _TRIES, 0.0, True))
            body = answer.api_response.body
        except IdempotentCreationConflictError as error:
            return _read_conflict(error)
        except ApiError as error:
            assert api is not None, "it has answered"
            return _read_error(error, api)
        # The SDK fails in its own ways on what is no answer: TypeError, AttributeError,
        # RecursionError, … Whatever it was, the money may have moved.
        except Exception as error:  # noqa: BLE001
            return _lost(error, api)
        return Said(body)


def _read_conflict(error: IdempotentCreationConflictError) -> Conflict | Lost:
    try:
        resource_id = error.conflicting_resource_id
    except Exception:  # noqa: BLE001  the SDK's own, where the id is missing
        resource_id = None
    return Conflict(resource_id) if isinstance(resource_id, str) else Lost("conflict_with_nothing")


def _read_error(error: ApiError, api: _Api) -> TurnedAway | Lost:
    if api.status in _TURNED_AWAY and isinstance(error.type, str):
        return TurnedAway(api.status, _reason(error))
    if api.status == 401 and isinstance(error.type, str):
        return Lost("http_401", key_refused=True)
    return _lost(error, api)


def _reason(error: ApiError) -> str:
    """The provider's own word: the first error's `reason`, else the `type` of them all."""
    errors = error.errors if isinstance(error.errors, list) else []
    reasons = [one.get("reason") for one in errors if isinstance(one, dict)]
    words = [word for word in (*reasons, error.type) if isinstance(word, str)]
    # Any other text could repeat what was sent, and is kept nowhere.
    return next((word for word in words if fullmatch(r"[a-z_]{1,64}", word)), "unreadable_error")


def _lost(error: Exception, api: _Api | None) -> Lost:
    if isinstance(error, _TooLateError):
        return Lost("no_time_was_left")
    status = api.status if api is not None else None
    if api is None or status is None or isinstance(error, _OUTAGES):
        return Lost(type(error).__name__, is_outage=isinstance(error, _OUTAGES))
    if status >= 400:  # whoever says it: it need not be GoCardless itself
        wait = _seconds_to_wait(api.headers) if status == 429 else None
        return Lost(f"http_{status}", wait, is_outage=status >= 500)
    if isinstance(error, GoCardlessProError):
        return Lost("unreadable_answer")
    return Lost(type(error).__name__)


def _seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """How long a 429 says to wait: `Retry-After`, else `RateLimit-Reset`, an HTTP date.

    The date is the provider's, so it is the answer's own `Date` that it is compared with.
    Source: https://developer.gocardless.com/api-reference/#making-requests-rate-limiting
    """
    for name in ("Retry-After", "RateLimit-Reset"):
        said = headers.get(name, "")
        if said.isascii() and said.isdigit() and len(said) < 10:
            return float(said)
        then, now = _instant(said), _instant(headers.get("Date", ""))
        if then is not None and now is not None:
            return max((then - now).total_seconds(), 0.0)
    return None


def _instant(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo is not None else None
