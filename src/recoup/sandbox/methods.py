"""What a customer's payment method is, and the page on which they leave one.

As with charges, the structs are the wire form itself.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from recoup.sandbox.charges import digest_of

PAGE_LASTS: Final = timedelta(hours=24)


class Method(msgspec.Struct, frozen=True):
    """A test method that a customer has left here; the last one that they left is the default."""

    id: str
    customer: str
    is_default: bool
    attached_at: datetime


class SetUpAsk(msgspec.Struct, frozen=True):
    """The body of `POST /v1/set_up_pages`."""

    customer: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    success_redirect_url: Annotated[
        str, msgspec.Meta(pattern=r"\Ahttps?://[^\s\x00-\x20\x7f]+\Z", max_length=2048)
    ]
    metadata: dict[str, str] = {}


class SetUpPage(msgspec.Struct, frozen=True):
    """A page on which a customer leaves one method: `payment_method`, once they have."""

    id: str
    url: str
    idempotency_key: str
    customer: str
    success_redirect_url: str
    metadata: Mapping[str, str]
    created_at: datetime
    expires_at: datetime
    payment_method: str | None = None
    used_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether a method can still be left on it."""
        return self.used_at is None and now < self.expires_at


def set_up_page_id_for(account: str, idempotency_key: str) -> str:
    """Name the one page that `account` can have under this key."""
    return "sup_sandbox_" + digest_of("set_up_page", account, idempotency_key)
