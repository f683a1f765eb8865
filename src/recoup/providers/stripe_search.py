"""Find at Stripe what was asked for: by Stripe's id, or by those of ours that were sent along.

Lists are read, and never Stripe's search: that may lag by a minute and more, and whoever does not
find a charge there sends it again. Where a list was not read to its end, nothing is *not known*.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import stripe

from recoup.providers.protocol import (
    Charge,
    ChargeList,
    CustomerNeeded,
    Declined,
    ListedCharge,
    Lost,
    NotKnown,
    Paid,
    Refund,
    RefundOutcome,
)
from recoup.providers.reading import decode
from recoup.providers.stripe_answers import read_intent, read_page, read_refund
from recoup.providers.stripe_http import TurnedAway, call
from recoup.providers.stripe_objects import (
    AN_ID,
    Id,
    Intent,
    List,
    Session,
    StripeRefund,
    attempt_in,
    is_of_a_page,
    key_in,
)
from recoup.providers.stripe_requests import Operation, read_request
from recoup.rules.provider_money import from_provider
from recoup.rules.reconciliation import CLOCKS_DIFFER
from recoup.rules.records.provider_accounts import ProviderKind

Found = TypeVar("Found", Intent, Session, StripeRefund)
Ask: TypeAlias = Callable[[Any], Awaitable[stripe.StripeObject]]

PAGE_SIZE: Final = 100  # the most that Stripe gives at once
# The charge tells why Stripe itself has blocked it, where it has.
WITH_CHARGE: Final[Any] = {"expand": ["latest_charge"]}
WITH_INTENT: Final[Any] = {"expand": ["payment_intent.latest_charge"]}
ANOTHER: Final = Lost("answer_about_another_charge")


class Entry(msgspec.Struct):
    """One thing in a list, as far as every one of them must be read."""

    id: Id
    metadata: dict[str, Any] | None = None


async def find_intent(
    client: stripe.StripeClient, charge: Charge, asked: Operation
) -> Intent | NotKnown | Lost:
    """Find the payment intent of a charge."""
    if charge.provider_payment_id and AN_ID.match(charge.provider_payment_id):
        intent = await call(
            client.v1.payment_intents.retrieve_async(charge.provider_payment_id, WITH_CHARGE),
            Intent,
        )
        if isinstance(intent, Intent):
            return intent if attempt_in(intent.metadata) == asked.attempt_id else ANOTHER
        if isinstance(intent, Lost) or not intent.is_missing:
            return _lost(intent)
    found = await _search(
        client.v1.payment_intents.list_async,
        {**_by_customer(charge, asked), "expand": ["data.latest_charge"]},
        Intent,
        ("lago_payment_id", asked.attempt_id),
    )
    if not isinstance(found, list):
        return found
    return next((one for one in found if isinstance(read_intent(one), Paid)), _first(found))


async def find_page(
    client: stripe.StripeClient, charge: Charge, asked: Operation
) -> Session | NotKnown | Lost:
    """Find the checkout session of an attempt, with its intent."""
    sessions = client.v1.checkout.sessions
    known_as = charge.provider_payment_id or ""
    if not AN_ID.match(known_as):
        known_as = ""
    if known_as.startswith("cs_"):
        page = await call(sessions.retrieve_async(known_as, WITH_INTENT), Session)
        if isinstance(page, Session):
            return page if attempt_in(page.metadata) == asked.attempt_id else ANOTHER
        if isinstance(page, Lost) or not page.is_missing:
            return _lost(page)
    by = {"payment_intent": known_as} if known_as.startswith("pi_") else _by_customer(charge, asked)
    found = await _search(
        sessions.list_async,
        {**by, "expand": ["data.payment_intent"]},
        Session,
        ("lago_payment_id", asked.attempt_id),
    )
    if not isinstance(found, list):
        return found
    return next((one for one in found if isinstance(read_page(one), Paid)), _first(found))


async def find_refund(client: stripe.StripeClient, refund: Refund) -> RefundOutcome | NotKnown:
    """Find out what became of a refund."""
    params = read_request(refund.request).params
    ours = params["metadata"]["lago_refund_id"]
    if refund.provider_refund_id and AN_ID.match(refund.provider_refund_id):
        told = await call(client.v1.refunds.retrieve_async(refund.provider_refund_id), StripeRefund)
        if isinstance(told, StripeRefund):
            is_ours = (told.metadata or {}).get("lago_refund_id") == ours
            return read_refund(told) if is_ours else Lost("answer_about_another_refund")
        if isinstance(told, Lost) or not told.is_missing:
            return _lost(told)
    found = await _search(
        client.v1.refunds.list_async,
        {"payment_intent": params["payment_intent"]},
        StripeRefund,
        ("lago_refund_id", ours),
    )
    if not isinstance(found, list):
        return found
    return read_refund(found[0]) if found else NotKnown()


async def list_charges(
    client: stripe.StripeClient, *, since: datetime, before: datetime, after: str | None
) -> ChargeList | Lost:
    """One page of the payment intents made from `since` on and before `before`."""
    params: Any = {
        "created": {"gte": int(since.timestamp()), "lt": int(before.timestamp())},
        "limit": PAGE_SIZE,
        **({"starting_after": after} if after else {}),
    }
    page = await call(client.v1.payment_intents.list_async(params), List)
    if not isinstance(page, List):
        return _lost(page)
    entries = _entries(page)
    if entries is None:
        return Lost("unreadable_answer")
    charges = [_listed(entry, raw) for entry, raw in zip(entries, page.data, strict=True)]
    last = entries[-1].id if entries else None
    if page.has_more and last in {None, after}:
        return Lost("endless_list")
    return ChargeList(charges, last if page.has_more else None)


def _listed(entry: Entry, raw: msgspec.Raw) -> ListedCharge:
    intent = decode(raw, Intent)
    cents = from_provider(ProviderKind.STRIPE, intent.currency, intent.amount) if intent else None
    if intent is None or cents is None or cents >= 2**63:
        unreadable = Lost("unreadable_answer")
        return ListedCharge(key_in(entry.metadata), entry.id, unreadable, 0, "")
    outcome = read_intent(intent)
    if is_of_a_page(intent) and isinstance(outcome, Declined) and outcome.code != "canceled":
        # A try that failed on a page: whether the page is still open its session tells.
        outcome = CustomerNeeded(intent.id, intent.status, {})
    return ListedCharge(
        key_in(intent.metadata),
        intent.id,
        outcome,
        cents,
        intent.currency.upper(),
        intent.metadata or {},
    )


async def _search(
    ask: Ask, params: Mapping[str, Any], kind: type[Found], mark: tuple[str, str]
) -> list[Found] | Lost:
    """Read a list to its end, newest first, for those whose metadata have this mark."""
    found: list[Found] = []
    after: str | None = None
    while True:
        turned = {"starting_after": after} if after else {}
        page = await call(ask({**params, "limit": PAGE_SIZE, **turned}), List)
        if not isinstance(page, List):
            return _lost(page)
        entries = _entries(page)
        if entries is None:
            return Lost("unreadable_answer")
        for entry, raw in zip(entries, page.data, strict=True):
            if (entry.metadata or {}).get(mark[0]) == mark[1]:
                one = decode(raw, kind)
                if one is None:
                    return Lost("unreadable_answer")
                found.append(one)
        if not page.has_more:
            return found
        if not entries or entries[-1].id == after:
            return Lost("endless_list")
        after = entries[-1].id


def _entries(page: List) -> list[Entry] | None:
    entries = [decode(raw, Entry) for raw in page.data]
    read = [entry for entry in entries if entry is not None]
    return read if len(read) == len(entries) else None


def _by_customer(charge: Charge, asked: Operation) -> dict[str, Any]:
    """What narrows the search down: whose it is, and from when on."""
    whose = asked.params.get("customer")
    narrowed: dict[str, Any] = {"customer": whose} if whose else {}
    if charge.sent_at:
        narrowed["created"] = {"gte": int((charge.sent_at - CLOCKS_DIFFER).timestamp())}
    return narrowed


def _first(found: Sequence[Found]) -> Found | NotKnown:
    return found[0] if found else NotKnown()


def _lost(told: TurnedAway | Lost) -> Lost:
    """A look-up that is refused tells nothing: the key may be revoked, and the money moved."""
    return told if isinstance(told, Lost) else Lost(told.code)
