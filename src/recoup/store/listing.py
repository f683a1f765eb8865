"""One page of a list, and how many rows the list has: what every list asks of the database.

What would surprise you: the page is read first. One that is not full says by itself how many there
are, so that a filter which finds little costs one look and not two. A full one is counted, exactly
and anew each time: a number that is kept lies as soon as somebody writes.

And both are planned for their very values. A plan that is kept for any is made for a tenant of
middling size: in a large one it took 14 s for what takes 36 ms.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg

from recoup.rules.lago.pages import Page
from recoup.store.db import Conn

# The page for one row, by its id: it does not fill this one, so nothing is counted.
BY_ID: Final = Page(size=2)


@asynccontextmanager
async def planned_for_values(conn: Conn) -> AsyncIterator[None]:
    """Plan what the block asks for its very values, and what comes after it for any.

    What is shown of a page is looked up by its ids: planning that takes longer than doing it, and
    the plan is always the same.
    """
    await conn.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    yield
    await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")


def part(page: Page) -> str:
    """The end of an ordered SELECT that reads this page."""
    return f"LIMIT {page.size} OFFSET {page.offset}"


async def rows_and_total(
    conn: Conn, select: str, count: str, values: Sequence[Any], page: Page
) -> tuple[list[asyncpg.Record], int]:
    """What a SELECT of this page gives, and how many rows there are in all, by another of these.

    Both take the same values.
    """
    async with planned_for_values(conn):
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
