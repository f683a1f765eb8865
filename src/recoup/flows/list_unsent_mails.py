"""List the mails that no mail server has taken, for an operator."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from recoup.flows.find_organization import organization_must_exist
from recoup.rules.records.mails import Mail
from recoup.store import db, mails
from recoup.store.db import Pool

MOST_LISTED: Final = 1_000


async def list_unsent_mails(pool: Pool, organization_id: UUID) -> list[Mail]:
    """The organization's mails that wait or were given up, oldest first; a thousand at most.

    :raises Refused: `organization_not_found`.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        return await mails.unsent(conn, organization_id, most=MOST_LISTED)
