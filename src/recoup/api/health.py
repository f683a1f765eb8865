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
    if await _database_answers(edge.scout):
        return _said(Health(__version__, "", "Success"), 200)
    details = f"The database does not answer within {PATIENCE_SECONDS:.0f} seconds."
    return _said(Health(__version__, "", "Unhealthy", details), 500)


@get("/ready", include_in_schema=False)
async def ready(edge: TheEdge) -> Response[bytes]:
    """Say whether new calls are welcome."""
    if edge.stopping:
        return _said({"status": "shutting down"}, 503)
    return _said({"status": "ok"}, 200)


async def _database_answers(scout: Pool) -> bool:
    """Ask over the scout's connections: an API that is busy with its own is not ill."""
    asking = asyncio.create_task(scout.fetchval("SELECT 1"))
    answered, _ = await asyncio.wait({asking}, timeout=PATIENCE_SECONDS)
    if not answered:
        asking.cancel()  # not awaited: giving up in order asks the server, too
        return False
    try:
        await asking
    except (*DATABASE_AWAY, OSError, asyncpg.PostgresError):
        return False
    return True


def _said(what: msgspec.Struct | dict[str, str], status: int) -> Response[bytes]:
    body = msgspec.json.encode(what)
    return Response(body, status_code=status, media_type="application/json")


routes = Router("/", route_handlers=[health, ready])
