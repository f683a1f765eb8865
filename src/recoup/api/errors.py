"""Say no in the contract's words (section 1.4): the one place that knows HTTP status codes.

Every error is JSON, because both of Lago's clients parse error bodies; none holds a stack trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException

from recoup.rules.refusal import Refusal, RefusalKind, Refused, invalid, missing_root
from recoup.store.db import DATABASE_AWAY, ROW_IS_HELD, TEXT_HAS_NUL, TEXT_TOO_LONG
from recoup.store.secret_box import WrongSecretKeyError

log = structlog.get_logger()

STATUS: Final[Mapping[RefusalKind, int]] = {
    RefusalKind.MALFORMED: 400,
    RefusalKind.UNKNOWN_KEY: 401,
    RefusalKind.FORBIDDEN: 403,
    RefusalKind.NOT_FOUND: 404,
    RefusalKind.NOT_ALLOWED: 405,
    RefusalKind.CONFLICT: 409,
    RefusalKind.GONE: 410,
    RefusalKind.INVALID: 422,
    RefusalKind.TOO_LARGE: 413,
    RefusalKind.TOO_OFTEN: 429,
    RefusalKind.PROVIDER_TOO_OFTEN: 429,
    RefusalKind.NOT_YET: 503,
}
COME_BACK: Final = {"Retry-After": "5"}  # seconds: a document takes less
# What Lago's clients read of a rate: how many calls are left, and in how many seconds all are back.
RATE_LEFT: Final = "x-ratelimit-remaining"
RATE_RESETS_IN: Final = "x-ratelimit-reset"
UNAUTHORIZED: Final = Refusal(RefusalKind.UNKNOWN_KEY, "Unauthorized")
UNREADABLE: Final = Refusal(RefusalKind.MALFORMED, "Bad Request")
LOCKED: Final = Refusal(RefusalKind.INVALID, "lock_acquisition_failed")
SECRETS_DO_NOT_OPEN: Final = "secrets_do_not_open"
NO_ROUTE: Final = Refusal(RefusalKind.NOT_FOUND, "resource_not_found")
TOO_LARGE: Final = Refusal(RefusalKind.TOO_LARGE, "request_too_large")
TOO_OFTEN: Final = Refusal(RefusalKind.TOO_OFTEN, "too_many_requests")
# Python's own phrases of these change with its version; contract section 9, 35.
_PHRASES: Final = {
    413: "Request Entity Too Large",
    414: "URI Too Long",
    422: "Unprocessable Entity",
}
# What Lago calls otherwise than its status is called.
_OWN_PHRASES: Final = {RefusalKind.PROVIDER_TOO_OFTEN: "Too Many Provider Requests"}


def phrase(status: int) -> str:
    """What a status is called."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def body(refusal: Refusal) -> dict[str, object]:
    """Render a refusal: `{"status","error"}`, then `code` and what more there is to say."""
    status = STATUS[refusal.kind]
    if refusal.kind in {RefusalKind.MALFORMED, RefusalKind.UNKNOWN_KEY}:
        return {"status": status, "error": refusal.code}
    said: dict[str, object] = {
        "status": status,
        "error": _OWN_PHRASES.get(refusal.kind) or phrase(status),
        "code": refusal.code,
    }
    if refusal.provider is not None:
        said["provider"] = {"code": refusal.provider}
    if refusal.details is not None:
        said["error_details"] = refusal.details
    return said


def encoded(refusal: Refusal) -> tuple[int, bytes]:
    """Status and JSON bytes, for the middleware that answers before a handler is found."""
    return STATUS[refusal.kind], msgspec.json.encode(body(refusal))


def bare(status: int) -> bytes:
    """JSON bytes of a status that says it all."""
    return msgspec.json.encode({"status": status, "error": phrase(status)})


def response(refusal: Refusal) -> Response[dict[str, object]]:
    """The refusal as an answer."""
    return Response(
        body(refusal),
        status_code=STATUS[refusal.kind],
        headers=_when_to_come_back(refusal),
        media_type="application/json",
    )


def _when_to_come_back(refusal: Refusal) -> Mapping[str, str]:
    if refusal.kind is RefusalKind.NOT_YET:
        return COME_BACK
    if refusal.retry_after_seconds is None:
        return {}
    seconds = str(refusal.retry_after_seconds)
    # Lago's clients wait for the second, up to 20 s and three times, and read no `Retry-After`.
    return {"Retry-After": seconds, RATE_RESETS_IN: seconds, RATE_LEFT: "0"}


AnyRequest = Request[Any, Any, Any]
Answer = Response[dict[str, object]]


def refused(_request: AnyRequest, error: Refused) -> Answer:
    """Our no."""
    return response(error.refusal)


def not_readable(_request: AnyRequest, _error: SerializationException | RecursionError) -> Answer:
    """The body is no JSON, or is nested deeper than anybody needs."""
    return response(UNREADABLE)


def not_valid(_request: AnyRequest, error: ValidationException) -> Answer:
    """The body is JSON of other types than ours: name the field as for any broken rule.

    That is the innermost one, `{"tax_codes": […]}` for a fee of an invoice; but for the address
    whose fields are called as the customer's own.
    """
    path = _path_in(error)
    if not path:
        return response(UNREADABLE)
    # A root is the one object that a body may have at its top; our bulk call has a list there.
    if len(path) == 1 and str(error.__cause__).startswith("Expected `object"):
        return response(missing_root(path[0]))
    field = "shipping_address" if "shipping_address" in path else path[-1]
    return response(invalid({field: ["value_is_invalid"]}))


def _path_in(error: ValidationException) -> list[str]:
    """Read `$.invoice.fees[0].units` from msgspec's message: `["invoice", "fees", "units"]`."""
    for extra in error.extra if isinstance(error.extra, list) else []:
        key = extra.get("key") if isinstance(extra, dict) else None
        if key:
            return [part.split("[")[0] for part in str(key).split(".") if part]
    _, found, path = str(error.__cause__ or "").rpartition("`$")
    if not found:
        return []
    return [part.split("[")[0] for part in path.rstrip("`").split(".") if part]


def any_http_error(_request: AnyRequest, error: HTTPException) -> Answer:
    """No such route, a method that it has not (contract section 1.6), a body too large."""
    if error.status_code in {404, 405}:
        return response(NO_ROUTE)
    return Response(
        {"status": error.status_code, "error": phrase(error.status_code)},
        status_code=error.status_code,
        media_type="application/json",
    )


def refusal_for(error: Exception) -> Refusal | None:
    """The refusal that an error of the database stands for; None: it is none of the caller's doing.

    Somebody else holds the row; a text has a NUL, or is too long for an index to hold.
    """
    if isinstance(error, ROW_IS_HELD):
        return LOCKED
    if isinstance(error, TEXT_HAS_NUL):
        return UNREADABLE
    if isinstance(error, TEXT_TOO_LONG):
        return invalid({"base": ["value_is_too_long"]})
    return None


def anything_else(request: AnyRequest, error: Exception) -> Answer:
    """The database is away: 503, the caller may come again. Otherwise a bug of ours: 500."""
    if (refusal := refusal_for(error)) is not None:
        return response(refusal)
    away = isinstance(error, DATABASE_AWAY)
    status = 503 if away else 500
    log.error(
        "request_failed",
        path=request.url.path,
        error=type(error).__name__,
        away=away,
        exc_info=None if away else error,
    )
    return Response(
        {"status": status, "error": phrase(status)},
        status_code=status,
        media_type="application/json",
    )


def sealed_otherwise(request: AnyRequest, error: WrongSecretKeyError) -> Answer:
    """What is sealed does not open with this process's keys: 503, until an operator has seen to it.

    A provider delivers its event again, and another process may have the key.
    """
    log.error(SECRETS_DO_NOT_OPEN, path=request.url.path, field=str(error), do="docs/secrets.md")
    return Response(
        {"status": 503, "error": "Service Unavailable", "code": SECRETS_DO_NOT_OPEN},
        status_code=503,
        media_type="application/json",
    )


HANDLERS: Final[dict[Any, Any]] = {
    Refused: refused,
    WrongSecretKeyError: sealed_otherwise,
    SerializationException: not_readable,
    RecursionError: not_readable,
    ValidationException: not_valid,
    HTTPException: any_http_error,
    Exception: anything_else,
}
