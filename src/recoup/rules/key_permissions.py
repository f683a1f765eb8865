"""What an API key may do: read or write each resource (contract section 1.3).

A GET needs `read`, everything else `write`; which resource, the route says. A permission is written
`invoice:read`. A key without a list of its own may do everything, also what is added tomorrow; one
with a list may do what stands there, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final

from recoup.rules.refusal import Refusal, RefusalKind, Refused, invalid


class Mode(StrEnum):
    """The two things that can be done to a resource."""

    READ = "read"
    WRITE = "write"


# Lago's names (contract section 1.3). Payment receipts are read and sent as `invoice`.
_LAGOS: Final = frozenset(
    {
        "add_on", "billing_entity", "credit_note", "customer", "fee", "invoice", "organization",
        "payment", "payment_method", "payment_request", "tax", "webhook_endpoint",
        "webhook_jwt_public_key",
    }
)  # fmt: skip
# Beyond Lago's REST API. To send surprising money back needs `refund`.
_OURS: Final = frozenset(
    {
        "contradiction", "dunning_campaign", "payment_provider", "reconciliation_finding", "refund",
        "webhook_delivery",
    }
)  # fmt: skip
RESOURCES: Final = _LAGOS | _OURS


def mode_of(method: str) -> Mode:
    """What a call of this HTTP method does."""
    return Mode.READ if method == "GET" else Mode.WRITE


def why_not_permitted(
    permissions: Collection[str] | None, resource: str, method: str
) -> Refusal | None:
    """Say why a key with these permissions may not call this; None: it may.

    :param permissions: None is everything.
    """
    mode = mode_of(method)
    if permissions is None or f"{resource}:{mode}" in permissions:
        return None
    return Refusal(RefusalKind.FORBIDDEN, f"{mode}_action_not_allowed_for_{resource}")


def read_permissions(words: Iterable[str]) -> tuple[str, ...]:
    """Read permissions as a person writes them: `invoice:read`, or `invoice` for both modes.

    Sorted, each once.

    :raises Refused: 422 `permissions`, naming what is none.
    """
    read: set[str] = set()
    unknown: list[str] = []
    for word in words:
        resource, colon, mode = word.strip().partition(":")
        modes: Collection[str] = (mode,) if colon else tuple(Mode)
        if resource in RESOURCES and all(one in {*Mode} for one in modes):
            read |= {f"{resource}:{one}" for one in modes}
        else:
            unknown.append(word)
    if unknown:
        raise Refused(invalid({"permissions": [f"value_is_invalid: {word}" for word in unknown]}))
    return tuple(sorted(read))


def by_resource(permissions: Collection[str] | None) -> dict[str, list[str]]:
    """The same as Lago shows it: `{"invoice": ["read", "write"]}`, every resource if it is None."""
    held = read_permissions(RESOURCES) if permissions is None else sorted(permissions)
    shown: dict[str, list[str]] = {}
    for one in held:
        resource, _, mode = one.partition(":")
        shown.setdefault(resource, []).append(mode)
    return shown
