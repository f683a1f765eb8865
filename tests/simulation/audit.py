"""Compare the provider's books with ours, when everything is settled: every row, every cent.

Answers sentences that say what does not agree; none is what a test wants to see.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg

from recoup.rules.look_up_schedule import RE_SEND_WITHIN
from recoup.rules.records.collection import idempotency_key
from recoup.sandbox.charges import Charge, Status
from recoup.store import db
from recoup.store.invariants import INVARIANTS, offenders
from tests.simulation.people import asked_id
from tests.simulation.world import World

ENDS = {
    "succeeded": "payment.succeeded",
    "failed": "invoice.payment_failure",
    "withdrawn": "invoice.payment_failure",
}
SWEPT = {"ready_has_its_job", "provider_event_has_its_job"}  # what the next sweep puts right
WITHOUT_ATTEMPT = {"nothing_due": "invoice.payment_status_updated"}


async def disagreements(world: World) -> list[str]:
    """Everything that does not agree in a world that has settled down."""
    rows = await _Rows.read(world)
    world.happened.update(f"ended_{attempt['state']}" for attempt in rows.attempts.values())
    world.happened.update(row["reason"] for row in rows.contradictions)
    return [*await broken_invariants(world), *_compare(world, rows)]


async def broken_invariants(world: World, *, in_between: bool = False) -> list[str]:
    """What `recoup check` would find. `in_between`: while jobs are lost and nobody has swept."""
    asked = [one for one in INVARIANTS if not (in_between and one.name in SWEPT)]
    async with db.transaction(world.pool, tenants=[world.tenant]) as conn:
        found = [
            (one, await offenders(conn, one, [world.tenant], now=world.clock.now()))
            for one in asked
        ]
    return [
        f"does not hold: {one.says} {', '.join(world.name(key.id) for key in broken.examples)}"
        for one, broken in found
        if broken.count
    ]


class _Rows:
    """What our database holds of one tenant."""

    def __init__(self, tables: dict[str, list[asyncpg.Record]]) -> None:
        self.invoices = tables["invoices"]
        self.attempts = {
            row["id"]: row for row in tables["payments"] if row["payment_type"] == "provider"
        }
        self.by_hand = {
            row["id"]: row for row in tables["payments"] if row["payment_type"] == "manual"
        }
        self.covers = tables["payment_invoices"]
        self.contradictions = tables["contradictions"]
        self.ledger = tables["ledger_entries"]
        self.events = tables["events"]
        self.decisions = {row["id"]: row for row in tables["decisions"]}
        self.provider_events = tables["provider_events"]

    @classmethod
    async def read(cls, world: World) -> _Rows:
        tables = (
            "invoices", "payments", "payment_invoices", "contradictions", "ledger_entries",
            "events", "decisions", "provider_events",
        )  # fmt: skip
        return cls(
            {
                table: await world.owner.fetch(
                    f"SELECT * FROM {table} WHERE organization_id = $1", world.tenant
                )
                for table in tables
            }
        )


def _compare(world: World, rows: _Rows) -> Iterator[str]:
    charges = {charge.idempotency_key: charge for charge in world.psp.charges()}
    if len(charges) < len(world.psp.charges()):
        yield "a key has made two charges"
    keys = {idempotency_key(attempt): attempt for attempt in rows.attempts}
    for key in charges.keys() - keys.keys():
        yield f"nobody here knows the charge under {key}"
    for key, attempt_id in keys.items():
        for fault in _attempt(world, rows.attempts[attempt_id], charges.get(key)):
            yield f"attempt {world.name(attempt_id)}: {fault}"
    for invoice in rows.invoices:
        for fault in _invoice(world, rows, invoice, charges):
            yield f"invoice {world.name(invoice['id'])}: {fault}"
    yield from _ledger(rows, charges)
    yield from _ends(world, rows)
    for row in rows.provider_events:
        if row["applied_at"] is None:
            yield f"an event was never applied: {row['body']}"
    yield from _contradictions(world, rows, charges)


def _attempt(world: World, row: asyncpg.Record, charge: Charge | None) -> Iterator[str]:
    state = row["state"]
    told = charge.status if charge else None
    match state:
        case "succeeded":
            if told is not Status.SUCCEEDED:
                yield f"succeeded here, {told} there"
        case "failed":
            turned_away = charge is None and row["provider_payment_id"] is None
            if told is not Status.FAILED and not turned_away:
                yield f"failed here, {told} there"
        case "withdrawn":
            if charge:
                yield f"was withdrawn, and is {told} there"
        case "needs_review":
            if charge:
                yield f"nobody is asked about it any more, and it is {told} there"
            if row["sent_at"] > world.clock.now() - RE_SEND_WITHIN - timedelta(hours=4):
                yield "was given to a person while its key lives"
        case _:
            yield f"is still {state}, and {told} there"
    if charge is None:
        return
    if row["provider_payment_id"] != charge.id:
        yield f"is called {row['provider_payment_id']} here and {charge.id} there"
    if (row["amount_cents"], row["currency"]) != (charge.amount, charge.currency):
        yield f"another amount: {row['amount_cents']} here, {charge.amount} there"
    if (row["provider_method_id"], row["provider_customer_id"]) != (
        charge.payment_method, charge.customer,
    ):  # fmt: skip
        yield "another card or customer was charged"
    if row["wanted_method_id"] not in (None, row["payment_method_id"]):
        yield "another method than the one that was asked for"


def _invoice(
    world: World, rows: _Rows, invoice: asyncpg.Record, charges: dict[str, Charge]
) -> Iterator[str]:
    covers = [row for row in rows.covers if row["invoice_id"] == invoice["id"]]
    attempts = [
        rows.attempts[row["payment_id"]] for row in covers if row["payment_id"] in rows.attempts
    ]
    by_hand = sum(
        rows.by_hand[row["payment_id"]]["amount_cents"]
        for row in covers
        if row["payment_id"] in rows.by_hand
    )
    applied = sum(row["applied_cents"] for row in covers)
    paid_there = [
        charge
        for attempt in attempts
        if (charge := charges.get(idempotency_key(attempt["id"])))
        and charge.status is Status.SUCCEEDED
    ]
    surprises = [
        row for row in rows.contradictions if row["payment_id"] in {a["id"] for a in attempts}
    ]
    if len(paid_there) > 1 + len(surprises):
        yield f"was charged {len(paid_there)} times, and {len(surprises)} are explained"
    if invoice["paid_cents"] != applied:
        yield f"{invoice['paid_cents']} are paid, {applied} by its payments"
    if invoice["paid_cents"] > invoice["total_cents"]:
        yield "more is paid than was asked for"
    taken = sum(charge.amount for charge in paid_there)
    unapplied = sum(
        -entry["amount_cents"]
        for entry in rows.ledger
        if entry["account"] == "unapplied" and entry["payment_id"] in {a["id"] for a in attempts}
    )
    if taken + by_hand != applied + unapplied:
        yield f"{taken} + {by_hand} came in, {applied} + {unapplied} are accounted for"
    receivable = sum(
        entry["amount_cents"]
        for entry in rows.ledger
        if entry["account"] == "receivable" and entry["invoice_id"] == invoice["id"]
    )
    if receivable != invoice["due_cents"]:
        yield f"{invoice['due_cents']} are due, {receivable} in the ledger"
    is_open = any(attempt["ended_at"] is None for attempt in attempts)
    if sum(row["open"] for row in covers) != is_open:
        yield "an attempt has ended and is open all the same"
    key = next(one for one in world.people.invoices if one.id == invoice["id"])
    if invoice["status"] == "voided" or invoice["id"] in world.people.declared:
        return
    expected = "pending"
    if invoice["due_cents"] == 0:
        expected = "succeeded"
    elif not is_open and any(attempt["state"] == "failed" for attempt in attempts):
        expected = "failed"
    if invoice["payment_status"] != expected:
        yield f"shows {invoice['payment_status']}, and is {expected}"
    if key not in world.people.meddled and (expected == "succeeded") != (len(paid_there) == 1):
        yield f"is {expected}, and {len(paid_there)} charges succeeded"


def _ledger(rows: _Rows, charges: dict[str, Charge]) -> Iterator[str]:
    sums: Counter[Any] = Counter()
    at_provider: Counter[Any] = Counter()
    for entry in rows.ledger:
        sums[entry["transaction_id"], entry["currency"]] += entry["amount_cents"]
        if entry["account"] == "at_provider":
            at_provider[entry["payment_id"]] += entry["amount_cents"]
    if any(sums.values()):
        yield "a ledger transaction does not sum to zero"
    for attempt_id in rows.attempts:
        charge = charges.get(idempotency_key(attempt_id))
        there = charge.amount if charge and charge.status is Status.SUCCEEDED else 0
        if at_provider[attempt_id] != there:
            yield f"the ledger has {at_provider[attempt_id]} at the provider, its books {there}"


def _ends(world: World, rows: _Rows) -> Iterator[str]:
    """Every accepted ask has one end, of the right kind; what was refused has left nothing."""
    ends = defaultdict(list)
    for event in rows.events:
        if event["ask_id"]:
            ends[event["ask_id"]].append(event["webhook_type"])
    for attempt_id, attempt in rows.attempts.items():
        expected = [ENDS[attempt["state"]]] if attempt["ended_at"] else []
        if ends[attempt_id] != expected:
            yield f"{world.name(attempt_id)} is {attempt['state']} and told {ends[attempt_id]}"
        if asked_id(attempt_id) not in rows.decisions:
            yield f"nobody knows why {world.name(attempt_id)} was begun"
    asked = {asked_id(ask_id): ask_id for ask_id in world.given_ids}
    for decision in rows.decisions.values():
        if decision["decided"] == "no_attempt" and (ask_id := asked.get(decision["id"])):
            is_creation = ask_id in world.people.unasked
            expected = [] if is_creation else [
                WITHOUT_ATTEMPT.get(decision["because"], "invoice.payment_failure")
            ]  # fmt: skip
            if ends[ask_id] != expected:
                yield f"{world.name(ask_id)} came to {decision['because']} and told {ends[ask_id]}"
        elif decision["decided"] == "no_attempt":
            yield "a decision about an ask that nobody made"
    for ask_id, answer in world.people.accepted.items():
        if asked_id(ask_id) not in rows.decisions:
            yield f"{world.name(ask_id)} was accepted, and nothing was decided"
        if answer.attempt_id and answer.attempt_id not in rows.attempts:
            yield f"{world.name(ask_id)} was accepted, and its attempt is gone"
    for ask_id in world.people.refused:
        if ask_id in rows.attempts or ask_id in ends or asked_id(ask_id) in rows.decisions:
            yield f"{world.name(ask_id)} was refused, and has left something"


def _contradictions(world: World, rows: _Rows, charges: dict[str, Charge]) -> Iterator[str]:
    """Whatever surprises has its reason: somebody meddled after the sending, and money moved."""
    invoices = {row["id"]: row for row in rows.invoices}
    for row in rows.contradictions:
        charge = charges.get(idempotency_key(row["payment_id"]))
        if row["amount_cents"] and (charge is None or charge.status is not Status.SUCCEEDED):
            yield f"a contradiction about money that never moved: {row['reason']}"
        sent_at = rows.attempts[row["payment_id"]]["sent_at"]
        [covered] = [one for one in rows.covers if one["payment_id"] == row["payment_id"]]
        invoice = invoices[covered["invoice_id"]]
        match row["reason"]:
            case "invoice_was_voided":
                is_explained = invoice["voided_at"] and invoice["voided_at"] >= sent_at
            case "more_than_was_due" | "invoice_was_paid_already":
                paid_at = [
                    rows.by_hand[one["payment_id"]]["ended_at"]
                    for one in rows.covers
                    if one["invoice_id"] == invoice["id"] and one["payment_id"] in rows.by_hand
                ]
                declared_at = [at for at, _ in world.people.declared.get(invoice["id"], [])]
                is_explained = any(at >= sent_at for at in (*paid_at, *declared_at))
            case _:
                is_explained = False
        if not is_explained:
            yield f"invoice {world.name(invoice['id'])} contradicts itself: {row['reason']}"
        for one in rows.covers:
            later = rows.attempts.get(one["payment_id"])
            if later is None or one["invoice_id"] != invoice["id"] or later["sent_at"] is None:
                continue
            if later["sent_at"] > row["created_at"]:
                yield f"invoice {world.name(invoice['id'])} is held, and was charged again"
    yield from _declared_paid(world, rows)


def _declared_paid(world: World, rows: _Rows) -> Iterator[str]:
    """Money for an invoice that somebody has declared paid meanwhile is not applied to it."""
    for one in rows.covers:
        attempt = rows.attempts.get(one["payment_id"])
        if attempt is None or attempt["state"] != "succeeded":
            continue
        said = world.people.declared.get(one["invoice_id"], [])
        before = [status for at, status in said if at < attempt["ended_at"]]
        at_that_moment = [at for at, _ in said if at == attempt["ended_at"]]
        if before[-1:] == ["succeeded"] and not at_that_moment and one["applied_cents"]:
            yield f"attempt {world.name(attempt['id'])} was applied to what was declared paid"
