"""Ask GoCardless for money, and what became of it: one operation a function, each in a thread.

Called by `providers/gocardless`. Which answer is about our charge is decided here: by amount,
currency, mandate and the attempt that is noted beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from gocardless_pro import services

from recoup.providers.gocardless_answers import (
    after_it_was_made,
    instant,
    one,
    page,
    pages,
    turned_away,
    why,
)
from recoup.providers.gocardless_calls import Calls, Conflict, TurnedAway
from recoup.providers.gocardless_words import (
    DEAD,
    MANDATE_GONE,
    PAYMENT,
    Payment,
    Payments,
    payment_outcome,
)
from recoup.providers.protocol import (
    Charge,
    ChargeList,
    Declined,
    Fate,
    ListedCharge,
    Lost,
    NotKnown,
)

_BEFORE_SENDING: Final = timedelta(minutes=1)  # their clock is not ours


def charge_once(calls: Calls, *, charge: Charge) -> Fate:
    """Make the payment, or find the one that this key has made."""
    wanted = json.loads(charge.request)["payments"]
    headers = {"Idempotency-Key": charge.idempotency_key}
    heard = calls.ask(
        services.PaymentsService, lambda payments: payments.create(params=wanted, headers=headers)
    )
    if isinstance(heard, TurnedAway):
        told = turned_away(heard, sent_before=charge.sent_before)
        is_gone = isinstance(told, Declined) and told.code in MANDATE_GONE
        return msgspec.structs.replace(told, method_is_gone=True) if is_gone else told
    if isinstance(heard, Lost):
        return heard
    if isinstance(heard, Conflict):
        made_before = heard.resource_id
        heard = calls.ask(services.PaymentsService, lambda payments: payments.get(made_before))
    payment = one(heard, "payments", Payment)
    if isinstance(payment, Lost):
        return after_it_was_made(payment)
    if not _is_ours(payment, wanted):
        return Lost("another_payment")
    became = _outcome(calls, payment)
    return after_it_was_made(became) if isinstance(became, Lost) else became


def look_up(calls: Calls, *, charge: Charge) -> Fate | NotKnown:
    """Find the payment, and say what its status means."""
    payment = _find(calls, charge)
    return _outcome(calls, payment) if isinstance(payment, Payment) else payment


def cancel(calls: Calls, *, charge: Charge) -> Fate:
    """Cancel the payment if it has not gone to the banks, and say what became of it."""
    payment_id = charge.provider_payment_id
    if payment_id is None:
        found = _find(calls, charge)
        if isinstance(found, NotKnown):
            return Lost("no_such_payment")  # it may still get in: nobody has said that it is dead
        if isinstance(found, Lost):
            return found
        payment_id = found.id
    heard = calls.ask(services.PaymentsService, lambda payments: payments.cancel(payment_id))
    if isinstance(heard, TurnedAway):  # too late, or it has ended: which?
        heard = calls.ask(services.PaymentsService, lambda payments: payments.get(payment_id))
    payment = one(heard, "payments", Payment)
    if isinstance(payment, Lost):
        return payment
    if payment.id != payment_id:
        return Lost("another_payment")
    told = _outcome(calls, payment)
    return msgspec.structs.replace(told, code="canceled") if isinstance(told, Declined) else told


def list_page(calls: Calls, *, params: Mapping[str, Any]) -> ChargeList | Lost:
    """One page of the account's payments, ours and other people's."""
    listed = page(calls, services.PaymentsService, params, Payments)
    if isinstance(listed, TurnedAway):
        return Lost(f"http_{listed.status}")
    if isinstance(listed, Lost):
        return listed
    return ChargeList([_listed(payment) for payment in listed.payments], listed.meta.cursors.after)


def _find(calls: Calls, charge: Charge) -> Payment | NotKnown | Lost:
    """Find the payment by its id, or else by what was noted beside it."""
    known_as = charge.provider_payment_id
    if known_as is not None:
        heard = calls.ask(services.PaymentsService, lambda payments: payments.get(known_as))
        payment = one(heard, "payments", Payment)
        if isinstance(payment, Payment) and payment.id != known_as:
            return Lost("another_payment")
        return payment
    wanted = json.loads(charge.request)["payments"]
    params: dict[str, str] = {"mandate": wanted["links"]["mandate"]}
    if charge.sent_at is not None:
        params["created_at[gte]"] = instant(charge.sent_at - _BEFORE_SENDING)
    listed = pages(calls, services.PaymentsService, params, Payments)
    if isinstance(listed, TurnedAway):
        return Lost(f"http_{listed.status}")
    if isinstance(listed, Lost):
        return listed
    found = [payment for part in listed for payment in part.payments]
    ours = [payment for payment in found if _is_ours(payment, wanted)]
    # There is one, since the key makes but one. Were there more, a live one would count.
    alive = [payment for payment in ours if payment.status not in DEAD]
    return next(iter(alive or ours), NotKnown())


def _outcome(calls: Calls, payment: Payment) -> Fate:
    """Say what a payment's status means, and of one that came to nothing, why."""
    told = payment_outcome(payment)
    if not isinstance(told, Declined):
        return told
    details = why(calls, {"payment": payment.id, "action": payment.status})
    return details if isinstance(details, Lost) else payment_outcome(payment, details)


def _is_ours(payment: Payment, wanted: Mapping[str, Any]) -> bool:
    asked = (wanted["amount"], wanted["currency"], wanted["links"]["mandate"])
    is_alike = (payment.amount, payment.currency, payment.links.mandate) == asked
    return is_alike and bool(payment.metadata.get(PAYMENT) == wanted["metadata"][PAYMENT])


def _listed(payment: Payment) -> ListedCharge:
    noted = payment.metadata.get(PAYMENT)
    return ListedCharge(
        idempotency_key=f"payment-{noted}" if noted else None,
        provider_payment_id=payment.id,
        outcome=payment_outcome(payment),
        amount_cents=payment.amount,  # in the minor units of ISO, whatever the currency
        currency=payment.currency,
        metadata=payment.metadata,
    )
