"""New attempts: of an ask, and of what a restore has lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.manner import Manner
from recoup.rules.records.collection import AskedBy, Debt, Link, Method
from recoup.rules.records.keys import RowKey
from recoup.store.db import Conn

_BEGIN: Final = """
    WITH asked AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[],
                             $6::text[], $7::text[], $8::uuid[], $9::uuid[], $10::text[],
                             $11::uuid[], $12::text[], $13::text[], $15::text[], $16::uuid[],
                             $17::timestamptz[])
            AS asked (organization_id, id, invoice_id, customer_id, amount_cents, currency,
                      asked_by, wanted_method_id, provider_account_id, provider_customer_id,
                      payment_method_id, provider_method_id, payment_status_before, manner, ask_id,
                      expires_at)
    ), begun AS (
        INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents,
               currency, asked_by, wanted_method_id, provider_account_id, provider_customer_id,
               payment_method_id, provider_method_id, created_at, manner, ask_id, expires_at)
        SELECT organization_id, id, 'provider', customer_id, amount_cents, currency, asked_by,
               wanted_method_id, provider_account_id, provider_customer_id, payment_method_id,
               provider_method_id, $14, manner, ask_id, expires_at
          FROM asked
    ), covered AS (
        INSERT INTO payment_invoices
               (organization_id, payment_id, invoice_id, amount_cents, payment_status_before)
        SELECT organization_id, id, invoice_id, amount_cents, payment_status_before FROM asked
    )
    UPDATE invoices i SET payment_status = 'pending', next_try_at = NULL, updated_at = $14
      FROM asked
     WHERE (i.organization_id, i.id) = (asked.organization_id, asked.invoice_id)
       AND (i.payment_status <> 'pending' OR i.next_try_at IS NOT NULL)
       AND asked.manner <> 'page'  -- it may never be used: the invoice shows nothing of it
"""

# Made anew from a provider's record: it was sent, and what exactly was sent nobody knows any more.
_RECREATE: Final = """
    WITH made AS (
        INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents,
               currency, asked_by, provider_account_id, provider_customer_id, state, request,
               sent_at, look_up_at, created_at, manner)
        VALUES ($1, $2, 'provider', $4, $5, $6, $7, $8, $9, 'sent', '', $10, $11, $10, $13)
    )
    INSERT INTO payment_invoices
           (organization_id, payment_id, invoice_id, amount_cents, payment_status_before)
    VALUES ($1, $2, $3, $5, $12)
"""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is to be inserted."""

    key: RowKey
    debt: Debt
    asked_by: AskedBy
    wanted_method_id: UUID | None
    link: Link
    method: Method | None  # None: the payer chooses, on the provider's page, or sends the money
    payment_status_before: str
    manner: Manner = Manner.OFF_SESSION
    ask_id: UUID | None = None  # None: the ask of its own id
    expires_at: datetime | None = None


async def begin(conn: Conn, begun: Sequence[Begun], *, now: datetime) -> None:
    """Insert these attempts, in state `ready`, and show their invoices as pending."""
    if not begun:
        return
    await conn.execute(
        _BEGIN,
        [one.key.organization_id for one in begun],
        [one.key.id for one in begun],
        [one.debt.id for one in begun],
        [one.debt.customer_id for one in begun],
        [one.debt.due_cents for one in begun],
        [one.debt.currency for one in begun],
        [one.asked_by.value for one in begun],
        [one.wanted_method_id for one in begun],
        [one.link.account_id for one in begun],
        [one.link.provider_customer_id for one in begun],
        [one.method.id if one.method else None for one in begun],
        [one.method.provider_method_id if one.method else None for one in begun],
        [one.payment_status_before for one in begun],
        now,
        [one.manner.value for one in begun],
        [one.ask_id for one in begun],
        [one.expires_at for one in begun],
    )


async def recreate(
    conn: Conn,
    attempt: RowKey,
    debt: Debt,
    *,
    account_id: UUID,
    provider_customer_id: str,
    amount_cents: int,
    currency: str,
    manner: Manner,
    sent_at: datetime,
    now: datetime,
) -> None:
    """Insert an attempt that a restore has lost, as `sent`; the locked invoice has no other open.

    As what the provider knows it is for the door to write, with the news of it.
    `sent_at` is so long ago that its key counts as dead: it is asked about, and never re-sent.
    """
    await conn.execute(
        _RECREATE,
        attempt.organization_id,
        attempt.id,
        debt.id,
        debt.customer_id,
        amount_cents,
        currency,
        AskedBy.PROVIDER.value,
        account_id,
        provider_customer_id,
        sent_at,
        now,
        debt.payment_status,
        manner.value,
    )
