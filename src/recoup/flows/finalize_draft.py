"""Make a draft final: worked out a last time, numbered, told of and collected.

Called for `PUT /invoices/{id}/finalize`, and by the clock once the grace has ended.

What would surprise you: whoever asks second finds no draft any more, so a draft that somebody
finalizes or deletes at the moment at which its grace ends has one end, and at most one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from recoup.flows.batches import Failed, serve_each
from recoup.flows.find_invoices import lock_invoice
from recoup.flows.issue_invoice import Collect, follow_up, made_final
from recoup.flows.refresh_draft import worked_out_anew
from recoup.rules.lago.invoices import Include
from recoup.rules.records.invoices import Invoice, InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refusal, Refused, not_found
from recoup.store import db, invoices, organizations
from recoup.store.db import ROW_IS_HELD, Conn, Pool

MOST_AT_ONCE: Final = 200
# A draft that cannot be made final (its sums are out of range, a row is held) is tried again then,
# so that it does not keep the others. `recoup check` names those that are late.
AFTER_A_FAILURE: Final = timedelta(minutes=15)


async def finalize_draft(
    conn: Conn,
    organization_id: UUID,
    invoice_id: UUID | None,
    *,
    collect: Collect | None,
    now: datetime,
) -> InvoiceDetails:
    """Finalize a draft, and answer it; one of nothing may be `closed`, as at its creation.

    :raises Refused: `invoice_not_found`, for what is no draft, too; 422 where its sums are out of
        range by now.
    """
    invoice = await lock_invoice(conn, organization_id, invoice_id)
    if invoice.status != "draft":
        raise Refused(not_found("invoice"))
    return await _finalize(conn, invoice, collect=collect, now=now)


async def finalize_due_drafts(
    pool: Pool,
    scout: Pool,
    *,
    collect: Collect | None,
    now: datetime,
    at_once: int = MOST_AT_ONCE,
) -> int:
    """Finalize every draft of every tenant whose grace has ended by `now`; say how many.

    `at_once` is how many one look finds; they are looked for until there are none. One that
    somebody holds is left for the next time.

    :raises Exception: what went wrong with one of them, once all others are done.
    """
    finalized = 0
    errors: list[Exception] = []
    while True:
        done = 0
        async with db.nameless(scout) as conn:
            due = await invoices.find_drafts_to_finalize(conn, now=now, limit=at_once)
        for key in due:  # each in its own transaction: numbers are drawn under a customer's lock
            [answer] = await serve_each(
                lambda keys: _finalize_due(pool, keys, collect=collect, now=now), [key]
            )
            finalized += answer is True
            done += answer is True
            if isinstance(answer, Failed) and isinstance(answer.error, ROW_IS_HELD):
                continue
            if isinstance(answer, Failed):
                errors.append(answer.error)
            if isinstance(answer, Refusal | Failed):
                done += 1
                async with db.transaction(pool, tenants=[key.organization_id]) as conn:
                    await invoices.put_off_drafts(conn, [key], until=now + AFTER_A_FAILURE)
        if len(due) < at_once or not done:
            break
    if errors:
        raise errors[0]
    return finalized


async def _finalize_due(
    pool: Pool, keys: Sequence[RowKey], *, collect: Collect | None, now: datetime
) -> list[bool | Refusal]:
    """Finalize them if they are due still; False: somebody else was before us."""
    answers: list[bool | Refusal] = []
    for key in keys:
        try:
            async with db.transaction(pool, tenants=[key.organization_id]) as conn:
                invoice = (await invoices.lock(conn, [key])).get(key)
                is_due = (
                    invoice is not None
                    and invoice.status == "draft"
                    and invoice.finalize_at is not None
                    and invoice.finalize_at <= now
                )
                if invoice is not None and is_due:
                    await _finalize(conn, invoice, collect=collect, now=now)
        except Refused as refused:
            answers.append(refused.refusal)
        else:
            answers.append(is_due)
    return answers


async def _finalize(
    conn: Conn, draft: Invoice, *, collect: Collect | None, now: datetime
) -> InvoiceDetails:
    """Finalize a draft that the transaction has locked."""
    details = (await invoices.details(conn, [draft.key]))[draft.key]
    entities = await organizations.billing_entities(conn, draft.organization_id)
    entity = next(one for one in entities if one.id == draft.billing_entity_id)
    anew = await worked_out_anew(conn, details, now=now)
    await invoices.write(conn, await made_final(conn, anew, details.customer, entity, now=now))
    final = (await invoices.details(conn, [draft.key]))[draft.key]
    await follow_up(
        conn,
        final,
        entity,
        webhook_type="invoice.created",
        include=Include.OF_CREATED,
        collect=collect,
        now=now,
    )
    return final
