"""Look at an attempt once more, and freeze what is sent for it.

Called by `begin_sending` alone, under the locks of all that is looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from recoup.providers.protocol import Charge, NotChargeable, Order, Provider
from recoup.rules.invoice_status import why_not_charge
from recoup.rules.manner import Manner
from recoup.rules.method_choice import (
    ByTransfer,
    NoAttempt,
    Wish,
    choose_for_request,
    choose_method,
    why_no_page,
)
from recoup.rules.payment_requests import request_metadata, request_reference
from recoup.rules.records.collection import Attempt, Covered, Link, Method, idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store.attempts import Sent


class AtThePage(msgspec.Struct, frozen=True):
    """The payer chooses the method, on the provider's page."""


_Choice: TypeAlias = Method | AtThePage | ByTransfer


class Open(msgspec.Struct, frozen=True):
    """An account, and the adapter that speaks for it."""

    account: ProviderAccount
    provider: Provider


class Frozen(msgspec.Struct, frozen=True):
    """What is kept on the attempt, and what is sent, through which account."""

    row: Sent
    charge: Charge
    through: Open

    @property
    def account(self) -> RowKey:
        """The account that is called."""
        return self.through.account.key


def freeze(
    attempt: Attempt,
    covered: Sequence[Covered],
    link: Link,
    accounts: Mapping[RowKey, Open],
    *,
    now: datetime,
) -> Frozen | str:
    """Freeze what is sent, so that a look-up or a re-send never depends on what came after.

    A word: nothing is sent, for this reason.
    """
    choice = _look_again(attempt, covered, link)
    if isinstance(choice, NoAttempt):
        return choice.value
    assert link.account_id is not None, "a method is chosen only where there is an account"
    assert link.provider_customer_id is not None, "and a customer at the provider"
    through = accounts[RowKey(attempt.organization_id, link.account_id)]
    method = choice if isinstance(choice, Method) else None
    manner = _manner(attempt, choice)
    debt = covered[0].debt
    due_cents = sum(one.debt.due_cents for one in covered)
    request = through.provider.render(
        Order(
            attempt_id=attempt.id,
            amount_cents=due_cents,
            currency=debt.currency,
            provider_customer_id=link.provider_customer_id,
            provider_method_id=method.provider_method_id if method else None,
            reference=_reference(attempt, covered),
            metadata=_metadata(attempt, covered),
            manner=manner,
            return_url=through.account.return_url,
            customer_email=link.email,
            customer_country=link.country,
            seller_country=debt.billing_entity_country,
            expires_at=attempt.expires_at,
        )
    )
    if isinstance(request, NotChargeable):
        return request.code
    row = Sent(
        key=attempt.key,
        amount_cents=due_cents,
        provider_account_id=link.account_id,
        provider_customer_id=link.provider_customer_id,
        payment_method_id=method.id if method else None,
        provider_method_id=method.provider_method_id if method else None,
        request=request,
        manner=manner,
    )
    return Frozen(row, Charge(idempotency_key(attempt.id), request, sent_at=now), through)


def _look_again(attempt: Attempt, covered: Sequence[Covered], link: Link) -> _Choice | NoAttempt:
    """Choose the method once more, or say why there is nothing left to charge."""
    for one in covered:
        debt = one.debt
        refusal = why_not_charge(debt.status, debt.payment_status, attempt_is_open=False)
        if refusal or debt.due_cents <= 0 or debt.held_because:
            return NoAttempt.NOT_COLLECTABLE
    if attempt.manner is Manner.PAGE:
        return why_no_page(covered[0].debt, link) or AtThePage()
    if attempt.payment_request_id is not None:
        debts = [one.debt for one in covered]
        return choose_for_request(attempt.wanted_method_id, debts, link)
    return choose_method(Wish(method_id=attempt.wanted_method_id), covered[0].debt, link)


def _manner(attempt: Attempt, choice: _Choice) -> Manner:
    """How it is sent. The customer may have come to pay otherwise since the attempt was begun."""
    match choice:
        case AtThePage():
            return Manner.PAGE
        case ByTransfer():
            return Manner.TRANSFER
        case Method() if attempt.manner is Manner.TRANSFER:
            return Manner.OFF_SESSION
        case Method():
            return attempt.manner
        case _:
            assert_never(choice)


def _reference(attempt: Attempt, covered: Sequence[Covered]) -> str:
    """What the payer reads of the charge (contract sections 5.3 and 8.3)."""
    debt = covered[0].debt
    if attempt.payment_request_id is not None:
        return request_reference(debt.billing_entity_name, [one.debt.number for one in covered])
    return f"{debt.billing_entity_name} - Invoice {debt.number}"


def _metadata(attempt: Attempt, covered: Sequence[Covered]) -> dict[str, str]:
    """What the provider keeps beside the charge (contract sections 5.3, 5.5 and 8.3)."""
    if attempt.payment_request_id is not None:
        debts = [one.debt for one in covered]
        return request_metadata(attempt.id, attempt.payment_request_id, debts)
    debt = covered[0].debt
    return {
        "lago_invoice_id": str(debt.id),
        "lago_customer_id": str(debt.customer_id),
        "lago_organization_id": str(debt.organization_id),
        "lago_billing_entity_id": str(debt.billing_entity_id),
        "lago_payment_id": str(attempt.id),
        "lago_payable_id": str(debt.id),
        "lago_payable_type": "Invoice",
        "invoice_issuing_date": str(debt.issuing_date or ""),
        "invoice_type": debt.invoice_type,
    }
