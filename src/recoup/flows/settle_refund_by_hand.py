"""Let a person settle a refund of which no provider tells any more, and list those that wait.

Called by `recoup refund settle` and `list`, and over the API. What the person says goes through the
one door for money that goes back, like any other news, and into the audit log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

import asyncpg
import msgspec

from recoup.flows.find_organization import organization_must_exist
from recoup.flows.reports import Source
from recoup.flows.settle_by_hand import MOST_LISTED
from recoup.flows.settle_refund import RefundReport, lock_refund, settle_refund_on
from recoup.providers.protocol import Declined, Refunded
from recoup.rules.look_up_schedule import person_may_decide_refund, silent_since
from recoup.rules.persons_word import BY_HAND, refuse_unsaid
from recoup.rules.records.keys import RowKey
from recoup.rules.records.refunds import RefundRow
from recoup.rules.refund_state import RefundVerdict
from recoup.rules.refusal import Refused, invalid, not_allowed, not_found
from recoup.store import audit_log, contradictions, db, refund_lists, refunds
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Conn, Pool

TAKEN: Final = invalid({"provider_refund_id": ["value_already_exist"]})


class RefundDecided(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word about one refund."""

    verdict: RefundVerdict
    by: str
    reason: str
    provider_refund_id: str | None = None


async def settle_refund_by_hand(
    conn: Conn, refund: RowKey, decided: RefundDecided, *, audit_id: UUID, now: datetime
) -> RefundRow:
    """Settle a refund that waits for a person, and answer what it has become.

    That is one in `needs_review`, or one of which the provider has not told the end for longer than
    all look-ups take.

    :raises Refused: `refund_not_found`; 405 `refund_not_in_review` for any other; 422 for a blank
        `by` or `reason`, and where the money went back for a `provider_refund_id` that is missing,
        another refund's, or in the books as a surprise.
    """
    refuse_unsaid(
        by=decided.by, reason=decided.reason, provider_refund_id=decided.provider_refund_id
    )
    found = await lock_refund(conn, refund)
    if found is None:
        raise Refused(not_found("refund"))
    held, _ = found
    if not person_may_decide_refund(held.state, sent_at=held.sent_at, now=now):
        raise Refused(not_allowed("refund_not_in_review"))
    outcome = _outcome(decided, held)
    if isinstance(outcome, Refunded):
        of = await refunds.by_provider_id(conn, held.account_key, outcome.provider_refund_id)
        is_anothers = of not in {None, refund}
        if is_anothers or await contradictions.went_back_as(
            conn, held.account_key, outcome.provider_refund_id
        ):
            raise Refused(TAKEN)  # booked by that id, it would be booked twice
    try:
        await settle_refund_on(conn, RefundReport(refund, outcome, Source.PERSON), now=now)
    except asyncpg.UniqueViolationError as error:  # somebody else has just settled the other one
        if error.constraint_name != "one_refund_per_provider_id":
            raise
        raise Refused(TAKEN) from None
    entry = AuditEntry(
        organization_id=refund.organization_id,
        id=audit_id,
        actor=decided.by.strip(),
        action=f"refund.{BY_HAND}",
        object_id=refund.id,
        detail={
            "outcome": decided.verdict,
            "reason": decided.reason.strip(),
            "provider_refund_id": decided.provider_refund_id,
        },
    )
    await audit_log.write(conn, [entry], now=now)
    return (await refunds.find(conn, [refund]))[refund]


async def list_open_refunds(
    pool: Pool, organization_id: UUID, *, needs_review: bool, now: datetime
) -> list[RefundRow]:
    """The organization's refunds that have not ended, oldest first; a thousand at most.

    `needs_review` leaves those out that a person may not settle yet.

    :raises Refused: `organization_not_found`.
    """
    since = silent_since(now=now) if needs_review else None
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        await organization_must_exist(conn, organization_id)
        return await refund_lists.oldest_open(
            conn, organization_id, silent_since=since, most=MOST_LISTED
        )


def _outcome(decided: RefundDecided, held: RefundRow) -> Refunded | Declined:
    """A person's word as the provider would have said it."""
    known_as = (decided.provider_refund_id or "").strip() or held.provider_refund_id
    match decided.verdict:
        case RefundVerdict.REFUNDED:
            if known_as is None:
                raise Refused(invalid({"provider_refund_id": ["value_is_mandatory"]}))
            return Refunded(known_as, "succeeded", held.amount_cents, held.currency)
        case RefundVerdict.FAILED:
            return Declined(BY_HAND, message="Settled by hand.")
        case _:
            assert_never(decided.verdict)
