"""What Stripe's events mean to us.

Nothing here depends on the order in which they come: each says what was true when it was made, and
`rules/attempt_state.py` decides whether that is news. What an event alone cannot tell is looked up.
Whatever we have asked for carries our ids in its metadata, so what does not is somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from recoup.providers.protocol import (
    GivenBack,
    Ignored,
    LookUpNeeded,
    Lost,
    MethodAdded,
    MethodGone,
    Notice,
    RefundNotice,
    Reversed,
    Told,
)
from recoup.providers.reading import decode
from recoup.providers.stripe_answers import declined_intent, read_intent, read_page, read_refund
from recoup.providers.stripe_objects import (
    Amount,
    Currency,
    Expandable,
    Id,
    Instant,
    Intent,
    Session,
    StripeRefund,
    Word,
    id_of,
    instant,
    is_of_a_page,
    key_in,
    uuid_in,
)
from recoup.rules.provider_money import from_provider
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.records.refunds import refund_key

UNREADABLE: Final = Ignored("unreadable")
NOT_OURS: Final = Ignored("not_ours")
# Of a page's intent: the payer may try again, or acts on the page itself.
GOES_ON: Final = frozenset({"payment_intent.payment_failed", "payment_intent.requires_action"})


class Data(msgspec.Struct):
    object: msgspec.Raw
    previous_attributes: msgspec.Raw = msgspec.Raw(b"{}")


class Event(msgspec.Struct):
    """A snapshot event, as far as it is the same in all API versions."""

    id: Id
    type: Word
    data: Data


class Dispute(msgspec.Struct):
    id: Id
    amount: Amount
    currency: Currency
    status: Word
    reason: Word | None = None
    payment_intent: Id | Expandable | None = None


class SetUpIntent(msgspec.Struct):
    created: Instant | None = None
    payment_method: Id | Expandable | None = None
    customer: Id | Expandable | None = None


class Method(msgspec.Struct):
    id: Id
    customer: Id | Expandable | None = None


class InvoiceSettings(msgspec.Struct):
    default_payment_method: Id | Expandable | None = None


class Customer(msgspec.Struct):
    id: Id
    invoice_settings: InvoiceSettings | None = None
    default_source: Id | Expandable | None = None


class SettingsBefore(msgspec.Struct):
    default_payment_method: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class CustomerBefore(msgspec.Struct):
    """What changed of a customer: only what had another value before is set."""

    invoice_settings: SettingsBefore | None = None
    default_source: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def read_event(body: str) -> Told:
    """Say what a kept event means."""
    event = decode(body, Event)
    if event is None:
        return UNREADABLE
    reader = _READERS.get(event.type)
    return reader(event) if reader else Ignored("of_no_interest")


def _intent_told(event: Event) -> Told:
    intent = decode(event.data.object, Intent)
    if intent is None:
        return UNREADABLE
    key = key_in(intent.metadata)
    if key is None:
        return NOT_OURS
    if is_of_a_page(intent) and event.type == "payment_intent.canceled":
        return LookUpNeeded(key, intent.id)  # the page says whether that was its end
    if is_of_a_page(intent) and event.type in GOES_ON:
        return Ignored("the_page_goes_on")  # what the payer does there has the page's own events
    if event.type == "payment_intent.partially_funded":
        # Less is asked of the payer from now on; how much less, the last of them says.
        return LookUpNeeded(key, intent.id)
    if event.type == "payment_intent.payment_failed":
        # Said by the event's own name, also where an old version leaves the error out.
        return Notice(key, declined_intent(intent))
    outcome = read_intent(intent)
    return Ignored(outcome.why) if isinstance(outcome, Lost) else Notice(key, outcome)


def _page_told(event: Event) -> Told:
    page = decode(event.data.object, Session)
    if page is None:
        return UNREADABLE
    key = key_in(page.metadata)
    if key is None or page.mode != "payment":
        return NOT_OURS
    if event.type == "checkout.session.async_payment_failed":
        return LookUpNeeded(key, page.id)  # why it failed stands in the intent
    outcome = read_page(page)
    return LookUpNeeded(key, page.id) if isinstance(outcome, Lost) else Notice(key, outcome)


def _refund_told(event: Event) -> Told:
    refund = decode(event.data.object, StripeRefund)
    if refund is None:
        return UNREADABLE
    refund_id = uuid_in(refund.metadata, "lago_refund_id")
    if refund_id is None:
        return NOT_OURS
    outcome = read_refund(refund)
    if isinstance(outcome, Lost):
        return Ignored(outcome.why)
    return RefundNotice(refund_key(refund_id), outcome, refund.id)


def _dispute_told(event: Event) -> Told:
    dispute = decode(event.data.object, Dispute)
    if dispute is None:
        return UNREADABLE
    # A dispute has metadata of its own: whose it is the intent alone can tell.
    intent_id = id_of(dispute.payment_intent)
    if intent_id is None:
        return NOT_OURS
    if event.type == "charge.dispute.closed" and dispute.status != "lost":
        return Ignored("dispute_not_lost")
    cents = from_provider(ProviderKind.STRIPE, dispute.currency, dispute.amount)
    if cents is None or cents >= 2**63:
        return UNREADABLE
    what = (intent_id, dispute.status, cents, dispute.currency.upper())
    if event.type == "charge.dispute.funds_reinstated":
        return Notice(None, GivenBack(*what, dispute.id))
    reason = dispute.reason or "dispute"
    is_lost = event.type == "charge.dispute.closed"
    return Notice(None, Reversed(*what, reason, dispute.id, is_lost))


def _set_up_told(event: Event) -> Told:
    intent = decode(event.data.object, SetUpIntent)
    if intent is None:
        return UNREADABLE
    added = _added(id_of(intent.payment_method), id_of(intent.customer))
    if isinstance(added, Ignored):
        return added
    # Of the intent and not of its event: a set-up that began before a method was deleted here may
    # succeed after it.
    return msgspec.structs.replace(added, set_up_at=instant(intent.created))


def _attached_told(event: Event) -> Told:
    method = decode(event.data.object, Method)
    return _added(method.id, id_of(method.customer)) if method else UNREADABLE


def _detached_told(event: Event) -> Told:
    method = decode(event.data.object, Method)
    return MethodGone(method.id) if method else UNREADABLE


def _customer_told(event: Event) -> Told:
    """A customer has another default than before."""
    customer = decode(event.data.object, Customer)
    before = decode(event.data.previous_attributes, CustomerBefore)
    if customer is None or before is None:
        return UNREADABLE
    settings = customer.invoice_settings or InvoiceSettings()
    was = before.invoice_settings or SettingsBefore()
    if was.default_payment_method is not msgspec.UNSET:
        return _added(id_of(settings.default_payment_method), customer.id, is_default=True)
    # Stripe charges a default source only where there is no default payment method.
    if before.default_source is not msgspec.UNSET and not settings.default_payment_method:
        return _added(id_of(customer.default_source), customer.id, is_default=True)
    return Ignored("same_default")


def _added(
    method_id: str | None, customer_id: str | None, *, is_default: bool = False
) -> MethodAdded | Ignored:
    if method_id is None:
        return Ignored("without_method")
    return MethodAdded(method_id, customer_id, is_default=is_default)


_READERS: Final[Mapping[str, Callable[[Event], Told]]] = MappingProxyType(
    {
        # `payment_intent.created` is not here: it comes late as often as not, and tells of an
        # intent that nobody has tried to charge yet.
        "payment_intent.processing": _intent_told,
        "payment_intent.requires_action": _intent_told,
        "payment_intent.partially_funded": _intent_told,
        "payment_intent.amount_capturable_updated": _intent_told,
        "payment_intent.succeeded": _intent_told,
        "payment_intent.payment_failed": _intent_told,
        "payment_intent.canceled": _intent_told,
        "checkout.session.completed": _page_told,
        "checkout.session.expired": _page_told,
        "checkout.session.async_payment_succeeded": _page_told,
        "checkout.session.async_payment_failed": _page_told,
        "refund.created": _refund_told,
        "refund.updated": _refund_told,
        "refund.failed": _refund_told,
        "charge.refund.updated": _refund_told,
        "charge.dispute.funds_withdrawn": _dispute_told,
        "charge.dispute.funds_reinstated": _dispute_told,
        "charge.dispute.closed": _dispute_told,
        "setup_intent.succeeded": _set_up_told,
        "payment_method.attached": _attached_told,
        "payment_method.detached": _detached_told,
        "customer.updated": _customer_told,
    }
)
EVENTS: Final = frozenset(_READERS)
"""What a webhook endpoint at Stripe should be told; the rest is of no interest."""
