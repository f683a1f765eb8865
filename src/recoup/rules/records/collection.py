"""What collecting an invoice looks at: what it owes, whom to charge, and the attempts made."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.attempt_state import State
from recoup.rules.manner import Manner
from recoup.rules.records.keys import RowKey

BY_TRANSFER: Final = ("customer_balance",)


class AskedBy(StrEnum):
    """Who wants an invoice collected."""

    API = "api"
    BULK = "bulk"
    SCHEDULE = "schedule"  # the retry policy
    NEW_METHOD = "new_method"  # the customer has left one, and owes something
    PAYER = "payer"  # at the provider's hosted page
    PROVIDER = "provider"  # made anew from a provider's record, after a restore had lost it
    REQUEST = "payment_request"  # of several invoices at once
    CREATION = "creation"  # the first charge of a new invoice: nobody waits for its answer


class Debt(msgspec.Struct, frozen=True):
    """An invoice, as far as its collection is concerned; read under its lock."""

    organization_id: UUID
    id: UUID
    customer_id: UUID
    number: str
    status: str
    payment_status: str
    due_cents: int
    currency: str
    skip_psp: bool
    self_billed: bool  # what we owe a partner: nobody is charged for it
    payment_method_type: str | None
    payment_method_id: UUID | None
    held_because: str | None  # nobody is charged for it until a person lets it go
    issuing_date: date | None
    invoice_type: str
    billing_entity_id: UUID
    billing_entity_name: str
    billing_entity_country: str | None

    @property
    def key(self) -> RowKey:
        """Which invoice this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def customer_key(self) -> RowKey:
        """Whose invoice this is."""
        return RowKey(self.organization_id, self.customer_id)


class Method(msgspec.Struct, frozen=True):
    """A kept payment method of a customer, as the provider knows it."""

    id: UUID
    provider_method_id: str
    is_default: bool


class Link(msgspec.Struct, frozen=True):
    """How a customer can be charged: account, provider's customer, methods in question."""

    customer: RowKey
    external_customer_id: str
    payment_provider: str | None  # the kind
    payment_provider_code: str | None
    account_id: UUID | None
    provider_customer_id: str | None
    methods: tuple[Method, ...]  # the default one, and those asked for
    email: str | None = None
    country: str | None = None
    provider_payment_methods: tuple[str, ...] = ()  # Stripe's alone

    @property
    def account_key(self) -> RowKey | None:
        """Through which account the customer is charged, if through any."""
        return RowKey(self.customer.organization_id, self.account_id) if self.account_id else None

    @property
    def pays_by_transfer(self) -> bool:
        """Whether the customer sends money to an account of the provider's, and pays by no method.

        Source: contract section 5.3.
        """
        return self.provider_payment_methods == BY_TRANSFER

    def method(self, wanted: UUID) -> Method | None:
        """The kept method with this id, if it is this customer's."""
        return next((method for method in self.methods if method.id == wanted), None)

    @property
    def default(self) -> Method | None:
        """The method to charge where none was named."""
        return next((method for method in self.methods if method.is_default), None)


class Covered(msgspec.Struct, frozen=True):
    """One invoice that an attempt covers, read under the invoice's lock."""

    payment_id: UUID
    debt: Debt
    amount_cents: int
    payment_status_before: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A payment attempt, read under its lock: one row, one idempotency key, at most one charge."""

    organization_id: UUID
    id: UUID
    state: State
    customer_id: UUID
    amount_cents: int
    currency: str
    asked_by: AskedBy
    wanted_method_id: UUID | None
    provider_account_id: UUID | None
    provider_customer_id: str | None
    payment_method_id: UUID | None
    provider_method_id: str | None
    request: str | None
    provider_payment_id: str | None
    provider_status: str | None  # in the provider's own word
    look_ups_unanswered: int
    created_at: datetime
    sent_at: datetime | None
    manner: Manner
    ask_id: UUID | None
    # When a page, or a wait for the payer, is closed. A transfer may come at any time: never.
    expires_at: datetime | None
    payer_url: str | None
    error_code: str | None
    payment_request_id: UUID | None  # that it collects for: all its invoices, or none

    @property
    def answers(self) -> UUID | None:
        """The ask whose end this attempt's end is; None: nobody asked, a payer opened a page."""
        return None if self.manner is Manner.PAGE else self.ask_id or self.id

    @property
    def key(self) -> RowKey:
        """Which attempt this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def request_key(self) -> RowKey | None:
        """The payment request that it collects for, if it does so for one."""
        if self.payment_request_id is None:
            return None
        return RowKey(self.organization_id, self.payment_request_id)

    @property
    def customer_key(self) -> RowKey:
        """Whose invoices it covers."""
        return RowKey(self.organization_id, self.customer_id)

    @property
    def account_key(self) -> RowKey:
        """Through which account it was sent: before that there is none."""
        assert self.provider_account_id is not None, "it was sent"
        return RowKey(self.organization_id, self.provider_account_id)


def idempotency_key(attempt_id: UUID) -> str:
    """The key under which the provider makes one charge at most (contract section 5.5)."""
    return f"payment-{attempt_id}"


def attempt_of(key: str) -> UUID | None:
    """Read an attempt's id out of its idempotency key; None for a key that is not ours."""
    if not key.startswith("payment-"):
        return None
    try:
        return UUID(key.removeprefix("payment-"))
    except ValueError:
        return None
