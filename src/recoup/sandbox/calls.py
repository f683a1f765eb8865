"""What every call to the API says of itself: whose it is, and under which key."""

from typing import Final

from aiohttp import web

from recoup.sandbox.answers import Refused, error_answer, invalid_request
from recoup.sandbox.charges import account_of

KEY_PREFIX: Final = "sk_sandbox_"
LONGEST_IDEMPOTENCY_KEY: Final = 255
UNAUTHORIZED: Final = error_answer(
    401, "authentication_error", "api_key_invalid", f"Send a Bearer key beginning {KEY_PREFIX}."
)


def account_of_call(request: web.Request) -> str:
    """Tell whose call it is.

    :raises Refused: 401, without a key of ours.
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith(KEY_PREFIX):
        raise Refused(UNAUTHORIZED)
    return account_of(key)


def key_of_call(request: web.Request) -> str:
    """Tell under which idempotency key the call asks.

    :raises Refused: without one that can be kept.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not is_key(key):
        raise Refused(
            invalid_request(
                "idempotency_key_invalid",
                f"Send an Idempotency-Key of 1 to {LONGEST_IDEMPOTENCY_KEY} printable characters.",
            )
        )
    return key


def is_key(text: str) -> bool:
    """Whether this can be an idempotency key."""
    return 0 < len(text) <= LONGEST_IDEMPOTENCY_KEY and text.isascii() and text.isprintable()
