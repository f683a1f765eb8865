"""`recoup payment`, `refund`, `invoice`: what waits for a person, and their word about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from recoup.cli.running import (
    AsJson,
    By,
    DataDir,
    OrganizationId,
    instant,
    show_answer,
    with_database,
)
from recoup.rules.attempt_state import Verdict
from recoup.rules.refund_state import RefundVerdict

if TYPE_CHECKING:
    from recoup.flows.release_invoice import HeldInvoice
    from recoup.rules.records.payments import PaymentDetails
    from recoup.rules.records.refunds import RefundRow
    from recoup.wiring.opening import Opened

payment = typer.Typer(no_args_is_help=True, help="Payment attempts that need a person.")
refund = typer.Typer(no_args_is_help=True, help="Refunds that need a person.")
invoice = typer.Typer(no_args_is_help=True, help="Invoices that need a person.")
NeedsReview = Annotated[
    bool, typer.Option("--needs-review", help="Those alone that a person may settle now.")
]
HowTheyKnow = Annotated[str, typer.Option(help="How they know: it is kept in the audit log.")]
Waiting = TypeVar("Waiting")


@payment.command("list")
def list_payments(
    organization_id: OrganizationId,
    needs_review: NeedsReview = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the payment attempts that have not ended, oldest first."""
    from recoup.flows.settle_by_hand import list_open_attempts

    async def find(base: Opened, now: datetime) -> Sequence[PaymentDetails]:
        return await list_open_attempts(
            base.pool, organization_id, needs_review=needs_review, now=now
        )

    _list("payments", find, _payment, data_dir=data_dir, as_json=as_json)


@payment.command("settle")
def settle_payment(
    payment_id: Annotated[UUID, typer.Argument(help="The attempt's id, as `payment list` shows.")],
    organization_id: OrganizationId,
    outcome: Annotated[Verdict, typer.Option(help="What the provider's own pages say.")],
    by: By,
    reason: HowTheyKnow,
    provider_payment_id: Annotated[
        str | None, typer.Option(help="The charge's id at the provider; needed for `paid`.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Settle an attempt of which no provider tells any more: in review, or not ended for a day."""
    from recoup import clock
    from recoup.flows.settle_by_hand import Decided, settle_by_hand
    from recoup.rules.records.keys import RowKey

    decided = Decided(
        verdict=outcome, by=by, reason=reason, provider_payment_id=provider_payment_id
    )

    async def run(base: Opened) -> dict[str, Any]:
        audit_id = clock.new_id()
        key = RowKey(organization_id, payment_id)
        state = await settle_by_hand(base.pool, key, decided, audit_id=audit_id, now=clock.now())
        return {"payment_id": str(payment_id), "state": state.value, "audit_id": str(audit_id)}

    show_answer(with_database(data_dir, run), as_json=as_json)


@refund.command("list")
def list_refunds(
    organization_id: OrganizationId,
    needs_review: NeedsReview = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the refunds that have not ended, oldest first."""
    from recoup.flows.settle_refund_by_hand import list_open_refunds

    async def find(base: Opened, now: datetime) -> Sequence[RefundRow]:
        return await list_open_refunds(
            base.pool, organization_id, needs_review=needs_review, now=now
        )

    _list("refunds", find, _refund, data_dir=data_dir, as_json=as_json)


@refund.command("settle")
def settle_refund(
    refund_id: Annotated[UUID, typer.Argument(help="The refund's id, as `refund list` shows.")],
    organization_id: OrganizationId,
    outcome: Annotated[RefundVerdict, typer.Option(help="What the provider's own pages say.")],
    by: By,
    reason: HowTheyKnow,
    provider_refund_id: Annotated[
        str | None, typer.Option(help="The refund's id at the provider; needed for `refunded`.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Settle a refund of which no provider tells any more: in review, or not ended for a day."""
    from recoup import clock
    from recoup.flows.settle_refund_by_hand import RefundDecided, settle_refund_by_hand
    from recoup.rules.records.keys import RowKey
    from recoup.store import db

    decided = RefundDecided(
        verdict=outcome, by=by, reason=reason, provider_refund_id=provider_refund_id
    )

    async def run(base: Opened) -> dict[str, Any]:
        audit_id, key = clock.new_id(), RowKey(organization_id, refund_id)
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            settled = await settle_refund_by_hand(
                conn, key, decided, audit_id=audit_id, now=clock.now()
            )
        return {
            "refund_id": str(refund_id),
            "state": settled.state.value,
            "audit_id": str(audit_id),
        }

    show_answer(with_database(data_dir, run), as_json=as_json)


@invoice.command("held")
def list_held(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the invoices that nobody is charged for until a person has looked, oldest first."""
    from recoup.flows.release_invoice import list_held_invoices

    async def find(base: Opened, _now: datetime) -> Sequence[HeldInvoice]:
        return await list_held_invoices(base.pool, organization_id)

    _list("invoices", find, _held_invoice, data_dir=data_dir, as_json=as_json)


@invoice.command("release")
def release(
    invoice_id: Annotated[UUID, typer.Argument(help="The invoice's id, as `invoice held` shows.")],
    organization_id: OrganizationId,
    by: By,
    reason: Annotated[str, typer.Option(help="What was found: it is kept in the audit log.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a held invoice be collected again, once somebody has looked at what was told of it."""
    from recoup import clock
    from recoup.flows.release_invoice import release_invoice
    from recoup.rules.records.keys import RowKey

    async def run(base: Opened) -> dict[str, Any]:
        audit_id = clock.new_id()
        key = RowKey(organization_id, invoice_id)
        await release_invoice(
            base.pool, key, by=by, reason=reason, audit_id=audit_id, now=clock.now()
        )
        return {"invoice_id": str(invoice_id), "released": True, "audit_id": str(audit_id)}

    show_answer(with_database(data_dir, run), as_json=as_json)


def _list(
    named: str,
    find: Callable[[Opened, datetime], Awaitable[Sequence[Waiting]]],
    shown: Callable[[Waiting], dict[str, Any]],
    *,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Find what waits for a person, and show each, in the order in which it was found."""
    from recoup import clock

    async def run(base: Opened) -> dict[str, Any]:
        return {named: [shown(one) for one in await find(base, clock.now())]}

    show_answer(with_database(data_dir, run), as_json=as_json)


def _payment(one: PaymentDetails) -> dict[str, Any]:
    from recoup.rules.records.collection import idempotency_key

    return {
        "payment_id": str(one.id),
        "state": one.state.value,
        "amount_cents": one.amount_cents,
        "currency": one.currency,
        "invoice_ids": [str(invoice.id) for invoice in one.invoices],
        "invoice_numbers": [invoice.number for invoice in one.invoices],
        "external_customer_id": one.external_customer_id,
        "payment_provider": one.provider_kind,
        "payment_provider_code": one.provider_code,
        "provider_customer_id": one.provider_customer_id,
        "provider_payment_id": one.provider_payment_id,
        "idempotency_key": idempotency_key(one.id),
        "created_at": instant(one.created_at),
    }


def _refund(one: RefundRow) -> dict[str, Any]:
    from recoup.rules.records.refunds import refund_key

    return {
        "refund_id": str(one.id),
        "state": one.state.value,
        "amount_cents": one.amount_cents,
        "currency": one.currency,
        "payment_id": str(one.payment_id),
        "contradiction_id": str(one.contradiction_id) if one.contradiction_id else None,
        "credit_note_id": str(one.credit_note_id) if one.credit_note_id else None,
        "provider_payment_id": one.provider_payment_id,
        "provider_refund_id": one.provider_refund_id,
        "provider_status": one.provider_status,
        "idempotency_key": refund_key(one.id),
        "created_at": instant(one.created_at),
        "sent_at": instant(one.sent_at),
    }


def _held_invoice(one: HeldInvoice) -> dict[str, Any]:
    return {
        "invoice_id": str(one.debt.id),
        "number": one.debt.number,
        "status": one.debt.status,
        "payment_status": one.debt.payment_status,
        "due_cents": one.debt.due_cents,
        "currency": one.debt.currency,
        "held_because": one.debt.held_because,
        "told": [
            {
                "payment_id": str(told.contradiction.payment.id),
                "was": told.contradiction.was,
                "told": told.contradiction.told,
                "reason": told.contradiction.reason,
                "amount_cents": told.contradiction.amount_cents,
                "currency": told.contradiction.currency,
                "provider_payment_id": told.contradiction.provider_payment_id,
                "at": instant(told.at),
            }
            for told in one.told
        ],
    }
