"""Ask GoCardless for customers and their mandates: one operation a function, each in a thread.

Called by `providers/gocardless`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from gocardless_pro import services

from recoup.providers.gocardless_answers import one, pages, turned_away
from recoup.providers.gocardless_calls import Calls, Conflict, TurnedAway
from recoup.providers.gocardless_words import (
    ENDED,
    Flow,
    Id,
    Made,
    Mandate,
    Mandates,
    kept_metadata,
    stored_method,
)
from recoup.providers.protocol import (
    CustomerMade,
    Declined,
    Lost,
    NewCustomer,
    NotKnown,
    Page,
    SetUpOrder,
    StoredMethod,
)
from recoup.providers.reading import believed

_GONE: Final = frozenset({404, 410})  # never was, or its data was removed


def create(calls: Calls, *, new: NewCustomer) -> CustomerMade | Declined | Lost:
    """Make the customer, or find the one that this key has made."""
    fields = {
        "company_name": new.name,
        "given_name": new.firstname,
        "family_name": new.lastname,
        "email": new.email,
        "country_code": new.country,
    }
    known = {name: value for name, value in fields.items() if value}
    params = {**known, "metadata": kept_metadata(new.metadata, ("lago_customer_id",))}
    headers = {"Idempotency-Key": new.idempotency_key}
    heard = calls.ask(
        services.CustomersService,
        lambda customers: customers.create(params=params, headers=headers),
    )
    if isinstance(heard, TurnedAway):
        return turned_away(heard, sent_before=False)  # nothing is lost by making it again
    if isinstance(heard, Conflict):
        made_before = heard.resource_id
        heard = calls.ask(services.CustomersService, lambda customers: customers.get(made_before))
    made = one(heard, "customers", Made)
    return made if isinstance(made, Lost) else CustomerMade(made.id)


def find_mandate(calls: Calls, *, mandate_id: str) -> StoredMethod | NotKnown | Lost:
    """One mandate; `NotKnown` where it has ended, or never was."""
    if believed(mandate_id, Id) is None:
        return NotKnown(was_asked=False)  # it can be none of theirs, and would lead to another path
    heard = calls.ask(services.MandatesService, lambda mandates: mandates.get(mandate_id))
    if isinstance(heard, TurnedAway) and heard.status in _GONE:
        return NotKnown()
    mandate = one(heard, "mandates", Mandate)
    if isinstance(mandate, Lost):
        return mandate
    if mandate.id != mandate_id:
        return Lost("another_mandate")
    return NotKnown() if mandate.status in ENDED else stored_method(mandate)


def list_mandates(calls: Calls, *, customer_id: str) -> Sequence[StoredMethod] | NotKnown | Lost:
    """A customer's mandates that have not ended; `NotKnown` where there is no such customer.

    GoCardless answers for a customer whom it does not know with an empty list, so of nobody's
    mandates it is asked whether there is such a customer.
    """
    if believed(customer_id, Id) is None:
        return NotKnown(was_asked=False)
    listed = pages(calls, services.MandatesService, {"customer": customer_id}, Mandates)
    if isinstance(listed, Lost):
        return listed
    if isinstance(listed, TurnedAway):
        return NotKnown() if listed.status in _GONE else Lost(f"http_{listed.status}")
    found = [mandate for part in listed for mandate in part.mandates]
    if any(mandate.links.customer != customer_id for mandate in found):
        return Lost("mandates_of_another_customer")
    if not found:
        heard = calls.ask(services.CustomersService, lambda customers: customers.get(customer_id))
        if isinstance(heard, TurnedAway) and heard.status in _GONE:
            return NotKnown()
        if isinstance(made := one(heard, "customers", Made), Lost):
            return made
    return [stored_method(mandate) for mandate in found if mandate.status not in ENDED]


def set_up_page(calls: Calls, *, order: SetUpOrder) -> Page | Declined | Lost:
    """Ask for a mandate (a billing request), and open the page where its customer gives it."""
    params = {
        "mandate_request": {"currency": order.currency},
        "links": {"customer": order.provider_customer_id},
        "metadata": kept_metadata(order.metadata, ("lago_customer_id",)),
    }
    headers = {"Idempotency-Key": order.idempotency_key}
    heard = calls.ask(
        services.BillingRequestsService,
        lambda requests: requests.create(params=params, headers=headers),
    )
    if isinstance(heard, TurnedAway):
        return turned_away(heard, sent_before=False)  # no money is asked for
    if isinstance(heard, Conflict):
        request_id = heard.resource_id
    else:
        made = one(heard, "billing_requests", Made)
        if isinstance(made, Lost):
            return made
        request_id = made.id
    # The page's own address expires, so each call has a new one, of the same request.
    flow = {
        "redirect_uri": order.return_url,
        "exit_uri": order.return_url,
        "links": {"billing_request": request_id},
    }
    heard = calls.ask(services.BillingRequestFlowsService, lambda flows: flows.create(params=flow))
    if isinstance(heard, TurnedAway):
        return turned_away(heard, sent_before=False)
    opened = one(heard, "billing_request_flows", Flow)
    if isinstance(opened, Lost):
        return opened
    return Page(request_id, opened.authorisation_url, believed(opened.expires_at, datetime))
