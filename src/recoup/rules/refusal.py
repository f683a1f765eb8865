"""Say no by name: what a caller may not have, as a value.

`api/errors.py` alone turns a kind into an HTTP status; the console says it in a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec


class RefusalKind(StrEnum):
    """What sort of no it is."""

    MALFORMED = "malformed"  # what was sent cannot be read
    UNKNOWN_KEY = "unknown_key"  # nobody we know is asking
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"  # another tenant's is not found either
    NOT_ALLOWED = "not_allowed"  # the state of the thing forbids it
    CONFLICT = "conflict"  # somebody is doing the same at this moment
    INVALID = "invalid"  # the values break a rule
    TOO_LARGE = "too_large"  # more bytes than we read
    TOO_OFTEN = "too_often"  # later, it may be had
    PROVIDER_TOO_OFTEN = "provider_too_often"  # a provider says so, or would
    GONE = "gone"  # it was there, and will not come back
    NOT_YET = "not_yet"  # it is on its way: ask again a little later


class Refusal(msgspec.Struct, frozen=True):
    """Our no. `code` is Lago's word; `details` lists codes by field where values are invalid.

    `provider` is the code of the account whose provider gave us no answer;
    `retry_after_seconds`, when a caller may come again, where it is known.
    """

    kind: RefusalKind
    code: str
    details: Mapping[str, object] | None = None
    provider: str | None = None
    retry_after_seconds: int | None = None


class Refused(Exception):  # noqa: N818  a refusal is an answer, not an error
    """Raised where there is one ask; a batch answers with the `Refusal` itself."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def not_found(resource: str) -> Refusal:
    """There is no such thing, or it is another tenant's: the two look the same."""
    return Refusal(RefusalKind.NOT_FOUND, f"{resource}_not_found")


def not_allowed(code: str) -> Refusal:
    """The thing exists, and its state forbids this."""
    return Refusal(RefusalKind.NOT_ALLOWED, code)


def invalid(details: Mapping[str, Sequence[str] | object]) -> Refusal:
    """These fields break these rules: `{"amount_cents": ["value_is_out_of_range"]}`."""
    return Refusal(RefusalKind.INVALID, "validation_errors", dict(details))


def third_party_error(third_party: str, message: str) -> Refusal:
    """A provider refused what a caller waits for (contract section 1.4). `third_party` names it."""
    return Refusal(
        RefusalKind.INVALID,
        "third_party_error",
        {"third_party": third_party, "thirdparty_error": message},
    )


def provider_error(account: str, details: Mapping[str, object]) -> Refusal:
    """A provider gave no answer to what a caller waits for (contract section 1.4)."""
    return Refusal(RefusalKind.INVALID, "provider_error", details, provider=account)


def too_many_provider_requests(
    provider_name: str, message: str, *, retry_after_seconds: int
) -> Refusal:
    """A provider is called as often as it lets us (contract section 1.4)."""
    return Refusal(
        RefusalKind.PROVIDER_TOO_OFTEN,
        "too_many_provider_requests",
        {"provider_name": provider_name, "message": message},
        retry_after_seconds=retry_after_seconds,
    )


def missing_root(root: str) -> Refusal:
    """The body lacks the object that holds the fields (contract section 1.4)."""
    return Refusal(
        RefusalKind.MALFORMED,
        f"BadRequest: param is missing or the value is empty or invalid: {root}",
    )
