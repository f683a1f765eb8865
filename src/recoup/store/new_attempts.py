"""New attempts: of an ask, of a payment request, and of what a restore has lost."""

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

# One attempt, and all the invoices of its request: the same as above, but that what an invoice had
# planned is kept, to be planned again should the request be withdrawn.
_BEGIN_TOGETHER: Final = """
    WITH asked AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[],
                             $6::text[], $7::uuid[], $8::uuid[], $9::text[], $10::uuid[],
                             $11::text[], $12::text[], $13::uuid[], $14::uuid[])
            AS asked (organization_id, id, customer_id, amount_cents, currency, asked_by,
                      wanted_method_id, provider_account_id, provider_customer_id,
                      payment_method_id, provider_method_id, manner, ask_id, payment_request_id)
    ), begun AS (
        INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents,
               currency, asked_by, wanted_method_id, provider_account_id, provider_customer_id,
               payment_method_id, provider_method_id, created_at, manner, ask_id,
               payment_request_id)
        SELECT organization_id, id, 'provider', customer_id, amount_cents, currency, asked_by,
               wanted_method_id, provider_account_id, provider_customer_id, payment_method_id,
               provider_method_id, $15, manner, ask_id, payment_request_id
          FROM asked
    ), owed AS (
        SELECT * FROM unnest($16::uuid[], $17::uuid[], $18::uuid[], $19::bigint[], $20::text[])
            AS owed (organization_id, payment_id, invoice_id, amount_cents, payment_status_before)
    ), covered AS (
        INSERT INTO payment_invoices (organization_id, payment_id, invoice_id, amount_cents,
               payment_status_before, next_try_before)
        SELECT owed.*, i.next_try_at
          FROM owed
          JOIN invoices i ON (i.organization_id, i.id) = (owed.organization_id, owed.invoice_id)
    )
    UPDATE invoices i SET payment_status = 'pending', next_try_at = NULL, updated_at = $15
      FROM owed
     WHERE (i.organization_id, i.id) = (owed.organization_id, owed.invoice_id)
       AND (i.payment_status <> 'pending' OR i.next_try_at IS NOT NULL)
"""

# Made anew from a provider's record: it was sent, and what exactly was sent nobody knows any more.
_RECREATE: Final = """
    WITH made AS (
        INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents,
               currency, asked_by, provider_account_id, provider_customer_id, state, request,
               sent_at, look_up_at, created_at, manner)
        VALUES ($1, $2, 'provider', $4, $5, $6, $7, $8, $9, 'sent', '', $10, $11, $10, $13)
    ), covered AS (
        INSERT INTO payment_invoices
               (organization_id, payment_id, invoice_id, amount_cents, payment_status_before)
        VALUES ($1, $2, $3, $5, $12)
    )
    UPDATE invoices SET next_try_at = NULL  -- it is being collected: nobody is to try besides
     WHERE organization_id = $1 AND id = $3 AND next_try_at IS NOT NULL
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


class BegunTogether(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is to be inserted for all invoices of a payment request."""

    key: RowKey
    request_id: UUID
    debts: Sequence[Debt]  # one at least, all of one customer and in one currency
    asked_by: AskedBy
    wanted_method_id: UUID | None
    link: Link
    method: Method | None  # None: the payer sends the money
    statuses_before: Sequence[str]  # of the invoices, in the order of the debts
    manner: Manner = Manner.OFF_SESSION
    ask_id: UUID | None = None  # None: the ask of its own id


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


async def begin_together(conn: Conn, begun: Sequence[BegunTogether], *, now: datetime) -> None:
    """Insert these attempts, in state `ready`, and show all their invoices as pending."""
    if not begun:
        return
    owed = [
        (one.key, debt, before)
        for one in begun
        for debt, before in zip(one.debts, one.statuses_before, strict=True)
    ]
    await conn.execute(
        _BEGIN_TOGETHER,
        [one.key.organization_id for one in begun],
        [one.key.id for one in begun],
        [one.debts[0].customer_id for one in begun],
        [sum(debt.due_cents for debt in one.debts) for one in begun],
        [one.debts[0].currency for one in begun],
        [one.asked_by.value for one in begun],
        [one.wanted_method_id for one in begun],
        [one.link.account_id for one in begun],
        [one.link.provider_customer_id for one in begun],
        [one.method.id if one.method else None for one in begun],
        [one.method.provider_method_id if one.method else None for one in begun],
        [one.manner.value for one in begun],
        [one.ask_id for one in begun],
        [one.request_id for one in begun],
        now,
        [key.organization_id for key, _, _ in owed],
        [key.id for key, _, _ in owed],
        [debt.id for _, debt, _ in owed],
        [debt.due_cents for _, debt, _ in owed],
        [before for _, _, before in owed],
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
