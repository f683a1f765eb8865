"""Compare the money that went back: the provider's books with our refunds, and with what came in.

Called by `audit` alone, for one tenant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

import asyncpg

from recoup.rules.lago.event_types import REFUND_FAILED, REFUNDED
from recoup.rules.records.refunds import refund_key
from recoup.sandbox.charges import Refund
from tests.simulation.world import World

A_KEY_LIVES = timedelta(hours=20)  # nothing is sent under it later
A_CALL_TAKES = timedelta(seconds=12)
ENDS = {"succeeded": [REFUNDED], "failed": [REFUND_FAILED], "needs_review": []}
THERE = {"succeeded": {"succeeded"}, "failed": {None, "failed"}, "needs_review": {None}}


def refunds_that_disagree(
    world: World,
    refunds: Sequence[asyncpg.Record],
    contradictions: Sequence[asyncpg.Record],
    events: Sequence[asyncpg.Record],
) -> Iterator[str]:
    """Sentences that say what does not agree, and beside that a count of what has happened."""
    world.happened.update(f"refund_{row['state']}" for row in refunds)
    there = world.psp.refunds()
    brought_in = {row["id"]: row["unapplied_cents"] for row in contradictions}
    for row in refunds:
        told = [event["webhook_type"] for event in events if event["object_id"] == row["id"]]
        for fault in (
            *_end(row, there.get(refund_key(row["id"])), told),
            *_money(
                row,
                there.get(refund_key(row["id"])),
                # What a note gives back of a charge is held against the note below.
                brought_in.get(row["contradiction_id"], row["amount_cents"]),
            ),
        ):
            yield f"refund {world.name(row['id'])}: {fault}"
    went_back = Counter(
        row["contradiction_id"]
        for row in refunds
        if row["state"] == "succeeded" and row["contradiction_id"]
    )
    for contradiction, times in went_back.items():
        if times > 1:
            yield f"what {world.name(contradiction)} brought in went back {times} times"


def notes_that_disagree(
    world: World,
    notes: Sequence[asyncpg.Record],
    refunds: Sequence[asyncpg.Record],
    events: Sequence[asyncpg.Record],
) -> Iterator[str]:
    """The same of credit notes: what they show of their refunds, and what was told of that."""
    there = world.psp.refunds()
    for note in notes:
        own = [row for row in refunds if row["credit_note_id"] == note["id"]]
        gone = [
            made.amount
            for row in own
            if (made := there.get(refund_key(row["id"]))) and made.status == "succeeded"
        ]
        failed = [row for row in own if row["state"] == "failed"]
        expected = None
        if note["refund_cents"]:
            expected = "succeeded" if sum(gone) == note["refund_cents"] else "pending"
            expected = "failed" if failed else expected
            world.happened[f"note_refund_{expected}"] += 1
        name = world.name(note["id"])
        if note["refund_status"] != expected:
            yield f"note {name}: shows {note['refund_status']}, and is {expected}"
        if sum(gone) > note["refund_cents"]:
            yield f"note {name}: {sum(gone)} went back, of {note['refund_cents']}"
        told = Counter(row["webhook_type"] for row in events if row["object_id"] == note["id"])
        if told != Counter({"credit_note.created": 1}) + Counter(
            {"credit_note.refund_failure": len(failed)}
        ):
            yield f"note {name}: told {dict(told)}"


def _end(row: asyncpg.Record, there: Refund | None, told: Sequence[str]) -> Iterator[str]:
    """A refund has ended as the provider says, and that is told once."""
    status = there.status if there else None
    if status not in THERE.get(row["state"], ()):
        yield f"is {row['state']} here, and {status} there"
    if told != ENDS.get(row["state"]):
        yield f"is {row['state']}, and told {told}"


def _money(row: asyncpg.Record, there: Refund | None, brought_in: int) -> Iterator[str]:
    """What came in goes back, of the charge that was meant, and while the key lives."""
    if row["amount_cents"] != brought_in:
        yield f"{row['amount_cents']} go back, and {brought_in} came in"
    if there is None:
        return
    if (there.charge, there.amount, there.currency) != (
        row["provider_payment_id"], row["amount_cents"], row["currency"],
    ):  # fmt: skip
        yield "another charge or amount went back"
    in_time = row["sent_at"] + A_KEY_LIVES + A_CALL_TAKES
    if not row["sent_at"] <= there.created_at <= in_time:
        yield f"sent at {row['sent_at']}, paid back at {there.created_at}"
