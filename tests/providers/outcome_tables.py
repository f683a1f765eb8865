"""Write docs/outcomes.md from the code: `python -m tests.providers.outcome_tables`.

Each status that a provider documents is put to the adapter's own reader, and each decline code
comes from the tables that the engine decides by: the page cannot say what the code does not do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from recoup.providers import (
    adyen_answers,
    gocardless_words,
    sandbox_answers,
    stripe_answers,
    stripe_objects,
)
from recoup.providers.adyen_calls import Answer
from recoup.providers.adyen_requests import Sent
from recoup.rules.declines import UNSORTED, VOCABULARIES, DeclineClass, Table
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.retry_policy import DEFAULT_POLICY

PAGE = Path(__file__).parents[2] / "docs" / "outcomes.md"
COMMAND = "python -m tests.providers.outcome_tables"
# Sources: the enums of `status` and `resultCode` in each provider's description of its API.
STRIPE = ("succeeded", "processing", "requires_capture", "requires_confirmation",
          "requires_action", "requires_payment_method", "canceled")  # fmt: skip
ADYEN = (
    "Authorised", "AuthorisedPending", "PartiallyAuthorised", "Received", "Pending",
    "PresentToShopper", "RedirectShopper", "IdentifyShopper", "ChallengeShopper", "Refused",
    "Cancelled", "Error", "AuthenticationFinished", "AuthenticationNotRequired", "Success",
)  # fmt: skip
GOCARDLESS = (
    "pending_customer_approval", "pending_submission", "submitted", "confirmed", "paid_out",
    "charged_back", "cancelled", "customer_approval_denied", "failed",
)  # fmt: skip
SANDBOX = ("succeeded", "processing", "requires_action", "failed")
WORDS: Mapping[str, str] = {
    "Paid": "paid",
    "Reversed": "paid, and taken back since: recorded, and the invoice held for a person",
    "Processing": "under way: looked up until it ends",
    "CustomerNeeded": "the payer must act: their link is in `payment.requires_action`",
    "Declined": "declined: the code decides what follows",
    "Lost": "not believed: unknown, and looked up",
}
CLASSES: Mapping[DeclineClass, str] = {
    DeclineClass.NEVER: "never tried again: this method is finished",
    DeclineClass.NEW_METHOD: "waits for another method, which then collects at once",
    DeclineClass.AUTHENTICATION: "asked for again with the payer where that can be; else stops",
    DeclineClass.OURS: "stops: the merchant has something to mend",
    DeclineClass.SOFT: "tried again",
    DeclineClass.TECHNICAL: "tried again",
    DeclineClass.CUSTOMER: "tried again once the customer had time to act",
}  # fmt: skip


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What each provider says, and what Recoup makes of it"
    yield ""
    yield f"Written by `{COMMAND}` from the code itself; a test sees that it is up to date."
    yield ""
    yield "## A charge"
    yield ""
    yield "| provider | it says | Recoup holds |"
    yield "|---|---|---|"
    for kind, outcomes in _outcomes().items():
        for word, statuses in WORDS.items():
            if said := [f"`{status}`" for status, outcome in outcomes.items() if outcome == word]:
                yield f"| {kind} | {', '.join(said)} | {statuses} |"
    yield ""
    yield "A first call that is turned away at the door (400, 403, 404, 422, in the provider's"
    yield "own words) is declined by its code: nothing was charged. Of one that was sent before it"
    yield "says nothing. Whatever else comes, at any provider, is `Lost`: no answer, a time-out, a"
    yield "connection that ends, a 409, 429 or 5xx, HTML, half an answer, an answer about another"
    yield "charge. It is never called failed, and never sent again under another key. A 401 on a"
    yield "first call is neither: nothing was done, and the attempt waits until the key is taken."
    yield ""
    yield "## A decline"
    yield ""
    yield "| class | what follows | waits |"
    yield "|---|---|---|"
    for one in DeclineClass:
        yield f"| `{one}` | {CLASSES[one]} | {_waits(one)} |"
    yield ""
    yield f"A code that no table has is `{UNSORTED}`. Of several codes the best-informed decides:"
    yield "the network's advice, the provider's advice, the decline code, the network's code, the"
    yield "error code."
    for kind, vocabulary in VOCABULARIES.items():
        if kind is ProviderKind.SANDBOX:
            continue  # it speaks Stripe's words
        yield ""
        yield f"### {_name(kind)}"
        for title, table in (
            ("Network advice", vocabulary.network_advice), ("Advice", vocabulary.advice),
            ("Decline codes", vocabulary.declines), ("Network codes", vocabulary.network_declines),
            ("Decline codes that give way to a network code", vocabulary.vague_declines),
            ("Error codes", vocabulary.errors),
        ):  # fmt: skip
            if table:
                yield ""
                yield from _table(title, table)


def _table(title: str, table: Table) -> Iterator[str]:
    yield f"| {title} | class |"
    yield "|---|---|"
    for one, codes in table.items():
        yield f"| {', '.join(f'`{code}`' for code in codes)} | `{one}` |"


def _waits(one: DeclineClass) -> str:
    return ", ".join(_span(wait) for wait in DEFAULT_POLICY.waits.get(one, ())) or "–"


def _span(wait: timedelta) -> str:
    minutes = int(wait.total_seconds()) // 60
    for size, name in ((1440, "d"), (60, "h")):
        if minutes % size == 0:
            return f"{minutes // size} {name}"
    return f"{minutes} min"


def _name(kind: ProviderKind) -> str:
    return {"gocardless": "GoCardless"}.get(kind.value, kind.value.title())


def _outcomes() -> dict[str, dict[str, str]]:
    """By provider and status, the word that its adapter's own reader says."""
    return {
        "Stripe": {status: _stripe(status) for status in STRIPE},
        "Adyen": {status: _adyen(status) for status in ADYEN},
        "GoCardless": {status: _gocardless(status) for status in GOCARDLESS},
        "Sandbox": {status: _sandbox(status) for status in SANDBOX},
    }


def _stripe(status: str) -> str:
    said: dict[str, Any] = {"id": "pi_1", "object": "payment_intent", "status": status,
                            "amount": 100, "currency": "eur"}  # fmt: skip
    if status == "requires_payment_method":
        said["last_payment_error"] = {"type": "card_error", "code": "card_declined"}
    intent = msgspec.convert(said, stripe_objects.Intent)
    return type(stripe_answers.read_intent(intent)).__name__


def _adyen(status: str) -> str:
    amount = {"value": 100, "currency": "EUR"}
    said = {"resultCode": status, "pspReference": "PSP1", "amount": amount}
    answer = Answer(200, msgspec.json.encode(said), {})
    sent = Sent(Sent.Amount(100, "EUR"), "reference", {})
    return type(adyen_answers.read_payment(answer, sent)).__name__


def _gocardless(status: str) -> str:
    said = {"id": "PM1", "amount": 100, "currency": "EUR", "status": status,
            "links": {"mandate": "MD1"}}  # fmt: skip
    payment = msgspec.convert(said, gocardless_words.Payment)
    return type(gocardless_words.payment_outcome(payment)).__name__


def _sandbox(status: str) -> str:
    said = {"id": "ch_1", "amount": 100, "currency": "EUR", "status": status,
            "idempotency_key": "payment-1"}  # fmt: skip
    charge = msgspec.convert(said, sandbox_answers.ChargeObject)
    return type(sandbox_answers.outcome(charge)).__name__


if __name__ == "__main__":
    PAGE.write_text(page())
