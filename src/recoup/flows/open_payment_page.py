"""Send a payer to the provider's hosted page for one invoice (contract section 3.7.11).

The page is an attempt like any other: one row, one key, and while it is open nobody else is charged
for its invoice. The first who asks opens it; whoever asks within a day, for the same amount, is
given the same address. Whoever was asked for a bank transfer is given the page that says how.

What would surprise you: this calls the provider while the caller waits, between two transactions.
If we die there, the row says `sent`, and the look-up finds the page. Whoever wakes up too late to
call opens none: others may have opened it since, or its key has died at the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

import msgspec

from recoup.flows.begin_sending import ToSend, begin_sending
from recoup.flows.call_first import call_first
from recoup.flows.close_payment_page import close_payment_page, read_attempt
from recoup.flows.find_invoices import lock_invoice
from recoup.flows.open_provider import Providers
from recoup.flows.reports import Report, Source
from recoup.flows.retry_payment import payment_failure
from recoup.flows.settle_attempt import settle_attempts
from recoup.flows.tell import tell
from recoup.providers.protocol import Declined
from recoup.rules.attempt_state import FINAL, State
from recoup.rules.invoice_status import HANDLED
from recoup.rules.lago.failures import ProviderError
from recoup.rules.look_up_schedule import may_still_send, payer_has_until
from recoup.rules.manner import Manner
from recoup.rules.records.collection import AskedBy, Attempt, Debt, Link
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import NAMES, ProviderAccount, ProviderKind
from recoup.rules.refusal import Refusal, Refused, invalid, third_party_error
from recoup.store import attempts, collection, db, new_attempts, provider_accounts
from recoup.store.db import Conn, Pool
from recoup.store.new_attempts import Begun

BEING_OPENED: Final = frozenset({State.READY, State.SENT})  # by another caller, at this moment
WITHOUT_PAGES: Final = frozenset({ProviderKind.GOCARDLESS})  # as Lago has it


class PaymentPage(msgspec.Struct, frozen=True):
    """Where the payer of an invoice goes."""

    debt: Debt
    link: Link
    url: str


class ToOpen(msgspec.Struct, frozen=True):
    """The attempt that opens a page, whose address is not known yet."""

    page: PaymentPage
    attempt: RowKey


class Stale(msgspec.Struct, frozen=True):
    """A page is open and no good any more: for another amount, or its time is up. Close it."""

    page: RowKey


async def open_payment_page(
    pool: Pool,
    providers: Providers,
    organization_id: UUID,
    invoice_id: UUID | None,
    *,
    new_id: Callable[[], UUID],
    now: Callable[[], datetime],
) -> PaymentPage:
    """Answer the open page of an invoice, or open one.

    :raises Refused: `invoice_not_found`; 422 with the contract's codes, in its order; 405 while
        another attempt is open, or a page that cannot be closed; `payment_provider_error` where
        the provider does not answer or is left alone, `third_party_error` where it refuses.
    """
    found = await _find_or_begin(pool, organization_id, invoice_id, new_id=new_id, now=now())
    if isinstance(found, Stale):
        if not await close_payment_page(pool, providers, found.page, now=now):
            raise Refused(HANDLED)
        found = await _find_or_begin(pool, organization_id, invoice_id, new_id=new_id, now=now())
    match found:
        case PaymentPage():
            return found
        case ToOpen(page=page, attempt=attempt):
            return await _send(pool, providers, page, attempt, now=now)
        case Stale():  # another one, opened meanwhile
            raise Refused(HANDLED)
        case _:
            assert_never(found)


async def _find_or_begin(
    pool: Pool,
    organization_id: UUID,
    invoice_id: UUID | None,
    *,
    new_id: Callable[[], UUID],
    now: datetime,
) -> PaymentPage | ToOpen | Stale:
    """The page that is open, or the attempt that opens one."""
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        invoice = await lock_invoice(conn, organization_id, invoice_id)
        debt = (await collection.find(conn, [invoice.key]))[invoice.key]
        link = (await collection.links(conn, {debt.customer_key}, []))[debt.customer_key]
        accounts = await provider_accounts.live(conn, organization_id)
        if refusal := _why_not(debt, link, accounts):
            raise Refused(refusal)
        held = await _open_attempt(conn, debt.key)
        if held is None:
            key = RowKey(organization_id, new_id())
            await new_attempts.begin(
                conn,
                [
                    Begun(
                        key=key,
                        debt=debt,
                        asked_by=AskedBy.PAYER,
                        wanted_method_id=None,
                        link=link,
                        method=None,
                        payment_status_before=debt.payment_status,
                        manner=Manner.PAGE,
                        expires_at=payer_has_until(now=now),
                    )
                ],
                now=now,
            )
            return ToOpen(PaymentPage(debt, link, ""), key)
        if _instructs(held) and held.amount_cents == debt.due_cents and held.payer_url:
            return PaymentPage(debt, link, held.payer_url)
        if held.manner is not Manner.PAGE or held.state in BEING_OPENED:
            raise Refused(HANDLED)
        if held.amount_cents == debt.due_cents and _has_time(held, now=now) and held.payer_url:
            return PaymentPage(debt, link, held.payer_url)
        return Stale(held.key)


async def _send(
    pool: Pool,
    providers: Providers,
    page: PaymentPage,
    key: RowKey,
    *,
    now: Callable[[], datetime],
) -> PaymentPage:
    [begun] = await begin_sending(pool, providers, [key], is_awaited=True, now=now())
    if not isinstance(begun, ToSend):
        attempt = await _withdrawn(pool, key, now=now())
        raise Refused(_no(attempt.error_code or "payment_provider_error"))
    if not may_still_send(sent_at=begun.sent_at, now=now()):  # as in `submit_attempt`: it slept
        begun.ended()
        raise Refused(_no("payment_provider_error"))  # the look-up finds the page, or opens it
    outcome = await call_first(
        pool,
        key,
        begun.charge,
        provider=begun.provider,
        account=begun.account,
        was_troubled=begun.was_troubled,
        ended=begun.ended,
        settle=lambda told: settle_attempts(pool, [Report(key, told, Source.ANSWER)], now=now()),
        now=now,
    )
    if outcome is None:
        await _withdrawn(pool, key, now=now())
        raise Refused(_no("payment_provider_error"))
    if isinstance(outcome, Declined):
        await _tell_refused(pool, page, key, outcome, now=now())
        whose = NAMES[ProviderKind(page.link.payment_provider or "")]
        raise Refused(third_party_error(whose, outcome.message or outcome.code))
    attempt = await read_attempt(pool, key)
    # A retry has closed it meanwhile, or its invoice was paid or voided while it was opened.
    if attempt.state in FINAL or not _has_time(attempt, now=now()):
        raise Refused(HANDLED)
    if not attempt.payer_url:
        raise Refused(_no("payment_provider_error"))
    return msgspec.structs.replace(page, url=attempt.payer_url)


async def _withdrawn(pool: Pool, key: RowKey, *, now: datetime) -> Attempt:
    """The attempt, withdrawn if it waits for its account: its payer does not wait with it."""
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        await collection.lock_covered(conn, [key])  # invoices first, as everywhere
        attempt = (await attempts.lock(conn, [key]))[key]
        if attempt.state is State.READY:
            await attempts.withdraw(conn, {key: "payment_provider_error"}, now=now)
    return attempt


async def _tell_refused(
    pool: Pool, page: PaymentPage, key: RowKey, declined: Declined, *, now: datetime
) -> None:
    """A page that the provider refused is told of, though nobody asked for a charge."""
    news = payment_failure(
        page.debt,
        page.link,
        cause=key.id,
        ask_id=None,
        error_details={"code": declined.code, "message": declined.message},
        provider_customer_id=page.link.provider_customer_id,
        provider_error=ProviderError(message=declined.message, error_code=declined.code),
    )
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        await tell(conn, [news], now=now)


async def _open_attempt(conn: Conn, invoice: RowKey) -> Attempt | None:
    key = await collection.open_attempt(conn, invoice)
    return (await attempts.find(conn, [key]))[key] if key else None


def _instructs(attempt: Attempt) -> bool:
    """Whether the payer was asked for a bank transfer: how to make it says the provider's page."""
    asked = attempt.manner is Manner.TRANSFER and attempt.state is State.CUSTOMER_NEEDED
    return asked and attempt.expires_at is None


def _has_time(page: Attempt, *, now: datetime) -> bool:
    return page.expires_at is not None and now < page.expires_at


def _why_not(debt: Debt, link: Link, accounts: Sequence[ProviderAccount]) -> Refusal | None:
    """Contract section 3.7.11, in its order."""
    if link.payment_provider is None:
        return _no("no_linked_payment_provider")
    if link.payment_provider in WITHOUT_PAGES:
        return _no("invalid_payment_provider")
    is_payable = debt.status == "finalized" and debt.payment_status != "succeeded"
    if not is_payable or debt.due_cents <= 0 or debt.self_billed or debt.held_because:
        return _no("invalid_invoice_status_or_payment_status")
    named = (link.payment_provider, link.payment_provider_code)
    if named not in {(account.kind, account.code) for account in accounts}:
        return _no("missing_payment_provider")
    if link.account_id is None or link.provider_customer_id is None:
        return _no("missing_payment_provider_customer")
    return None


def _no(code: str) -> Refusal:
    return invalid({"base": [code]})
