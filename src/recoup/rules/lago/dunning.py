"""Dunning campaigns on the wire: ours where Lago has no REST, its event in Lago's words.

Sources: contract sections 7.4 and 8.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.lago.instants import seconds
from recoup.rules.records.collection import Debt
from recoup.rules.records.dunning import Dunned, DunningCampaign


class ThresholdObject(msgspec.Struct, frozen=True):
    """From how much on a currency is asked for."""

    currency: str
    amount_cents: int


class DunningCampaignObject(msgspec.Struct, frozen=True, kw_only=True):
    """`dunning_campaign` as its own resource, in the names of Lago's GraphQL."""

    lago_id: UUID
    name: str
    code: str
    description: str | None
    bcc_emails: tuple[str, ...]
    days_between_attempts: int
    max_attempts: int
    thresholds: list[ThresholdObject]
    applied_to_organization: bool
    applied_to_billing_entities_codes: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class BalanceObject(msgspec.Struct, frozen=True):
    """What is due and overdue in one currency."""

    currency: str
    amount_cents: int


class DunningFinishedObject(msgspec.Struct, frozen=True, kw_only=True):
    """That a campaign has asked as often as it may, as `dunning_campaign.finished` tells it.

    Balances are what is due: Lago's are totals, whatever was paid of them.
    """

    external_customer_id: str
    dunning_campaign_code: str
    overdue_balance_cents: int
    overdue_balance_currency: str
    overdue_balances: list[BalanceObject]
    customer_external_id: str  # the first one's older name


def dunning_campaign_object(campaign: DunningCampaign) -> DunningCampaignObject:
    """Render a campaign."""
    return DunningCampaignObject(
        lago_id=campaign.id,
        name=campaign.name,
        code=campaign.code,
        description=campaign.description,
        bcc_emails=campaign.bcc_emails,
        days_between_attempts=campaign.days_between_attempts,
        max_attempts=campaign.max_attempts,
        thresholds=[
            ThresholdObject(threshold.currency, threshold.amount_cents)
            for threshold in campaign.thresholds
        ],
        applied_to_organization=campaign.applied_to_organization,
        applied_to_billing_entities_codes=campaign.billing_entity_codes,
        created_at=seconds(campaign.created_at),
        updated_at=seconds(campaign.updated_at),
    )


def dunning_finished_object(dunned: Dunned, overdue: Iterable[Debt]) -> DunningFinishedObject:
    """Say what is still overdue of a customer, some of it at least.

    The one balance is that in the customer's own currency; without one, in the first of all.
    """
    balances: dict[str, int] = {}
    for debt in overdue:
        balances[debt.currency] = balances.get(debt.currency, 0) + debt.due_cents
    shown = dunned.currency or min(balances)
    return DunningFinishedObject(
        external_customer_id=dunned.external_id,
        dunning_campaign_code=dunned.campaign.code,
        overdue_balance_cents=balances.get(shown, 0),
        overdue_balance_currency=shown,
        overdue_balances=[BalanceObject(one, balances[one]) for one in sorted(balances)],
        customer_external_id=dunned.external_id,
    )
