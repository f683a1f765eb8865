"""Tell the outside how attempts have ended, and where a payer has to act.

Called by `settle_attempt` alone, in the transaction that settles. One event ends each ask:
`payment.succeeded`, or `payment_failure` of the invoice or of the payment request; what else
changed is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from recoup.flows.attempt_ends import Failure, Success
from recoup.flows.issue_receipts import receipt_created
from recoup.flows.retry_payment import payment_failure
from recoup.flows.tell import News, tell
from recoup.flows.tell_invoices import StatusChange, payment_status_updated
from recoup.flows.tell_requests import end_requests, request_failure
from recoup.rules.lago.failures import ProviderError
from recoup.rules.lago.payments import payment_object
from recoup.rules.records.collection import Attempt, Link
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_receipts import PaymentReceipt
from recoup.rules.settlement import status_after_failure
from recoup.store import collection, payments
from recoup.store.db import Conn


async def tell_ends(
    conn: Conn,
    successes: Sequence[Success],
    receipts: Mapping[RowKey, PaymentReceipt],
    failures: Sequence[Failure],
    customer_needed: Sequence[Attempt],
    *,
    now: datetime,
) -> None:
    """Tell of these ends, of their receipts, and of the attempts that wait for their payer."""
    told = [
        *await _of_payments(conn, successes, receipts, customer_needed),
        *await _of_failures(conn, failures),
        *await _of_requests(conn, successes, failures, now=now),
        *await payment_status_updated(conn, _changes(successes, failures)),
    ]
    await tell(conn, told, now=now)


async def _of_payments(
    conn: Conn,
    successes: Sequence[Success],
    receipts: Mapping[RowKey, PaymentReceipt],
    customer_needed: Sequence[Attempt],
) -> list[News]:
    shown = [
        *((one.attempt, "payment.succeeded", one.attempt.answers) for one in successes),
        *((one, "payment.requires_action", None) for one in customer_needed),
    ]
    details = await payments.details(conn, {attempt.key for attempt, _, _ in shown})
    told = [
        News(
            organization_id=attempt.organization_id,
            webhook_type=webhook_type,
            object_type="payment",
            payload=payment_object(details[attempt.key], with_method=True),
            object_id=attempt.id,
            cause=attempt.id,
            ask_id=ask_id,
        )
        for attempt, webhook_type, ask_id in shown
    ]
    return told + [receipt_created(one, details[payment]) for payment, one in receipts.items()]


async def _of_requests(
    conn: Conn, successes: Sequence[Success], failures: Sequence[Failure], *, now: datetime
) -> list[News]:
    """What has become of the payment requests that these attempts collected for."""
    by: dict[RowKey, Attempt] = {}
    became: dict[RowKey, str] = {}
    for attempt, status in (
        *((one.attempt, "succeeded") for one in successes),
        *((one.attempt, "failed") for one in failures),
    ):
        if request := attempt.request_key:
            by[request], became[request] = attempt, status
    return await end_requests(conn, became, by, now=now)


async def _of_failures(conn: Conn, failures: Sequence[Failure]) -> list[News]:
    links = await collection.links(conn, {one.attempt.customer_key for one in failures}, [])
    return [_of_failure(one, links[one.attempt.customer_key]) for one in failures]


def _of_failure(failure: Failure, link: Link) -> News:
    """`invoice.payment_failure`, or that of the request: one event ends the ask."""
    attempt, declined = failure.attempt, failure.declined
    details = {
        "code": declined.code,
        "decline_code": declined.decline_code,
        "network_decline_code": declined.network_decline_code,
        "advice_code": declined.advice_code,
        "network_advice_code": declined.network_advice_code,
        "decline_class": failure.decline_class,
        "message": declined.message,
        "lago_payment_id": attempt.id,
        "provider_payment_id": declined.provider_payment_id or attempt.provider_payment_id,
    }
    provider_error = ProviderError(message=declined.message, error_code=declined.code)
    if attempt.payment_request_id is not None:
        return request_failure(
            attempt, failure.covered, link, error_details=details, provider_error=provider_error
        )
    return payment_failure(
        failure.covered[0].debt,
        link,
        cause=attempt.id,
        ask_id=attempt.answers,
        error_details=details,
        provider_customer_id=attempt.provider_customer_id,
        provider_error=provider_error,
    )


def _changes(successes: Sequence[Success], failures: Sequence[Failure]) -> list[StatusChange]:
    """The invoices whose change Lago tells of besides."""
    paid = [
        StatusChange(invoice, cause=success.attempt.id)
        for success in successes
        for invoice in success.changed
    ]
    failed = [
        StatusChange(one.debt.key, cause=failure.attempt.id)
        for failure in failures
        if failure.later
        for one in failure.covered
        if status_after_failure(one.debt) != one.debt.payment_status
    ]
    return [*paid, *failed]
