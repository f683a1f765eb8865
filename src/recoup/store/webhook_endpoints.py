"""Rows of `webhook_endpoints`. An organization has a few of them, never thousands."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import asyncpg

from recoup.rules.lago.pages import Page
from recoup.rules.records.webhook_endpoints import WebhookEndpoint
from recoup.store.db import Conn
from recoup.store.listing import part, rows_and_total
from recoup.store.rows import columns, insertion, update, values

_ALL: Final = f"""
    SELECT {columns(WebhookEndpoint)} FROM webhook_endpoints
     WHERE organization_id = $1 ORDER BY created_at, id
"""

_NEWEST_FIRST: Final = f"""
    SELECT {columns(WebhookEndpoint)} FROM webhook_endpoints
     WHERE organization_id = $1 ORDER BY created_at DESC, id DESC
"""

_COUNT: Final = "SELECT count(*) FROM webhook_endpoints WHERE organization_id = $1"
_INSERT: Final = insertion("webhook_endpoints", WebhookEndpoint)
_UPDATE: Final = update("webhook_endpoints", WebhookEndpoint, key=("organization_id", "id"))
_DELETE: Final = "DELETE FROM webhook_endpoints WHERE organization_id = $1 AND id = $2"


async def list_all(conn: Conn, organization_id: UUID) -> list[WebhookEndpoint]:
    """The organization's endpoints, oldest first."""
    return [_endpoint(row) for row in await conn.fetch(_ALL, organization_id)]


async def page(
    conn: Conn, organization_id: UUID, wanted: Page
) -> tuple[list[WebhookEndpoint], int]:
    """One page, newest first, and how many there are in all."""
    select = f"{_NEWEST_FIRST} {part(wanted)}"
    rows, total = await rows_and_total(conn, select, _COUNT, [organization_id], wanted)
    return [_endpoint(row) for row in rows], total


async def insert(conn: Conn, endpoint: WebhookEndpoint) -> None:
    """Add an endpoint.

    :raises asyncpg.UniqueViolationError: the organization has one with this URL.
    """
    await conn.execute(_INSERT, *values(endpoint))


async def write(conn: Conn, endpoint: WebhookEndpoint) -> None:
    """Write every field of an endpoint that exists.

    :raises asyncpg.UniqueViolationError: the organization has another one with this URL.
    """
    await conn.execute(_UPDATE, *values(endpoint))


async def delete(conn: Conn, endpoint: WebhookEndpoint) -> None:
    """Remove the endpoint and, by its foreign key, what was sent or waits to be sent there."""
    await conn.execute(_DELETE, endpoint.organization_id, endpoint.id)


def _endpoint(row: asyncpg.Record) -> WebhookEndpoint:
    event_types = row["event_types"]
    return WebhookEndpoint(
        **dict(row) | {"event_types": None if event_types is None else tuple(event_types)}
    )
