"""Compare the provider's books with ours, when everything is settled: every row, every cent.

Answers sentences that say what does not agree; none is what a test wants to see. What is right is
told from the provider's books and from what the people and the operators have done, and never by
asking the code that is judged.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise, permutations
from typing import Any
from uuid import UUID

import asyncpg

from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.refunds import refund_key
from recoup.sandbox.charge_book import Entry
from recoup.sandbox.charges import Status
from recoup.sandbox.tokens import ON_A_PAGE
from recoup.store import db
from recoup.store.invariants import INVARIANTS, offenders
from tests.simulation.audit_refunds import (
    A_CALL_TAKES,
    A_KEY_LIVES,
    notes_that_disagree,
    refunds_that_disagree,
)
from tests.simulation.people import (
    DUNNED_EACH,
    TURNED_AWAY,
    People,
    asked_id,
    attempt_of,
    requested_id,
)
from tests.simulation.world import World

ENDS = {
    "succeeded": "payment.succeeded",
    "failed": "invoice.payment_failure",
    "withdrawn": "invoice.payment_failure",
}
REQUEST_FAILED = "payment_request.payment_failure"
OF_ONE_INVOICE = {"invoice_was_voided", "invoice_was_paid_already", "more_than_was_due"}
SWEPT = {"ready_has_its_job", "provider_event_has_its_job"}  # what the next sweep puts right
WITHOUT_ATTEMPT = {"nothing_due": "invoice.payment_status_updated"}
FOR_GOOD = {"stolen_card", "expired_card", "authentication_failed"}  # the sandbox's hard declines


async def disagreements(world: World) -> list[str]:
    """Everything that does not agree in a world that has settled down."""
    there: dict[str, list[Entry]] = defaultdict(list)
    for entry in world.psp.entries():
        there[entry.charge.idempotency_key].append(entry)
    wrong = await broken_invariants(world)
    ours, refunds = set(), set()
    for people in world.everybody:
        audit = _Audit(world, people, await _Rows.read(world, people.tenant), there)
        wrong += audit.disagreements()
        ours |= {idempotency_key(attempt) for attempt in audit.rows.attempts}
        refunds |= {refund_key(row["id"]) for row in audit.rows.refunds}
    wrong += [f"nobody here knows the refund {key}" for key in world.psp.refunds().keys() - refunds]
    return wrong + [f"nobody here knows the charge under {key}" for key in there.keys() - ours]


async def broken_invariants(world: World, *, in_between: bool = False) -> list[str]:
    """What `recoup check` would find. `in_between`: while jobs are lost and nobody has swept."""
    asked = [one for one in INVARIANTS if not (in_between and one.name in SWEPT)]
    async with db.transaction(world.pool, tenants=world.tenants) as conn:
        found = [
            (one, await offenders(conn, one, world.tenants, now=world.clock.now())) for one in asked
        ]
    return [
        f"does not hold: {one.says} {', '.join(world.name(key.id) for key in broken.examples)}"
        for one, broken in found
        if broken.count
    ]


class _Rows:
    """What our database holds of one tenant."""

    def __init__(self, tables: dict[str, list[asyncpg.Record]]) -> None:
        self.invoices = {row["id"]: row for row in tables["invoices"]}
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
        self.refunds = tables["refunds"]
        self.dunned: dict[UUID, list[asyncpg.Record]] = defaultdict(list)  # by customer
        for row in tables["payment_requests"]:
            if row["dunning_campaign_id"]:
                self.dunned[row["customer_id"]].append(row)
        self.requested: dict[UUID, set[UUID]] = defaultdict(set)
        for row in tables["payment_request_invoices"]:
            self.requested[row["payment_request_id"]].add(row["invoice_id"])
        self.notes = tables["credit_notes"]
        self.invoices_of: dict[UUID, list[UUID]] = defaultdict(list)
        for row in self.covers:
            self.invoices_of[row["payment_id"]].append(row["invoice_id"])
        self.at_provider: Counter[UUID] = Counter()
        for entry in self.ledger:
            if entry["account"] == "at_provider":
                self.at_provider[entry["payment_id"]] += entry["amount_cents"]

    @classmethod
    async def read(cls, world: World, tenant: UUID) -> _Rows:
        tables = (
            "invoices", "payments", "payment_invoices", "contradictions", "ledger_entries",
            "events", "decisions", "provider_events", "refunds", "credit_notes",
            "payment_requests", "payment_request_invoices",
        )  # fmt: skip
        return cls(
            {
                table: await world.owner.fetch(
                    f"SELECT * FROM {table} WHERE organization_id = $1", tenant
                )
                for table in tables
            }
        )

    def attempts_of(self, invoice: UUID) -> list[asyncpg.Record]:
        """An invoice's attempts, in the order in which they were begun."""
        found = [row for row in self.attempts.values() if invoice in self.invoices_of[row["id"]]]
        return sorted(found, key=lambda row: row["created_at"])


class _Audit:
    """One tenant's rows beside the provider's books."""

    def __init__(
        self, world: World, people: People, rows: _Rows, there: dict[str, list[Entry]]
    ) -> None:
        self.world = world
        self.people = people
        self.rows = rows
        self.there = there
        self.ended_there = world.psp.ended()

    def disagreements(self) -> list[str]:
        """All of them, and beside that a count of what has happened."""
        rows, happened, name = self.rows, self.world.happened, self.world.name
        happened.update(f"ended_{attempt['state']}" for attempt in rows.attempts.values())
        happened.update(
            f"page_{attempt['state']}" for attempt in rows.attempts.values() if _is_page(attempt)
        )
        happened.update(row["reason"] for row in rows.contradictions)
        wrong = []
        for attempt in rows.attempts.values():
            faults = [
                fault
                for look in (self._state, self._charges, self._was_due, self._was_wanted)
                for fault in look(attempt)
            ]
            wrong += [f"attempt {name(attempt['id'])}: {fault}" for fault in faults]
        for invoice in rows.invoices.values():
            faults = [
                fault
                for look in (self._money, self._status, self._schedule, self._one_at_a_time)
                for fault in look(invoice)
            ]
            wrong += [f"invoice {name(invoice['id'])}: {fault}" for fault in faults]
        for row in rows.contradictions:
            for fault in self._contradiction(row, rows.invoices_of[row["payment_id"]]):
                wrong.append(f"payment {name(row['payment_id'])}: {fault}: {row['reason']}")
        for row in rows.provider_events:
            if row["applied_at"] is None:
                wrong.append(f"an event was never applied: {row['body']}")
        wrong += refunds_that_disagree(self.world, rows.refunds, rows.contradictions, rows.events)
        wrong += notes_that_disagree(self.world, rows.notes, rows.refunds, rows.events)
        return [*wrong, *self._requests(), *self._dunning(), *self._ledger(), *self._ends()]

    # One attempt.

    def _state(self, row: asyncpg.Record) -> Iterator[str]:
        """An attempt has ended as its charge has."""
        entries = self._entries(row)
        told = entries[0].charge.status if entries else None
        was_given_up = self._was_given_up(row)
        match row["state"]:
            case "succeeded":
                if told is not Status.SUCCEEDED:
                    yield f"succeeded here, {told} there"
            case "failed" if told is None:
                if row["provider_method_id"] != TURNED_AWAY and not was_given_up:
                    yield "failed here, and nothing was turned away there"
            case "failed" if told is Status.SUCCEEDED:
                if not was_given_up and not self._contradicted_itself(row):
                    yield "failed here, paid there"
            case "failed":
                if told is not Status.FAILED:
                    yield f"failed here, {told} there"
            case "withdrawn":
                if entries:
                    yield f"was withdrawn, and is {told} there"
            case "needs_review":
                if entries:
                    yield f"nobody is asked about it any more, and it is {told} there"
                if row["sent_at"] > self.world.clock.now() - A_KEY_LIVES - timedelta(hours=4):
                    yield "was given to a person while its key lives"
            case state:
                yield f"is still {state}, and {told} there"

    def _charges(self, row: asyncpg.Record) -> Iterator[str]:
        """A charge is what was written down when it was sent, and made in its time."""
        entries = self._entries(row)
        if len(entries) > 1 and not self._contradicted_itself(row):
            yield "one key has made two charges"
        for entry in entries[:1]:
            charge = entry.charge
            if row["provider_payment_id"] != charge.id and not self._was_given_up(row):
                yield f"is called {row['provider_payment_id']} here and {charge.id} there"
            if (row["amount_cents"], row["currency"]) != (charge.amount, charge.currency):
                yield f"another amount: {row['amount_cents']} here, {charge.amount} there"
            if (row["provider_method_id"], row["provider_customer_id"]) != (
                None if _is_page(row) else charge.payment_method, charge.customer,
            ):  # fmt: skip
                yield "another card or customer was charged"
            if _is_page(row) != (charge.payment_method == ON_A_PAGE):
                yield "was charged where its payer was not"
            if row["wanted_method_id"] not in (None, row["payment_method_id"]):
                yield "another method than the one that was asked for"
            [account] = [one for one in self.world.accounts if one.id == row["provider_account_id"]]
            if entry.account != account.name_there:
                yield "was charged through another account"
            in_time = row["sent_at"] + A_KEY_LIVES + A_CALL_TAKES
            if not row["sent_at"] <= charge.created_at <= in_time:
                yield f"sent at {row['sent_at']}, charged at {charge.created_at}"

    def _was_due(self, row: asyncpg.Record) -> Iterator[str]:
        """What was charged was owed when it was sent, and nobody had said that it was not."""
        at = row["sent_at"]
        if not self._entries(row):
            return
        charged = self._entries(row)[0].charge.amount
        may_be_due = {0}
        for invoice_id in self.rows.invoices_of[row["id"]]:
            owed, at_that_moment = self._owed(invoice_id, at, besides=row["id"])
            may_be_of_it = {owed}
            for cents in at_that_moment:  # the clock does not say which came first
                may_be_of_it |= {due - cents for due in may_be_of_it}
            may_be_due = {due + of_it for due in may_be_due for of_it in may_be_of_it}
        if charged not in may_be_due:
            yield f"{charged} were charged when {may_be_due} were due"
        for invoice_id in self.rows.invoices_of[row["id"]]:
            yield from self._was_collectable(invoice_id, at)

    def _was_collectable(self, invoice_id: UUID, at: datetime) -> Iterator[str]:
        if (voided_at := self.people.voided.get(invoice_id)) and voided_at < at:
            yield "was charged after its invoice was voided"
        declared = self.people.declared.get(invoice_id, [])
        said = [status for when, status in declared if when < at]
        is_said_now = any(when == at for when, _ in declared)  # before this, or after: who knows
        if said[-1:] == ["succeeded"] and not is_said_now:
            yield "was charged after its invoice was declared paid"
        held_at = max((when for when in self._held(invoice_id) if when < at), default=None)
        released = self.world.operators.released.get(invoice_id, [])
        if held_at and not any(held_at < when < at for when in released):
            yield "was charged while its invoice was held"

    def _was_wanted(self, row: asyncpg.Record) -> Iterator[str]:
        """Money for an invoice that somebody has declared paid meanwhile is not applied to it."""
        for cover in self.rows.covers:
            if cover["payment_id"] != row["id"] or row["state"] != "succeeded":
                continue
            said = self.people.declared.get(cover["invoice_id"], [])
            before = [status for at, status in said if at < row["ended_at"]]
            if cover["applied_cents"] and before[-1:] == ["succeeded"]:
                yield "was applied to what was declared paid"

    def _owed(self, invoice_id: UUID, at: datetime, *, besides: UUID) -> tuple[int, list[int]]:
        """What was due just before this moment, and what was paid or taken off at it.

        The charge `besides` is left out.
        """
        by_charges = [
            (attempt["ended_at"], cover["applied_cents"])
            for cover in self.rows.covers
            if cover["invoice_id"] == invoice_id
            and (attempt := self.rows.attempts.get(cover["payment_id"]))
            and attempt["id"] != besides
            and attempt["ended_at"]
        ]
        paid = [
            *self.people.paid_by_hand.get(invoice_id, []),
            *self.people.offset_by_notes.get(invoice_id, []),
            *by_charges,
        ]
        before = sum(cents for when, cents in paid if when < at)
        return (
            self.people.billed[invoice_id] - before,
            [cents for when, cents in paid if when == at and cents],
        )

    # One invoice.

    def _money(self, invoice: asyncpg.Record) -> Iterator[str]:
        """Whatever came in is accounted for: as paid, or as nobody's."""
        covers = [row for row in self.rows.covers if row["invoice_id"] == invoice["id"]]
        attempts = self.rows.attempts_of(invoice["id"])
        ids = {row["id"] for row in attempts}
        paid_there = [charge for row in attempts for charge in self._paid(row)]
        surprises = [row for row in self.rows.contradictions if row["payment_id"] in ids]
        doubtful = any(self._was_given_up(row) for row in attempts)
        if len(paid_there) > 1 + len(surprises) and not doubtful:
            yield f"was charged {len(paid_there)} times, and {len(surprises)} are explained"
        by_hand = sum(cents for _, cents in self.people.paid_by_hand.get(invoice["id"], []))
        applied = sum(row["applied_cents"] for row in covers)
        if invoice["total_cents"] != self.people.billed[invoice["id"]]:
            yield "another total than was billed"
        if invoice["paid_cents"] != applied:
            yield f"{invoice['paid_cents']} are paid, {applied} by its payments"
        if invoice["paid_cents"] > invoice["total_cents"]:
            yield "more is paid than was asked for"
        elsewhere = sum(  # of the same charges, to the other invoices of their requests
            row["applied_cents"]
            for row in self.rows.covers
            if row["payment_id"] in ids and row["invoice_id"] != invoice["id"]
        )
        taken = sum(self.rows.at_provider[row["id"]] for row in attempts) - elsewhere
        unapplied = sum(
            -entry["amount_cents"]
            for entry in self.rows.ledger
            if entry["account"] == "unapplied" and entry["payment_id"] in ids
        )
        back = sum(  # by credit notes; what belonged to nothing is less by what went back of it
            row["amount_cents"]
            for row in self.rows.refunds
            if row["payment_id"] in ids and row["credit_note_id"] and row["state"] == "succeeded"
        )
        if taken + back + by_hand != applied + unapplied:
            yield (
                f"{taken} + {back} + {by_hand} came in, {applied} + {unapplied} are accounted for"
            )
        offset = sum(cents for _, cents in self.people.offset_by_notes.get(invoice["id"], []))
        if invoice["offset_cents"] != offset:
            yield f"{invoice['offset_cents']} are offset, and {offset} were asked for"
        receivable = sum(
            entry["amount_cents"]
            for entry in self.rows.ledger
            if entry["account"] == "receivable" and entry["invoice_id"] == invoice["id"]
        )
        if receivable != invoice["due_cents"]:
            yield f"{invoice['due_cents']} are due, {receivable} in the ledger"

    def _status(self, invoice: asyncpg.Record) -> Iterator[str]:
        """An invoice shows what became of it."""
        attempts = self.rows.attempts_of(invoice["id"])
        is_open = any(attempt["ended_at"] is None for attempt in attempts)
        covers = [row for row in self.rows.covers if row["invoice_id"] == invoice["id"]]
        if sum(row["open"] for row in covers) != is_open:
            yield "an attempt has ended and is open all the same"
        if invoice["status"] == "voided" or invoice["id"] in self.people.declared:
            return
        expected = "pending"
        charged = [attempt for attempt in attempts if not _is_page(attempt)]  # a page shows nothing
        if invoice["due_cents"] == 0:
            expected = "succeeded"
        elif all(attempt["ended_at"] for attempt in charged) and any(
            attempt["state"] == "failed" for attempt in charged
        ):
            expected = "failed"
        if invoice["payment_status"] != expected:
            yield f"shows {invoice['payment_status']}, and is {expected}"
        is_plain = invoice["id"] not in {one.id for one in self.people.meddled} and not any(
            self._contradicted_itself(row) or self._was_given_up(row) for row in attempts
        )
        paid_there = [charge for row in attempts for charge in self._paid(row)]
        if is_plain and (expected == "succeeded") != (len(paid_there) == 1):
            yield f"is {expected}, and {len(paid_there)} charges succeeded"

    def _schedule(self, invoice: asyncpg.Record) -> Iterator[str]:
        """Nobody tries a method again by himself that was declined for good.

        What an operator has called failed is another matter: they bring no code.
        """
        before: asyncpg.Record | None = None
        for attempt in self.rows.attempts_of(invoice["id"]):
            if attempt["asked_by"] == "schedule" and before and not self._was_given_up(before):
                entries = self._entries(before)
                decline = entries[0].charge.decline if entries else None
                if decline and decline.decline_code in FOR_GOOD:
                    yield f"the schedule asks again after {decline.decline_code}"
            if attempt["state"] != "withdrawn" and not _is_page(attempt):
                before = attempt

    def _one_at_a_time(self, invoice: asyncpg.Record) -> Iterator[str]:
        """While the payer may pay on a page, or a charge is under way, nothing else is charged.

        Read from the provider's books alone. What an operator has called failed may go on there.
        """
        spans = []
        for attempt in self.rows.attempts_of(invoice["id"]):
            if self._was_given_up(attempt):
                continue
            for entry in self._entries(attempt)[:1]:
                began = entry.charge.created_at
                spans.append((began, self.ended_there.get(entry.charge.id), attempt))
        for (began, ended, attempt), (other_began, _, other) in permutations(spans, 2):
            if began < other_began and (ended is None or other_began < ended):
                which = "page" if _is_page(attempt) else "charge"
                late = "page" if _is_page(other) else "charge"
                yield f"a {late} was begun while a {which} was open at the provider"

    # What surprises.

    def _contradiction(self, row: asyncpg.Record, invoices: list[UUID]) -> Iterator[str]:
        """Whatever surprises has its reason: somebody meddled after the sending, or lied."""
        attempt = self.rows.attempts[row["payment_id"]]
        moved = {charge.id: charge.amount for charge in self._paid(attempt)}
        if row["amount_cents"] and moved.get(row["provider_payment_id"]) != row["amount_cents"]:
            yield "a contradiction about money that never moved"
        sent_at = attempt["sent_at"]
        match row["reason"]:
            case "invoice_was_voided":
                voided_at = [self.people.voided.get(one) for one in invoices]
                is_explained = any(at and at >= sent_at for at in voided_at)
            case "more_than_was_due" | "invoice_was_paid_already":
                people = self.people
                told = (people.paid_by_hand, people.declared, people.offset_by_notes)
                changed_at = [at for one in invoices for of in told for at, _ in of.get(one, [])]
                is_explained = any(at >= sent_at for at in changed_at)
            case "a_second_charge":
                is_explained = self._contradicted_itself(attempt)
            case "the_attempt_had_ended":
                is_explained = self._contradicted_itself(attempt) or self._was_given_up(attempt)
            case _:
                is_explained = False
        if not is_explained:
            yield "contradicts itself, and nobody knows why"

    # All of it.

    def _asked_for(self) -> dict[UUID, set[UUID]]:
        """By payment request, people's and campaigns', the invoices that it asks for."""
        dunned = [row["id"] for requests in self.rows.dunned.values() for row in requests]
        return self.people.requested | {one: self.rows.requested[one] for one in dunned}

    def _requests(self) -> Iterator[str]:
        """A request was charged for all of its invoices at once, or for none of them."""
        for request, invoices in self._asked_for().items():
            attempt = self.rows.attempts.get(attempt_of(request))
            if attempt is None:
                continue  # nobody could be charged for it
            self.world.happened[f"request_{attempt['state']}"] += 1
            if {*self.rows.invoices_of[attempt["id"]]} != invoices:
                yield f"request {self.world.name(request)} covers other invoices than it asked for"
            fits = {
                one["applied_cents"] == one["amount_cents"]
                for one in self.rows.covers
                if one["payment_id"] == attempt["id"]
            }
            surprised = any(row["payment_id"] == attempt["id"] for row in self.rows.contradictions)
            if fits == {True, False} and not surprised:
                yield f"request {self.world.name(request)} has paid some of its invoices"

    def _dunning(self) -> Iterator[str]:
        """A campaign asks nobody twice within its days, and charges nothing that skips us."""
        for customer, requests in self.rows.dunned.items():
            times = sorted({row["created_at"] for row in requests})
            if any(later - earlier < DUNNED_EACH for earlier, later in pairwise(times)):
                yield f"customer {self.world.name(customer)} was dunned at {times}"
            for request in requests:
                attempt = self.rows.attempts.get(attempt_of(request["id"]))
                self.world.happened["dunned_by_charge" if attempt else "dunned_by_reminder"] += 1
                skipping = {
                    one
                    for one in self.rows.requested[request["id"]]
                    if self.rows.invoices[one]["skip_psp"]
                }
                if attempt and skipping:
                    yield f"{self.world.name(request['id'])} charges what is paid by hand"

    def _ledger(self) -> Iterator[str]:
        """Every success in the provider's books is booked here, and nothing else is."""
        sums: Counter[Any] = Counter()
        for entry in self.rows.ledger:
            sums[entry["transaction_id"], entry["currency"]] += entry["amount_cents"]
        if any(sums.values()):
            yield "a ledger transaction does not sum to zero"
        raised = {row["provider_payment_id"] for row in self.rows.contradictions}
        for attempt in self.rows.attempts.values():
            paid = self._paid(attempt)
            most = sum(charge.amount for charge in paid)
            least = sum(charge.amount for charge in paid if not self._is_untold(attempt, charge.id))
            went_back = sum(
                row["amount_cents"]
                for row in self.rows.refunds
                if row["payment_id"] == attempt["id"] and row["state"] == "succeeded"
            )
            booked = self.rows.at_provider[attempt["id"]] + went_back
            if booked not in {least, most}:
                yield f"the ledger has {booked} at the provider, its books {most}"
            for charge in paid:
                is_its_own = attempt["state"] == "succeeded" and (
                    charge.id == attempt["provider_payment_id"]
                )
                if not (is_its_own or charge.id in raised or self._is_untold(attempt, charge.id)):
                    yield f"nobody was told that {charge.id} is paid as well"

    def _ends(self) -> Iterator[str]:
        """Every accepted ask has one end, of the right kind; what was refused has left nothing."""
        world, people, rows = self.world, self.people, self.rows
        ends = defaultdict(list)
        for event in rows.events:
            if event["ask_id"]:
                ends[event["ask_id"]].append(event["webhook_type"])
        followed = {attempt["ask_id"] for attempt in rows.attempts.values()}
        for attempt_id, attempt in rows.attempts.items():
            if attempt_id in followed:
                if attempt["state"] != "failed":
                    yield f"{world.name(attempt_id)} is {attempt['state']}, and another follows it"
                continue  # by one with the payer, whose end is the ask's
            if _is_page(attempt):
                told = [
                    row["webhook_type"] for row in rows.events if row["object_id"] == attempt_id
                ]
                paid = ["payment.succeeded"] if attempt["state"] == "succeeded" else []
                if told != paid or ends[attempt_id]:
                    yield f"page {world.name(attempt_id)} is {attempt['state']} and told {told}"
                continue  # nobody has asked for a charge
            ask_id = attempt["ask_id"] or attempt_id
            expected = [ENDS[attempt["state"]]] if attempt["ended_at"] else []
            if attempt["payment_request_id"] and expected == ["invoice.payment_failure"]:
                expected = [REQUEST_FAILED]
            if ends[ask_id] != expected:
                yield f"{world.name(attempt_id)} is {attempt['state']} and told {ends[ask_id]}"
            whys = [
                requested_id(attempt["payment_request_id"], one) for one in rows.invoices_of[ask_id]
            ] if attempt["payment_request_id"] else [asked_id(ask_id)]  # fmt: skip
            if not rows.decisions.keys() >= {*whys}:
                yield f"nobody knows why {world.name(attempt_id)} was begun"
        asked = {asked_id(ask_id): ask_id for ask_id in world.given_ids}
        of_requests = {
            requested_id(request, one) for request, of in self._asked_for().items() for one in of
        }  # without an attempt they go on asking: nothing ends
        for decision in rows.decisions.values():
            if decision["decided"] != "no_attempt" or decision["id"] in of_requests:
                continue
            if (ask_id := asked.get(decision["id"])) is None:
                yield "a decision about an ask that nobody made"
                continue
            end = WITHOUT_ATTEMPT.get(decision["because"], "invoice.payment_failure")
            expected = [] if ask_id in people.unasked else [end]
            if ends[ask_id] != expected:
                yield f"{world.name(ask_id)} came to {decision['because']} and told {ends[ask_id]}"
        for ask_id, answer in people.accepted.items():
            if asked_id(ask_id) not in rows.decisions:
                yield f"{world.name(ask_id)} was accepted, and nothing was decided"
            if answer.attempt_id and answer.attempt_id not in rows.attempts:
                yield f"{world.name(ask_id)} was accepted, and its attempt is gone"
        for ask_id in people.refused:
            if ask_id in rows.attempts or ask_id in ends or asked_id(ask_id) in rows.decisions:
                yield f"{world.name(ask_id)} was refused, and has left something"

    # What the others know.

    def _entries(self, row: asyncpg.Record) -> list[Entry]:
        """What the provider's books hold under an attempt's key; the first is its own charge."""
        return self.there.get(idempotency_key(row["id"]), [])

    def _paid(self, row: asyncpg.Record) -> list[Any]:
        charges = (entry.charge for entry in self._entries(row))
        return [charge for charge in charges if charge.status is Status.SUCCEEDED]

    def _was_given_up(self, row: asyncpg.Record) -> bool:
        """Whether an operator has called it failed; its payer may have paid after that."""
        return row["id"] in self.world.operators.called_failed

    def _contradicted_itself(self, row: asyncpg.Record) -> bool:
        return idempotency_key(row["id"]) in self.world.psp.contradicted

    def _is_untold(self, row: asyncpg.Record, charge_id: str) -> bool:
        """Whether a payer came after all, an operator had given up, and the event got lost."""
        is_told = (charge_id, Status.SUCCEEDED) in self.world.post.brought
        return self._was_given_up(row) and not is_told

    def _held(self, invoice_id: UUID) -> list[datetime]:
        """When something of an invoice contradicted itself: from then on it was held."""
        return [
            row["created_at"]
            for row in self.rows.contradictions
            if invoice_id in self._surprised_by(row)
        ]

    def _surprised_by(self, row: asyncpg.Record) -> list[UUID]:
        """Which invoices a contradiction holds: of a request's, those whose money did not fit."""
        covers = [one for one in self.rows.covers if one["payment_id"] == row["payment_id"]]
        if row["reason"] in OF_ONE_INVOICE:
            own = [one for one in covers if one["applied_cents"] < one["amount_cents"]]
            covers = own or covers
        return [one["invoice_id"] for one in covers]


def _is_page(row: asyncpg.Record) -> bool:
    return bool(row["manner"] == "page")
