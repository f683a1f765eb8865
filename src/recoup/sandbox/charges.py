"""What a charge is, and what a caller may ask for.

The structs are the wire form itself: renaming a field here changes what callers see.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Final

import msgspec

MOST_MINOR_UNITS: Final = 10**15  # far beyond any invoice, far below what SQLite can hold


class Status(StrEnum):
    """Where a charge stands."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"


OPEN: Final = frozenset({Status.PROCESSING, Status.REQUIRES_ACTION})


class Decline(msgspec.Struct, frozen=True):
    """Why a charge failed, in the words of Stripe's card errors."""

    code: str
    decline_code: str
    network_decline_code: str | None
    advice_code: str | None
    message: str


class HostedPage(msgspec.Struct, frozen=True):
    """Where the payer goes."""

    url: str


class NextAction(msgspec.Struct, frozen=True):
    """What the payer has to do before the charge can go on."""

    redirect_to_url: HostedPage
    type: str = "redirect_to_url"


class Charge(msgspec.Struct, frozen=True):
    """One charge as it stands now; `amount` is in minor units."""

    id: str
    amount: int
    currency: str
    status: Status
    idempotency_key: str
    payment_method: str
    customer: str
    reference: str
    metadata: Mapping[str, str]
    created_at: datetime
    decline: Decline | None = None
    next_action: NextAction | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still become paid or failed."""
        return self.status in OPEN


class Refund(msgspec.Struct, frozen=True):
    """Money of a charge that went back to its payer, or did not; `amount` in minor units."""

    id: str
    idempotency_key: str
    charge: str
    amount: int
    currency: str
    status: str  # succeeded, failed
    reference: str
    metadata: Mapping[str, str]
    created_at: datetime


class RefundAsk(msgspec.Struct, frozen=True):
    """The body of `POST /v1/refunds`."""

    charge: str
    amount: Annotated[int, msgspec.Meta(gt=0, le=MOST_MINOR_UNITS)]
    reference: str = ""
    metadata: dict[str, str] = {}


class ChargeAsk(msgspec.Struct, frozen=True):
    """The body of `POST /v1/charges`; `off_session` says that no payer is in sight."""

    amount: Annotated[int, msgspec.Meta(gt=0, le=MOST_MINOR_UNITS)]
    currency: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]
    customer: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    payment_method: str
    off_session: bool = True
    reference: str = ""
    metadata: dict[str, str] = {}


def charge_id_for(account: str, idempotency_key: str) -> str:
    """Name the one charge that `account` can have under this key.

    Made from the key, not drawn: a run repeated with its seed has the same ids, and a sandbox
    restarted with its seed does not draw an id that its books already hold.
    """
    return "ch_sandbox_" + digest_of(account, idempotency_key)


def event_id_for(charge: Charge) -> str:
    """Name the event that tells of `charge` as it stands; it is in each status at most once."""
    return "evt_sandbox_" + digest_of(charge.id, charge.status)


def event_id_of(*what: str) -> str:
    """Name the event that tells of something else than a charge's status."""
    return "evt_sandbox_" + digest_of(*what)


def refund_id_for(account: str, idempotency_key: str) -> str:
    """Name the one refund that `account` can have under this key."""
    return "re_sandbox_" + digest_of(account, idempotency_key)


def account_of(api_key: str) -> str:
    """Name the account of a key. The books keep this name, never the key."""
    return "acct_sandbox_" + digest_of(api_key)


def digest_of(*parts: str) -> str:
    """Make the part of an id that is the same for the same things, and for no others."""
    return sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:24]
