"""`/health` and `/ready`: may calls be sent here (contract section 1.1)? Neither needs a key.

`/health` asks the database; `/ready` only says whether this process is on its way out, so that a
balancer turns away before it goes.
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg
import msgspec
from litestar import Response, Router, get
from msgspec import UNSET, UnsetType

from recoup import __version__
from recoup.api.edge import TheEdge
from recoup.rules.reconciliation import What
from recoup.store import db, findings, provider_health, quarantines
from recoup.store.db import DATABASE_AWAY, Pool

PATIENCE_SECONDS: Final = 2.0


class Health(msgspec.Struct, frozen=True):
    """How we are. `github_url` is a field of Lago's; our source has no such address."""

    version: str
    github_url: str
    message: str
    details: str | UnsetType = UNSET


@get("/health", include_in_schema=False)
async def health(edge: TheEdge) -> Response[bytes]:
    """Say whether the database answers."""
    troubles = await _troubles(edge.scout)
    if troubles is not None:
        return _said(Health(__version__, "", "Success", " ".join(troubles) or UNSET), 200)
    details = f"The database does not answer within {PATIENCE_SECONDS:.0f} seconds."
    return _said(Health(__version__, "", "Unhealthy", details), 500)


@get("/ready", include_in_schema=False)
async def ready(edge: TheEdge) -> Response[bytes]:
    """Say whether new calls are welcome."""
    if edge.stopping:
        return _said({"status": "shutting down"}, 503)
    return _said({"status": "ok"}, 200)


async def _troubles(scout: Pool) -> list[str] | None:
    """What an operator should know, in sentences; None where the database does not answer.

    Counts alone: whoever reads this has shown no key.

    Ask over the scout's connections: an API that is busy with its own is not ill.
    """
    asking = asyncio.create_task(_look(scout))
    answered, _ = await asyncio.wait({asking}, timeout=PATIENCE_SECONDS)
    if not answered:
        asking.cancel()  # not awaited: giving up in order asks the server, too
        return None
    try:
        return await asking
    except (*DATABASE_AWAY, OSError, asyncpg.PostgresError):
        return None


async def _look(scout: Pool) -> list[str]:
    async with db.nameless(scout) as conn:
        held = len(await quarantines.accounts(conn))
        found = await findings.count_open(conn)
        left_alone = await provider_health.count_left_alone(conn)
    without_a_list = found.pop(What.CANNOT_LIST, 0)
    said: list[str] = []
    if held:
        said.append(f"After a restore: {held} provider accounts are not charged.")
    if without_a_list:
        said.append(f"{without_a_list} of them have no list to compare: a person must say so.")
    if found:
        said.append(f"{sum(found.values())} differences from providers' lists wait for a person.")
    for one in left_alone:
        if one.down:
            said.append(f"{one.down} accounts at {one.kind} are left alone: it does not answer.")
        if one.refused:
            said.append(f"{one.refused} accounts at {one.kind} are left alone: it refuses our key.")
    return said


def _said(what: msgspec.Struct | dict[str, str], status: int) -> Response[bytes]:
    body = msgspec.json.encode(what)
    return Response(body, status_code=status, media_type="application/json")


routes = Router("/", route_handlers=[health, ready])
