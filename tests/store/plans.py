"""What a list reads: its statements explained as the application runs them.

What is held against a bound is what was touched, rows and pages, not which words the plan uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
from asyncpg.connection import LoggedQuery

from recoup.rules.lago.pages import Page
from recoup.store import db
from recoup.store.db import Conn, Pool

PLANS: Final = ("force_custom_plan", "force_generic_plan")  # for the very values, and for any
SIZE: Final = 20  # of a page
BIG: Final = {
    "invoices", "invoice_metadata", "payments", "payment_invoices", "fees", "customers",
    "customer_metadata", "applied_taxes", "credit_notes", "credit_note_items", "payment_requests",
    "payment_request_invoices", "payment_receipts", "refunds", "reconciliation_findings", "events",
    "webhook_deliveries", "mails", "payment_methods",
}  # fmt: skip

List = Callable[[Conn, Page], Awaitable[Any]]


class Bound(msgspec.Struct, frozen=True):
    """What the statements of one list may touch together: rows, and pages of 8 kB."""

    rows: int
    pages: int


class Touched(Bound, frozen=True):
    """What they did touch, and the big tables of which they read every row of every tenant."""

    whole: frozenset[str]


async def assert_reads_its_own(pool: Pool, organization_id: UUID, ask: List, bound: Bound) -> None:
    """A page of this list touches no more than it may, and no big table whole."""
    for plan_for in PLANS:
        async with db.transaction(pool, tenants=[organization_id]) as conn:
            touched = await touched_by(conn, ask, plan_for)
        assert touched.whole == frozenset()
        assert touched.rows <= bound.rows
        assert touched.pages <= bound.pages


async def touched_by(conn: Conn, ask: List, plan_for: str) -> Touched:
    """What a page of this list touches, by one of `PLANS`."""
    statements = await statements_of(conn, ask)
    await conn.execute(f"SET LOCAL plan_cache_mode = {plan_for}")
    plans = [await explained(conn, one) for one in statements]
    return Touched(
        rows=sum(map(_rows, plans)),
        pages=sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans),
        whole=frozenset(one for plan in plans for one in _scanned_whole(plan)),
    )


async def statements_of(conn: Conn, ask: List) -> list[LoggedQuery]:
    """What a page of this list, which finds something, asks the database."""
    asked: list[LoggedQuery] = []
    conn.add_query_logger(asked.append)
    await ask(conn, Page(size=SIZE))
    await asyncio.sleep(0)  # a logger is called in its turn: of the last one it has not heard yet
    conn.remove_query_logger(asked.append)
    asked = [one for one in asked if not one.query.startswith("SET ")]
    assert asked, "a list asks for something"
    return asked


async def explained(conn: Conn, statement: LoggedQuery) -> dict[str, Any]:
    """The plan of a statement, run as it was."""
    await conn.execute(f"PREPARE asked AS {statement.query}")
    values = f"({', '.join(map(literal, statement.args))})" if statement.args else ""
    said = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked{values}")
    await conn.execute("DEALLOCATE asked")
    [plan] = msgspec.json.decode(said)
    return plan["Plan"]


def literal(value: Any) -> str:
    """A parameter's value as SQL, its type being known there."""
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return "'{" + ",".join(f'"{one}"' for one in value) + "}'"
    return f"'{value}'"


def _rows(plan: dict[str, Any]) -> int:
    """The rows that a plan read of big tables and their indexes, found or not."""
    return round(
        sum(
            node["Actual Loops"]
            * (
                node["Actual Rows"]
                + node.get("Rows Removed by Filter", 0)
                + node.get("Rows Removed by Index Recheck", 0)
            )
            for node in nodes_of(plan)
            if node.get("Relation Name") in BIG
        )
    )


def _scanned_whole(plan: dict[str, Any]) -> Iterator[str]:
    """The big tables of which a plan read every row, or every index entry, of every tenant."""
    for node in nodes_of(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG:
            yield node["Relation Name"]


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, from the top."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)
