"""Tell of payment requests: that one was made, what became of it, and why it was not paid.

A request's attempt ends in one event like any other's: `payment.succeeded`, or here
`payment_request.payment_failure`. The request's new status is told beside it, each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from recoup.flows.promise_mail import promise_reminder
from recoup.flows.tell import News
from recoup.rules.lago.failures import REQUEST_OBJECT_TYPE, ProviderError, RequestFailureObject
from recoup.rules.lago.payment_requests import payment_request_object
from recoup.rules.records.collection import Attempt, Covered, Link
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_requests import PaymentRequestDetails
from recoup.store import payment_requests
from recoup.store.db import Conn


def request_created(details: PaymentRequestDetails) -> News:
    """`payment_request.created`."""
    return _of_request(details, "payment_request.created", details.request.key)


async def end_requests(
    conn: Conn, ended: Mapping[RowKey, str], by: Mapping[RowKey, Attempt], *, now: datetime
) -> list[News]:
    """Show these requests as what they have become, and say so: `succeeded` or `failed`.

    `by` are the attempts that made them so. Their invoices are locked, and written before, the next
    tries planned. Whose charge has failed is reminded, once for each request: always where a
    campaign asks, which counts it; where a caller did, if anything is left that nobody will try by
    the schedule. Or else they would be asked to pay what is charged a few hours later.
    """
    if not ended:
        return []
    await payment_requests.end(conn, ended, now=now)
    details = await payment_requests.details(conn, ended.keys())
    mailed = [
        details[key].request
        for key, became in ended.items()
        if became == "failed" and details[key].request.reminder_copies is not None
    ]
    left = await payment_requests.left_to_their_payer(conn, [one.key for one in mailed])
    for request in mailed:
        if request.dunning_campaign_id is not None or request.key in left:
            await promise_reminder(conn, request, now=now)
    return [
        _of_request(details[key], "payment_request.payment_status_updated", by[key].key)
        for key in ended
    ]


def request_failure(
    attempt: Attempt,
    covered: Sequence[Covered],
    link: Link,
    *,
    error_details: Mapping[str, object],
    provider_error: ProviderError,
) -> News:
    """`payment_request.payment_failure`, which ends the ask of this attempt."""
    assert attempt.payment_request_id is not None, "it collects for a request"
    failure = RequestFailureObject(
        lago_payment_request_id=attempt.payment_request_id,
        lago_invoice_ids=[one.debt.id for one in covered],
        lago_customer_id=attempt.customer_id,
        external_customer_id=link.external_customer_id,
        provider_customer_id=attempt.provider_customer_id,
        payment_provider=link.payment_provider,
        payment_provider_code=link.payment_provider_code,
        provider_error=provider_error,
        error_details=error_details,
    )
    return News(
        organization_id=attempt.organization_id,
        webhook_type="payment_request.payment_failure",
        object_type=REQUEST_OBJECT_TYPE,
        payload=failure,
        object_id=attempt.payment_request_id,
        cause=attempt.id,
        ask_id=attempt.answers,
    )


def _of_request(details: PaymentRequestDetails, webhook_type: str, cause: RowKey) -> News:
    return News(
        organization_id=details.request.organization_id,
        webhook_type=webhook_type,
        object_type="payment_request",
        payload=payment_request_object(details),
        object_id=details.request.id,
        cause=cause.id,
    )
