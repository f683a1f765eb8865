"""One page of a list, and how many rows the list has: what every list asks of the database.

What would surprise you: the page is read first. One that is not full says by itself how many there
are, so that a filter which finds little costs one look and not two. A full one is counted, exactly
and anew each time: a number that is kept lies as soon as somebody writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from recoup.rules.lago.pages import Page
from recoup.store.db import Conn


def part(page: Page) -> str:
    """The end of an ordered SELECT that reads this page."""
    return f"LIMIT {page.size} OFFSET {page.offset}"


async def rows_and_total(
    conn: Conn, select: str, count: str, values: Sequence[Any], page: Page
) -> tuple[list[asyncpg.Record], int]:
    """What a SELECT of this page gives, and how many rows there are in all, by another of these.

    Both take the same values.
    """
    rows = await conn.fetch(select, *values)
    if rows and len(rows) < page.size:
        return rows, page.offset + len(rows)
    if not rows and page.offset == 0:
        return rows, 0
    return rows, await conn.fetchval(count, *values)


async def ids_and_total(
    conn: Conn, select: str, count: str, values: Sequence[Any], page: Page
) -> tuple[list[UUID], int]:
    """The same for an ordered SELECT of ids alone, without its `part`: an index may answer it."""
    rows, total = await rows_and_total(conn, f"{select} {part(page)}", count, values, page)
    return [row["id"] for row in rows], total
