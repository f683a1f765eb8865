"""A charge at Stripe: a payment intent, or the checkout session of a page."""

from __future__ import annotations

from typing import Any

import stripe

from recoup.providers.protocol import Charge, Lost, NotKnown, Outcome
from recoup.providers.stripe_answers import read_intent, read_page
from recoup.providers.stripe_http import TurnedAway, call
from recoup.providers.stripe_objects import AN_ID, Intent, Session, attempt_in
from recoup.providers.stripe_refusals import read_no
from recoup.providers.stripe_requests import PAGE, Operation, read_charge
from recoup.providers.stripe_search import find_intent, find_page


async def send_charge(client: stripe.StripeClient, charge: Charge) -> Outcome:
    """Ask for the money, or open the page."""
    asked = read_charge(charge)
    options: Any = {"idempotency_key": charge.idempotency_key}
    params: Any = asked.params
    told: Intent | Session | TurnedAway | Lost
    if asked.operation == PAGE:
        opening = client.v1.checkout.sessions.create_async(params, options)
        told = await call(opening, Session)
    else:
        creating = client.v1.payment_intents.create_async(params, options)
        told = await call(creating, Intent)
    if isinstance(told, Lost):
        return told
    if isinstance(told, TurnedAway):
        return read_no(told, asked, sent_before=charge.sent_before)
    if attempt_in(told.metadata) != asked.attempt_id:
        return Lost("answer_about_another_charge")
    return read_page(told) if isinstance(told, Session) else read_intent(told)


async def look_up_charge(client: stripe.StripeClient, charge: Charge) -> Outcome | NotKnown:
    """Ask what became of a charge or of a page."""
    asked = read_charge(charge)
    if asked.operation == PAGE:
        page = await find_page(client, charge, asked)
        return read_page(page) if isinstance(page, Session) else page
    intent = await find_intent(client, charge, asked)
    return read_intent(intent) if isinstance(intent, Intent) else intent


async def cancel_charge(client: stripe.StripeClient, charge: Charge) -> Outcome:
    """Cancel the payment intent or expire the page, and say what became of it."""
    asked = read_charge(charge)
    found: Intent | Session | TurnedAway | NotKnown | Lost
    if asked.operation == PAGE:
        found = await _expire(client, charge, asked)
    else:
        found = await _cancel_intent(client, charge, asked)
    if isinstance(found, TurnedAway):  # it is too late for that: then what is it now?
        outcome = await look_up_charge(client, charge)
    elif isinstance(found, Lost | NotKnown):
        outcome = found
    elif attempt_in(found.metadata) != asked.attempt_id:
        return Lost("answer_about_another_charge")
    else:
        outcome = read_page(found) if isinstance(found, Session) else read_intent(found)
    # What Stripe does not know may still be on its way there: that is no end.
    return Lost("not_known") if isinstance(outcome, NotKnown) else outcome


async def _cancel_intent(
    client: stripe.StripeClient, charge: Charge, asked: Operation
) -> Intent | TurnedAway | NotKnown | Lost:
    intent_id = charge.provider_payment_id
    if intent_id is None or not AN_ID.match(intent_id):
        found = await find_intent(client, charge, asked)
        if not isinstance(found, Intent):
            return found
        intent_id = found.id
    return await call(client.v1.payment_intents.cancel_async(intent_id), Intent)


async def _expire(
    client: stripe.StripeClient, charge: Charge, asked: Operation
) -> Session | TurnedAway | NotKnown | Lost:
    page_id = charge.provider_payment_id
    if page_id is None or not (page_id.startswith("cs_") and AN_ID.match(page_id)):
        found = await find_page(client, charge, asked)
        if not isinstance(found, Session) or found.status != "open":
            return found
        page_id = found.id
    return await call(client.v1.checkout.sessions.expire_async(page_id), Session)
