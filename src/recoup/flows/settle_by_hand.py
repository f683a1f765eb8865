"""Let a person settle an attempt of which no provider tells any more, and list those that wait.

Called by `recoup payment settle` and `list`, and over the API. The person has looked at the
provider's own pages; what they say goes through the one door for money, like any other news, and
into the audit log.

What would surprise you: who says that money moved must say where, unless the provider once did. By
that id the provider's own word, should it still come, is known as the same charge. One that is
known to be another attempt's is refused; one that the provider tells of another attempt only later
is that one's, and what the person said is raised (`correct_payment_ids`). Of an attempt
with its payer that id may be the page's, and not the payment's: there the person must tell it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

import asyncpg
import msgspec

from recoup.flows.find_organization import organization_must_exist
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts_on
from recoup.providers.protocol import Declined, Paid
from recoup.rules.attempt_state import FINAL, Moved, State, Verdict
from recoup.rules.look_up_schedule import person_may_decide, silent_since
from recoup.rules.manner import Manner
from recoup.rules.persons_word import BY_HAND, refuse_unsaid
from recoup.rules.records.collection import Attempt
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payments import PaymentDetails
from recoup.rules.refusal import Refused, invalid, not_allowed, not_found
from recoup.rules.settlement import Surprise
from recoup.store import (
    attempts,
    audit_log,
    collection,
    contradictions,
    db,
    payments,
    waiting_attempts,
)
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Conn, Pool

MOST_LISTED: Final = 1_000
TAKEN: Final = invalid({"provider_payment_id": ["value_already_exist"]})


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word about one attempt."""

    verdict: Verdict
    by: str
    reason: str
    provider_payment_id: str | None = None


async def settle_by_hand(
    pool: Pool, payment: RowKey, decided: Decided, *, audit_id: UUID, now: datetime
) -> State:
    """Settle an attempt that waits for a person, and answer what it has become.

    That is one in `needs_review`, or one that the provider has not settled for longer than all
    look-ups take, whatever it answers to them.

    :raises Refused: `payment_not_found`; 405 `payment_not_in_review` for any other; 422 for
        a blank `by` or `reason`, a missing `provider_payment_id` or one that is another payment's.
    """
    async with db.transaction(pool, tenants=[payment.organization_id]) as conn:
        return await settle_by_hand_on(conn, payment, decided, audit_id=audit_id, now=now)


async def settle_by_hand_on(
    conn: Conn, payment: RowKey, decided: Decided, *, audit_id: UUID, now: datetime
) -> State:
    """The same within the caller's transaction."""
    refuse_unsaid(
        by=decided.by, reason=decided.reason, provider_payment_id=decided.provider_payment_id
    )
    await collection.lock_covered(conn, [payment])  # invoices first, as everywhere
    held = (await attempts.lock(conn, [payment])).get(payment)
    if held is None:
        raise Refused(not_found("payment"))
    if not person_may_decide(held.state, sent_at=held.sent_at, now=now):
        raise Refused(not_allowed("payment_not_in_review"))
    outcome = _outcome(decided, held)
    if await _is_anothers(conn, held, outcome.provider_payment_id):
        raise Refused(TAKEN)
    report = Report(payment, outcome, Source.PERSON)
    try:
        settled = (await settle_attempts_on(conn, [report], now=now))[0]
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "one_payment_per_provider_id":
            raise
        raise Refused(TAKEN) from None
    assert isinstance(settled, Moved), "a person's word ends what waits for a person"
    await audit_log.write(conn, [_entry(payment, decided, audit_id)], now=now)
    return settled.to


async def list_open_attempts(
    pool: Pool, organization_id: UUID, *, needs_review: bool, now: datetime
) -> list[PaymentDetails]:
    """The organization's attempts that have not ended, oldest first; a thousand at most.

    `needs_review` leaves those out that a person may not settle yet.

    :raises Refused: `organization_not_found`.
    """
    since = silent_since(now=now)
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        if needs_review:
            keys = await waiting_attempts.waiting_for_a_person(
                conn, organization_id, silent_since=since, most=MOST_LISTED
            )
        else:
            not_ended = frozenset(State) - FINAL
            keys = await waiting_attempts.oldest_in(
                conn, organization_id, not_ended, most=MOST_LISTED
            )
        details = await payments.details(conn, keys)
    return [details[key] for key in keys]


def _outcome(decided: Decided, held: Attempt) -> Paid | Declined:
    """A person's word as the provider would have said it."""
    told = (decided.provider_payment_id or "").strip()
    known_as = told or held.provider_payment_id
    match decided.verdict:
        case Verdict.PAID:
            may_be_a_page = held.manner in {Manner.ON_SESSION, Manner.PAGE}
            if known_as is None or (may_be_a_page and not told):
                raise Refused(invalid({"provider_payment_id": ["value_is_mandatory"]}))
            return Paid(known_as, BY_HAND, held.amount_cents, held.currency)
        case Verdict.FAILED:
            return Declined(BY_HAND, message="Settled by hand.", provider_payment_id=known_as)
        case _:
            assert_never(decided.verdict)


async def _is_anothers(conn: Conn, held: Attempt, known_as: str | None) -> bool:
    """Whether it is a further charge of another attempt, whose own id an index holds."""
    return known_as is not None and await contradictions.told_of_another(
        conn,
        held.account_key,
        known_as,
        besides=held.key,
        but_for=Surprise.SAME_PAYMENT_ID.value,
    )


def _entry(payment: RowKey, decided: Decided, audit_id: UUID) -> AuditEntry:
    return AuditEntry(
        organization_id=payment.organization_id,
        id=audit_id,
        actor=decided.by.strip(),
        action=f"payment.{BY_HAND}",
        object_id=payment.id,
        detail={
            "outcome": decided.verdict,
            "reason": decided.reason.strip(),
            "provider_payment_id": decided.provider_payment_id,
        },
    )
