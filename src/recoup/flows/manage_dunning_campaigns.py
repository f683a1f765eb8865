"""Create, change, apply and delete an organization's dunning campaigns (contract section 8.2).

What would surprise you: whoever is late is looked at by a job that is promised here, so that a
campaign which begins to apply asks within seconds. It counts anew where its terms have changed,
and yet asks nobody twice within its days.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from recoup.flows.wake_dunned import ask_to_wake
from recoup.rules.dunning_campaigns import DunningCampaignInput, changed
from recoup.rules.records.dunning import DunningCampaign
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import Text, text
from recoup.store import dunning_campaigns, dunnings, organizations
from recoup.store.db import Conn

CODE_TAKEN: Final = invalid({"code": ["value_already_exist"]})
NOT_FOUND: Final = not_found("dunning_campaign")


async def create_dunning_campaign(
    conn: Conn,
    organization_id: UUID,
    asked: DunningCampaignInput,
    *,
    campaign_id: UUID,
    now: datetime,
) -> DunningCampaign:
    """Add a campaign.

    :raises Refused: 422, every broken field with its code, or a code that is taken.
    """
    blank = DunningCampaign(
        organization_id=organization_id,
        id=campaign_id,
        code="",
        name="",
        terms_changed_at=now,
        created_at=now,
        updated_at=now,
    )
    campaign = changed(blank, asked, now=now)
    await organizations.lock(conn, organization_id)
    try:
        await dunning_campaigns.insert(conn, campaign)
    except asyncpg.UniqueViolationError:
        raise Refused(CODE_TAKEN) from None
    applies = asked.applied_to_organization is True
    return await _applied(conn, campaign, asked, wakes=applies, now=now)


async def update_dunning_campaign(
    conn: Conn, organization_id: UUID, code: str, asked: DunningCampaignInput, *, now: datetime
) -> DunningCampaign:
    """Change what is given of the campaign with this code; whoever applies it goes on doing so.

    :raises Refused: `dunning_campaign_not_found`, or 422 as for creation.
    """
    await dunning_campaigns.lock_by_code(conn, organization_id, code)
    await organizations.lock(conn, organization_id)  # its billing entities are written as a whole
    before = await find_dunning_campaign(conn, organization_id, code)
    campaign = changed(before, asked, now=now)
    try:
        await dunning_campaigns.update(conn, campaign)
    except asyncpg.UniqueViolationError:
        raise Refused(CODE_TAKEN) from None
    wakes = campaign.terms != before.terms or isinstance(asked.applied_to_organization, bool)
    return await _applied(conn, campaign, asked, wakes=wakes, now=now)


async def delete_dunning_campaign(
    conn: Conn, organization_id: UUID, code: str, *, now: datetime
) -> DunningCampaign:
    """Delete the campaign with this code, and answer what it was.

    Whoever applied it applies none, and what it counted goes. What it asked for stays asked for.

    :raises Refused: `dunning_campaign_not_found`.
    """
    await dunning_campaigns.lock_by_code(conn, organization_id, code)
    await organizations.lock(conn, organization_id)  # its billing entities are written as a whole
    campaign = await find_dunning_campaign(conn, organization_id, code)
    await dunning_campaigns.delete(conn, campaign)
    await ask_to_wake(conn, organization_id, now=now)  # their entity's may apply to some
    await dunnings.forget_campaign(conn, campaign.key)
    return campaign


async def find_dunning_campaign(conn: Conn, organization_id: UUID, code: str) -> DunningCampaign:
    """Read the campaign with this code.

    :raises Refused: `dunning_campaign_not_found`.
    """
    found = await dunning_campaigns.by_codes(conn, organization_id, [code])
    if code not in found:
        raise Refused(NOT_FOUND)
    return found[code]


async def campaign_to_apply(conn: Conn, organization_id: UUID, asked: Text) -> UUID | None:
    """A campaign that is to be applied, by its code: it stays until we commit; None: no one.

    Called before the organization and the row that applies it are locked: whoever deletes or
    renames a campaign locks in this order.

    :raises Refused: `dunning_campaign_not_found`.
    """
    code = text(asked)
    if code is None:
        return None
    found = await dunning_campaigns.keep_by_code(conn, organization_id, code)
    if found is None:
        raise Refused(NOT_FOUND)
    return found


async def _applied(
    conn: Conn,
    campaign: DunningCampaign,
    asked: DunningCampaignInput,
    *,
    wakes: bool,
    now: datetime,
) -> DunningCampaign:
    if isinstance(asked.applied_to_organization, bool):
        await dunning_campaigns.apply_to_default_entity(
            conn, campaign, applied=asked.applied_to_organization
        )
    if wakes:
        await ask_to_wake(conn, campaign.organization_id, now=now)
    return await find_dunning_campaign(conn, campaign.organization_id, campaign.code)
