"""Dunning: campaigns as kept and as shown, and how far one has come with a customer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from recoup.rules.records.collection import Debt
from recoup.rules.records.keys import RowKey


class Threshold(msgspec.Struct, frozen=True):
    """From how much on, due and overdue in a currency, a campaign asks for it."""

    currency: str
    amount_cents: int


class DunningCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `dunning_campaigns` with its thresholds, and who applies it."""

    organization_id: UUID
    id: UUID
    code: str
    name: str
    description: str | None = None
    bcc_emails: tuple[str, ...] = ()
    days_between_attempts: int = 1
    max_attempts: int = 1
    thresholds: tuple[Threshold, ...] = ()  # one at least and one for a currency, by its code
    terms_changed_at: datetime
    created_at: datetime
    updated_at: datetime
    applied_to_organization: bool = False  # to its default billing entity, that is
    billing_entity_codes: tuple[str, ...] = ()  # the billing entities that apply it

    @property
    def key(self) -> RowKey:
        """Which campaign this is."""
        return RowKey(self.organization_id, self.id)

    @property
    def terms(self) -> tuple[int, int, tuple[Threshold, ...]]:
        """What it asks by: attempts count under the same terms alone."""
        return self.days_between_attempts, self.max_attempts, self.thresholds


class Count(msgspec.Struct, frozen=True):
    """How often a currency was asked for, and since when that is counted."""

    attempts: int
    since: datetime


class Dunning(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `dunnings`: how far a campaign has come with a customer who is late."""

    customer: RowKey
    campaign_id: UUID | None = None  # whose attempts are counted; None: nobody has looked yet
    terms_changed_at: datetime | None = None  # under which of its terms
    last_attempt_at: datetime | None = None  # of whatever currency, and of whatever campaign
    finished_at: datetime | None = None
    look_at: datetime
    counts: Mapping[str, Count] = MappingProxyType({})  # by currency


class Overdue(msgspec.Struct, frozen=True, kw_only=True):
    """An overdue invoice, as far as a campaign is concerned; read under its lock."""

    debt: Debt
    try_at: datetime | None  # when the retry schedule charges it next
    is_open: bool  # an attempt collects it, or a payer may be paying on a page
    is_awaited: bool = False  # but by bank transfer, of which its payer was told


class Dunned(msgspec.Struct, frozen=True, kw_only=True):
    """A customer whom a campaign applies to."""

    external_id: str
    currency: str | None
    campaign: DunningCampaign
