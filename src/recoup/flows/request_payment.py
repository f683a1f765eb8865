"""Ask a customer to pay several overdue invoices at once, and charge them in one attempt.

One request is one attempt with one key, which covers all its invoices: paid together, or not at
all. While it is open, none of them is charged otherwise, by a retry, a page or another request; and
what is being charged otherwise is refused here. That is the door of every attempt, the unique index
on what is open, and no second one.

What would surprise you: a customer who cannot be charged is asked all the same. The request then
stays `pending`, and nothing is charged: a mail with the link to their page reminds them to pay.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec

from recoup.flows.find_customer import find_customer_details
from recoup.flows.promise_mail import promise_reminder
from recoup.flows.tell import tell
from recoup.flows.tell_requests import request_created
from recoup.rules.invoice_status import VISIBLE
from recoup.rules.manner import Manner
from recoup.rules.method_choice import ByTransfer, NoAttempt, choose_for_request
from recoup.rules.payment_requests import (
    MOST_INVOICES,
    PaymentRequestInput,
    requested_cents,
    requested_email,
    why_not_ready,
    why_not_request,
)
from recoup.rules.records.collection import AskedBy, Debt, Link, Method
from recoup.rules.records.invoices import Invoice
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_requests import PaymentRequest, PaymentRequestDetails
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import text
from recoup.store import collection, invoices, jobs, new_attempts, payment_requests
from recoup.store.collection import Decision, OpenAttempt
from recoup.store.db import Conn
from recoup.store.jobs import Job
from recoup.store.new_attempts import BegunTogether

TOO_MANY: Final = invalid({"lago_invoice_ids": ["invalid_count"]})


class ForCampaign(msgspec.Struct, frozen=True):
    """That a dunning campaign asks, and how it does."""

    campaign_id: UUID
    blind_copies: Sequence[str]  # who reads along in its reminders
    instead: NoAttempt | None  # why it reminds alone; None: it charges, where that can be


class PagesAreOpen(Exception):  # noqa: N818  it is an answer: close them, and ask again
    """A payer may be paying one of the invoices on a hosted page: nothing was done.

    So it is where they were asked for a bank transfer, and are charged otherwise now.
    """

    def __init__(self, pages: Collection[RowKey]) -> None:
        super().__init__(f"{len(pages)} pages")
        self.pages = pages  # their attempts


async def request_payment(
    conn: Conn,
    organization_id: UUID,
    asked: PaymentRequestInput,
    invoice_ids: Collection[UUID],
    *,
    request_id: UUID,
    campaign: ForCampaign | None = None,
    can_mail: bool = False,
    now: datetime,
) -> PaymentRequestDetails:
    """Make a payment request, begin its attempt where the customer can be charged, and answer it.

    `invoice_ids` are those of `asked.lago_invoice_ids` that are ids. `can_mail`: a mail server was
    named, so that a customer who cannot be charged is reminded by mail, and so is one whose charge
    has failed (`flows/tell_requests.py` says when).

    :raises Refused: in the contract's order (section 3.11): 404 `customer_not_found`,
        `invoice_not_found`; 405 where the invoices are not overdue, not alike, or not ready; 422.
    :raises PagesAreOpen: pages have to be closed first.
    """
    external_id = text(asked.external_customer_id) or ""
    customer = (await find_customer_details(conn, organization_id, external_id)).customer
    if len(invoice_ids) > MOST_INVOICES:
        raise Refused(TOO_MANY)
    wanted = await _lock(conn, customer.key, invoice_ids)
    if refusal := why_not_request(wanted):
        raise Refused(refusal)
    found = await collection.find(conn, [invoice.key for invoice in wanted])
    debts = [found[invoice.key] for invoice in wanted]
    link = (await collection.links(conn, [customer.key], ()))[customer.key]
    instead = campaign.instead if campaign else None
    chosen = instead or choose_for_request(None, debts, link)
    await _refuse_busy(conn, debts, chosen)
    request = PaymentRequest(
        organization_id=organization_id,
        id=request_id,
        customer_id=customer.id,
        billing_entity_id=debts[0].billing_entity_id,
        amount_cents=requested_cents(debts),
        currency=debts[0].currency,
        email=requested_email(asked.email, otherwise=customer.email),
        payment_status="pending",
        dunning_campaign_id=campaign.campaign_id if campaign else None,
        reminder_copies=(campaign.blind_copies if campaign else ()) if can_mail else None,
        created_at=now,
        updated_at=now,
    )
    await payment_requests.insert(conn, request, debts)
    await _begin(conn, request, debts, link, chosen, now=now)
    if can_mail and isinstance(chosen, NoAttempt):
        await promise_reminder(conn, request, now=now)
    details = (await payment_requests.details(conn, [request.key]))[request.key]
    await tell(conn, [request_created(details)], now=now)
    return details


async def _lock(conn: Conn, customer: RowKey, invoice_ids: Collection[UUID]) -> list[Invoice]:
    """Lock the customer's own invoices among these, in the common order; others do not exist."""
    keys = {RowKey(customer.organization_id, invoice_id) for invoice_id in invoice_ids}
    locked = await invoices.lock(conn, keys)
    wanted = [
        invoice
        for invoice in locked.values()
        if invoice.customer_id == customer.id and invoice.status in VISIBLE
    ]
    if not wanted:
        raise Refused(not_found("invoice"))
    return wanted


async def _refuse_busy(
    conn: Conn, debts: Sequence[Debt], chosen: Method | ByTransfer | NoAttempt
) -> None:
    """Refuse what is being collected otherwise. A page that nobody has paid on gives way."""
    # A statement of its own after the lock: what waited for that sees who was faster.
    busy, _ = await collection.open_or_decided(conn, [debt.key for debt in debts], [])
    pages = {key: held for key, held in busy.items() if _may_be_closed(held, chosen)}
    if refusal := why_not_ready(debts, busy.keys() - pages.keys()):
        raise Refused(refusal)
    if pages and not isinstance(chosen, NoAttempt):
        organization_id = debts[0].organization_id
        raise PagesAreOpen({RowKey(organization_id, held.payment_id) for held in pages.values()})


def _may_be_closed(held: OpenAttempt, chosen: Method | ByTransfer | NoAttempt) -> bool:
    """Whether what is open gives way: a page does, and a transfer does to all but another.

    To a request without an attempt it gives way by staying as it is.
    """
    if held.manner is Manner.TRANSFER:
        return isinstance(chosen, Method) or (
            isinstance(chosen, NoAttempt) and held.waits_for_payer
        )
    return held.manner is Manner.PAGE


async def _begin(
    conn: Conn,
    request: PaymentRequest,
    debts: Sequence[Debt],
    link: Link,
    chosen: Method | ByTransfer | NoAttempt,
    *,
    now: datetime,
) -> None:
    """Begin the one attempt of the request, and promise it; or keep why there is none."""
    attempt = RowKey(request.organization_id, uuid5(request.id, "attempt"))
    if not isinstance(chosen, NoAttempt):
        begun = BegunTogether(
            key=attempt,
            request_id=request.id,
            debts=debts,
            asked_by=AskedBy.REQUEST,
            wanted_method_id=None,
            link=link,
            method=chosen if isinstance(chosen, Method) else None,
            statuses_before=[debt.payment_status for debt in debts],
            manner=Manner.TRANSFER if isinstance(chosen, ByTransfer) else Manner.OFF_SESSION,
        )
        await new_attempts.begin_together(conn, [begun], now=now)
        await jobs.promise(conn, Job.SUBMIT_ATTEMPT, [attempt])
    await collection.decide(conn, _decisions(request, debts, attempt, chosen), now=now)


def _decisions(
    request: PaymentRequest,
    debts: Sequence[Debt],
    attempt: RowKey,
    chosen: Method | ByTransfer | NoAttempt,
) -> list[Decision]:
    """What was decided about each invoice. A request without an attempt goes on asking: no end."""
    is_begun = not isinstance(chosen, NoAttempt)
    return [
        Decision(
            invoice=debt.key,
            id=uuid5(request.id, f"asked/{debt.id}"),
            payment_id=attempt.id if is_begun else None,
            decided="attempt" if is_begun else "no_attempt",
            because=chosen if isinstance(chosen, NoAttempt) else AskedBy.REQUEST,
        )
        for debt in debts
    ]
