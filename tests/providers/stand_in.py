"""What a provider's stand-in must be able to do and say, for the conformance suite to ask it.

Only what no protocol of ours can tell: the other party's own books, and what only payers do. The
books are empty when a test begins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

from recoup.providers.protocol import (
    CustomerNeeded,
    Declined,
    Paid,
    Processing,
    Provider,
    Refunded,
    RefundProcessing,
)

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
ATTEMPT = UUID("01890000-0000-7000-8000-000000000001")
KEY = f"payment-{ATTEMPT}"


class StandIn(ABC):
    """A provider to test against, with books of its own, and what only it can say of itself."""

    provider: Provider  # asks the stand-in
    base: str  # its origin, http://host:port: a broken wire is put before it
    longest_call: timedelta  # by the adapter's own time-outs

    # What things come to here where nothing goes wrong.
    truth: ClassVar[type[Paid | Processing]] = Paid  # a charge by a good method, at once
    refund_truth: ClassVar[type[Refunded | RefundProcessing]] = Refunded
    cancel_truth: ClassVar[type[Declined | Processing]] = Declined  # Processing: it tells later
    page_truth: ClassVar[type[Paid | Processing]] = Paid  # a page that was paid; as above
    # What a provider may be without. Then the adapter says so: `NotKnown` for each look-up,
    # `NotChargeable` for a page, `CannotList` for a list.
    answers_look_ups: ClassVar[bool] = True  # of charges and of refunds
    has_pages: ClassVar[bool] = True
    makes_customers: ClassVar[bool] = True  # else their ids are ours to choose, and nobody is asked
    owns_methods: ClassVar[bool] = True  # a method is one customer's, and can be listed
    lists_charges: ClassVar[bool] = True
    charges_on_a_page: ClassVar[int] = 100  # at most, as the adapter asks for its list
    tells_how_long_to_wait: ClassVar[bool] = True  # by Retry-After, with a 429
    dates_signatures: ClassVar[bool] = True  # so that an old webhook can be told from a new one

    # Names are those that a test class uses (`paid_by`, …): here is what they are at the stand-in.
    customer_id: str = "cus_1"  # has every method that a test names
    other_customer_id: str = "cus_2"  # exists too, and has none of them
    unknown_customer_id: str = "cus_of_nobody"
    webhook_secrets: tuple[str, str]  # `provider` believes the first, and never the second

    def method_id(self, name: str) -> str:
        """The provider's id of a payment method that a test names."""
        return name

    def now(self) -> datetime:
        """The time by the stand-in's own clock."""
        return NOW

    @abstractmethod
    async def charged_keys(self) -> list[str]:
        """The idempotency keys of the charges in its books, oldest first, each once per charge.

        Also of charges that came to nothing: the books say how often something was begun.
        """

    @abstractmethod
    async def refunded_keys(self) -> list[str]:
        """The idempotency keys of the refunds in its books, oldest first, each once per refund."""

    @abstractmethod
    async def charge_as_somebody_else(self) -> None:
        """Make a charge in this account as another program would, with nothing of ours in it."""

    async def pay(self, provider_payment_id: str) -> None:
        """Let a charge by a good method be paid at last, where it is not at once."""
        assert self.truth is Paid, "a stand-in where nothing is paid at once brings this"

    async def pay_page(self, page: CustomerNeeded) -> None:
        """Be the payer, who pays on an open page."""
        raise NotImplementedError("a stand-in with pages brings this")

    async def fail_on_page(self, page: CustomerNeeded) -> None:
        """Be the payer, whose first try on an open page is declined."""
        raise NotImplementedError("a stand-in with pages brings this")

    @abstractmethod
    def asking(self, base: str) -> Provider:
        """The same adapter, asking another server."""

    @abstractmethod
    def verifying(self, secrets: Sequence[str]) -> Provider:
        """The same adapter, with these webhook secrets; there may be none."""

    @abstractmethod
    def true_answers(self) -> Mapping[str, tuple[int, bytes]]:
        """What it answers to a charge, status and body, where all is well, by our word for it."""

    @abstractmethod
    def lies(self) -> Mapping[str, bytes]:
        """Bodies that look like a success of a charge under `KEY` and cannot be believed."""

    @abstractmethod
    def signed(self, body: bytes, secret: str | None = None) -> tuple[bytes, Mapping[str, str]]:
        """A webhook, body and headers, rightly signed at `NOW`: by the first secret, or by this.

        Where the provider signs inside of the body, another body comes back. One in which there
        is no place for a signature comes back as it was.
        """

    @abstractmethod
    def event(self) -> bytes:
        """The body of a webhook, not signed yet, that says that the charge under `KEY` was paid.

        It says the amount, 1000, somewhere where the signature covers it.
        """
