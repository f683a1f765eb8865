"""Find an organization that somebody names by its id, or say that there is none.

Called where an operator types the id: a list of nothing would look like good news.
"""

from __future__ import annotations

from uuid import UUID

from recoup.rules.refusal import Refused, not_found
from recoup.store import organizations
from recoup.store.db import Conn


async def organization_must_exist(conn: Conn, organization_id: UUID) -> None:
    """Go on where there is such an organization.

    :raises Refused: `organization_not_found`.
    """
    if not await organizations.by_ids(conn, [organization_id]):
        raise Refused(not_found("organization"))
