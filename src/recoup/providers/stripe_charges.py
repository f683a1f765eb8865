"""A charge at Stripe: a payment intent, or the checkout session of a page.

What would surprise you: of a charge that is known from Stripe's list alone only its intent can tell
that it was made by a page. Then the page is asked: a try that failed there is no end.
"""

from __future__ import annotations

from typing import Any

import stripe

from recoup.providers.protocol import Charge, Lost, NotKnown, Outcome, Processing
from recoup.providers.stripe_answers import WAITS_FOR_A_BANK, read_intent, read_page
from recoup.providers.stripe_http import TurnedAway, call
from recoup.providers.stripe_objects import AN_ID, Intent, Session, attempt_in, is_of_a_page
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
    found: Intent | Session | NotKnown | Lost
    if asked.operation == PAGE:
        found = await find_page(client, charge, asked)
    else:
        found = await find_intent(client, charge, asked)
        if isinstance(found, Intent) and is_of_a_page(found):
            found = await find_page(client, charge, asked)
    return _read(found)


async def cancel_charge(client: stripe.StripeClient, charge: Charge) -> Outcome:
    """Cancel the payment intent or expire the page, and say what became of it."""
    asked = read_charge(charge)
    found: Intent | Session | TurnedAway | NotKnown | Lost
    if asked.operation == PAGE:
        found = await _expire(client, charge, asked)
    else:
        found = await _cancel_intent(client, charge, asked)
    outcome = await _became(client, charge, asked, found)
    is_known = (charge.provider_payment_id or "").startswith("pi_")
    if is_known and isinstance(outcome, Processing) and outcome.status == WAITS_FOR_A_BANK:
        # Its page is complete, and cannot be expired any more. Who knows only the page is told
        # first: its payer has acted in time, and may have sent the money.
        canceling = client.v1.payment_intents.cancel_async(outcome.provider_payment_id)
        outcome = await _became(client, charge, asked, await call(canceling, Intent))
    # What Stripe does not know may still be on its way there: that is no end.
    return Lost("not_known") if isinstance(outcome, NotKnown) else outcome


async def _became(
    client: stripe.StripeClient,
    charge: Charge,
    asked: Operation,
    told: Intent | Session | TurnedAway | NotKnown | Lost,
) -> Outcome | NotKnown:
    """What a charge has come to, by the answer to our asking for its end."""
    if isinstance(told, TurnedAway):  # it is too late for that: then what is it now?
        return await look_up_charge(client, charge)
    if isinstance(told, Intent | Session) and attempt_in(told.metadata) != asked.attempt_id:
        return Lost("answer_about_another_charge")
    return _read(told)


def _read(found: Intent | Session | NotKnown | Lost) -> Outcome | NotKnown:
    match found:
        case Session():
            return read_page(found)
        case Intent():
            return read_intent(found)
        case _:
            return found


async def _cancel_intent(
    client: stripe.StripeClient, charge: Charge, asked: Operation
) -> Intent | Session | TurnedAway | NotKnown | Lost:
    intent_id = charge.provider_payment_id
    if intent_id is None or not AN_ID.match(intent_id) or not charge.request:
        found = await find_intent(client, charge, asked)
        if not isinstance(found, Intent):
            return found
        if is_of_a_page(found):
            return await _expire(client, charge, asked)
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
