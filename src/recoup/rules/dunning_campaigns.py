"""What a caller may say of a dunning campaign, and what becomes of it (contract section 8.2).

Lago has no REST for campaigns: names are those of its GraphQL, manners those of the resources here.
What is absent stays as it is; thresholds are replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.catalogue import broken_texts
from recoup.rules.email_addresses import MOST, are_email_addresses
from recoup.rules.money import MAX_CENTS, is_currency
from recoup.rules.records.dunning import DunningCampaign, Threshold
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Scalar, Text, text, texts, written

LONGEST_WAIT: Final = 3_650  # days
MOST_ATTEMPTS: Final = 1_000
_TEXTS: Final = ("name", "code", "description")
_MOST: Final = {"days_between_attempts": LONGEST_WAIT, "max_attempts": MOST_ATTEMPTS}


class ThresholdInput(msgspec.Struct, frozen=True):
    """One of `thresholds` as a caller sends it."""

    currency: Text = None
    amount_cents: int | None = None


class DunningCampaignInput(msgspec.Struct, frozen=True):
    """What a caller says of a campaign; what is absent stays as it is."""

    name: Text = UNSET
    code: Text = UNSET
    description: Text = UNSET
    bcc_emails: list[Scalar] | UnsetType | None = UNSET
    days_between_attempts: int | UnsetType | None = UNSET
    max_attempts: int | UnsetType | None = UNSET
    thresholds: list[ThresholdInput] | UnsetType | None = UNSET
    applied_to_organization: bool | UnsetType | None = UNSET


def changed(
    campaign: DunningCampaign, asked: DunningCampaignInput, *, now: datetime
) -> DunningCampaign:
    """The campaign with what is asked put in, if that holds together.

    :raises Refused: 422, every broken field with its code.
    """
    broken: dict[str, list[str]] = {}
    given: dict[str, Any] = {
        field: written(said) for field in _TEXTS if (said := getattr(asked, field)) is not UNSET
    }
    for field, most in _MOST.items():
        said = getattr(asked, field)
        if said is UNSET or said is None:  # null: the default, and what was before
            continue
        given[field] = said
        if not 1 <= said <= most:
            broken[field] = ["value_is_out_of_range"]
    if asked.bcc_emails is not UNSET:
        given["bcc_emails"] = _addresses(asked.bcc_emails or (), broken)
    if asked.thresholds is not UNSET:
        given["thresholds"] = _thresholds(asked.thresholds or (), broken)
    new: DunningCampaign = msgspec.structs.replace(campaign, **given, updated_at=now)
    broken |= broken_texts(new)
    if not new.thresholds and "thresholds" not in broken:
        broken["thresholds"] = ["value_is_mandatory"]
    if broken:
        raise Refused(invalid(broken))
    if new.terms != campaign.terms:
        return msgspec.structs.replace(new, terms_changed_at=now)
    return new


def _addresses(asked: Sequence[Scalar], broken: dict[str, list[str]]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(one.strip(" ") for one in texts(asked)))
    if len(found) > MOST:
        broken["bcc_emails"] = ["invalid_count"]
    elif not all("," not in one and are_email_addresses(one) for one in found):
        broken["bcc_emails"] = ["invalid_email_format"]
    return found


def _thresholds(
    asked: Sequence[ThresholdInput], broken: dict[str, list[str]]
) -> tuple[Threshold, ...]:
    """One for each currency, by their codes; what is wrong with one is wrong with all."""
    found: dict[str, Threshold] = {}
    for one in asked:
        currency, cents = text(one.currency), one.amount_cents
        if currency is None or cents is None:
            broken["thresholds"] = ["value_is_mandatory"]
        elif not is_currency(currency):
            broken["thresholds"] = ["value_is_invalid"]
        elif not 0 <= cents <= MAX_CENTS:
            broken["thresholds"] = ["value_is_out_of_range"]
        elif currency in found:
            broken["thresholds"] = ["value_already_exist"]
        else:
            found[currency] = Threshold(currency, cents)
    return tuple(found[currency] for currency in sorted(found))
