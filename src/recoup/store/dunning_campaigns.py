"""Rows of `dunning_campaigns` with their thresholds, and which billing entities apply them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import asyncpg

from recoup.rules.lago.pages import Page
from recoup.rules.records.dunning import DunningCampaign, Threshold
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total

COLUMNS: Final = """
           d.organization_id, d.id, d.code, d.name, d.description, d.bcc_emails,
           d.days_between_attempts, d.max_attempts, d.terms_changed_at, d.created_at, d.updated_at,
           ARRAY(SELECT t.currency FROM dunning_thresholds t
                  WHERE (t.organization_id, t.dunning_campaign_id) = (d.organization_id, d.id)
                  ORDER BY t.currency) AS currencies,
           ARRAY(SELECT t.amount_cents FROM dunning_thresholds t
                  WHERE (t.organization_id, t.dunning_campaign_id) = (d.organization_id, d.id)
                  ORDER BY t.currency) AS amounts,
           ARRAY(SELECT b.code FROM billing_entities b
                  WHERE b.organization_id = d.organization_id
                    AND b.applied_dunning_campaign_id = d.id
                  ORDER BY b.code) AS billing_entity_codes,
           EXISTS (SELECT FROM billing_entities b
                    WHERE b.organization_id = d.organization_id AND b.is_default
                      AND b.applied_dunning_campaign_id = d.id) AS applied_to_organization
"""

_BY_CODES: Final = f"""
    SELECT {COLUMNS} FROM dunning_campaigns d
     WHERE d.organization_id = $1 AND d.code = ANY ($2::text[])
"""

_CODES: Final = """
    SELECT id, code FROM dunning_campaigns WHERE organization_id = $1 AND id = ANY ($2::uuid[])
"""

_PAGE: Final = f"""
    SELECT {COLUMNS} FROM dunning_campaigns d
     WHERE d.organization_id = $1 ORDER BY d.created_at DESC, d.id
"""

_ORGANIZATIONS: Final = "SELECT DISTINCT organization_id FROM dunning_campaigns ORDER BY 1"

_COUNT: Final = "SELECT count(*) FROM dunning_campaigns WHERE organization_id = $1"

# Whoever changes its code or deletes it waits for those who apply it, and the other way round.
_LOCK: Final = """
    SELECT FROM dunning_campaigns WHERE organization_id = $1 AND code = $2 FOR UPDATE
"""
_KEEP: Final = """
    SELECT id FROM dunning_campaigns WHERE organization_id = $1 AND code = $2 FOR KEY SHARE
"""

_INSERT: Final = """
    INSERT INTO dunning_campaigns
           (organization_id, id, code, name, description, bcc_emails, days_between_attempts,
            max_attempts, terms_changed_at, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""

_UPDATE: Final = """
    UPDATE dunning_campaigns
       SET code = $3, name = $4, description = $5, bcc_emails = $6, days_between_attempts = $7,
           max_attempts = $8, terms_changed_at = $9, updated_at = $10
     WHERE organization_id = $1 AND id = $2
"""

_DROP_THRESHOLDS: Final = """
    DELETE FROM dunning_thresholds WHERE organization_id = $1 AND dunning_campaign_id = $2
"""
_ADD_THRESHOLDS: Final = """
    INSERT INTO dunning_thresholds (organization_id, dunning_campaign_id, currency, amount_cents)
    SELECT $1, $2, u.* FROM unnest($3::text[], $4::bigint[]) AS u
"""

_TAKE_FROM_ALL: Final = (
    """
    UPDATE billing_entities SET applied_dunning_campaign_id = NULL
     WHERE organization_id = $1 AND applied_dunning_campaign_id = $2
    """,
    """
    UPDATE customers SET applied_dunning_campaign_id = NULL
     WHERE organization_id = $1 AND applied_dunning_campaign_id = $2
    """,
)
_DELETE: Final = "DELETE FROM dunning_campaigns WHERE organization_id = $1 AND id = $2"

_APPLY_TO_DEFAULT_ENTITY: Final = """
    UPDATE billing_entities SET applied_dunning_campaign_id = $2
     WHERE organization_id = $1 AND is_default
"""
_TAKE_FROM_DEFAULT_ENTITY: Final = """
    UPDATE billing_entities SET applied_dunning_campaign_id = NULL
     WHERE organization_id = $1 AND is_default AND applied_dunning_campaign_id = $2
"""


async def organizations(scout: Conn) -> list[UUID]:
    """All organizations that have a campaign, whoever applies it."""
    return [row["organization_id"] for row in await scout.fetch(_ORGANIZATIONS)]


async def by_codes(
    conn: Conn, organization_id: UUID, codes: Collection[str]
) -> dict[str, DunningCampaign]:
    """The organization's campaigns with these codes, by code; unknown ones are left out."""
    known = [code for code in codes if "\0" not in code]
    rows = await conn.fetch(_BY_CODES, organization_id, known)
    return {row["code"]: campaign_of(row) for row in rows}


async def page(
    conn: Conn, organization_id: UUID, wanted: Page
) -> tuple[list[DunningCampaign], int]:
    """One page, newest first, and how many there are in all."""
    rows, total = await rows_and_total(
        conn, f"{_PAGE} {part(wanted)}", _COUNT, [organization_id], wanted
    )
    return [campaign_of(row) for row in rows], total


async def codes(conn: Conn, organization_id: UUID, ids: Collection[UUID | None]) -> dict[UUID, str]:
    """The codes of these campaigns of the organization's, by id; None is none of them."""
    named = [one for one in ids if one is not None]
    rows = await conn.fetch(_CODES, organization_id, named) if named else []
    return {row["id"]: row["code"] for row in rows}


async def lock_by_code(conn: Conn, organization_id: UUID, code: str) -> None:
    """Lock the campaign with this code, if there is one: nobody applies it meanwhile."""
    if "\0" not in code:
        await conn.execute(_LOCK, organization_id, code)


async def keep_by_code(conn: Conn, organization_id: UUID, code: str) -> UUID | None:
    """Let nobody delete the campaign with this code, or rename it; answer its id, if it is one."""
    if "\0" in code:
        return None
    found: UUID | None = await conn.fetchval(_KEEP, organization_id, code)
    return found


async def insert(conn: Conn, campaign: DunningCampaign) -> None:
    """Add a campaign.

    :raises asyncpg.UniqueViolationError: the organization has one with this code.
    """
    await conn.execute(
        _INSERT, campaign.organization_id, campaign.id, campaign.code, campaign.name,
        campaign.description, campaign.bcc_emails, campaign.days_between_attempts,
        campaign.max_attempts, campaign.terms_changed_at, campaign.created_at, campaign.updated_at,
    )  # fmt: skip
    await _write_thresholds(conn, campaign)


async def update(conn: Conn, campaign: DunningCampaign) -> None:
    """Write the campaign's own fields and its thresholds; whoever applies it goes on doing so.

    :raises asyncpg.UniqueViolationError: the organization has another one with this code.
    """
    await conn.execute(
        _UPDATE, campaign.organization_id, campaign.id, campaign.code, campaign.name,
        campaign.description, campaign.bcc_emails, campaign.days_between_attempts,
        campaign.max_attempts, campaign.terms_changed_at, campaign.updated_at,
    )  # fmt: skip
    await conn.execute(_DROP_THRESHOLDS, campaign.organization_id, campaign.id)
    await _write_thresholds(conn, campaign)


async def delete(conn: Conn, campaign: DunningCampaign) -> None:
    """Take the campaign, which is locked, from all who apply it, and delete it."""
    for statement in _TAKE_FROM_ALL:
        await conn.execute(statement, campaign.organization_id, campaign.id)
    await conn.execute(_DELETE, campaign.organization_id, campaign.id)


async def apply_to_default_entity(conn: Conn, campaign: DunningCampaign, *, applied: bool) -> None:
    """Let the organization's default billing entity apply the campaign, or no longer."""
    statement = _APPLY_TO_DEFAULT_ENTITY if applied else _TAKE_FROM_DEFAULT_ENTITY
    await conn.execute(statement, campaign.organization_id, campaign.id)


def campaign_of(row: asyncpg.Record) -> DunningCampaign:
    """Read a campaign from a row of `COLUMNS`."""
    fields = {name: row[name] for name in DunningCampaign.__struct_fields__ if name in row}
    return DunningCampaign(
        **fields
        | {
            "bcc_emails": tuple(row["bcc_emails"]),
            "billing_entity_codes": tuple(row["billing_entity_codes"]),
            "thresholds": tuple(map(Threshold, row["currencies"], row["amounts"])),
        }
    )


async def _write_thresholds(conn: Conn, campaign: DunningCampaign) -> None:
    await conn.execute(
        _ADD_THRESHOLDS,
        campaign.organization_id,
        campaign.id,
        [threshold.currency for threshold in campaign.thresholds],
        [threshold.amount_cents for threshold in campaign.thresholds],
    )
