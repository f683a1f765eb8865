"""Which of a customer's payment methods an attempt charges, or why there is none to charge.

The method is the ask's, else the invoice's own, else the customer's default. An ask that names a
method gets that one or none: another card is never charged behind the caller's back. Whoever pays
by bank transfer alone is asked for one, whatever methods they may have besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

import msgspec

from recoup.rules.records.collection import Debt, Link, Method

NOBODYS_METHOD = UUID(int=0)  # what a caller named is no UUID, so it is no method of anybody


class NoAttempt(StrEnum):
    """Why an accepted ask makes no attempt, or an attempt is withdrawn (DESIGN section 7).

    The words go out as `error_details.code` of `invoice.payment_failure`.
    """

    NO_PROVIDER = "customer_must_have_payment_provider"  # Lago's own word, contract section 5.2
    NO_PROVIDER_CUSTOMER = "no_provider_customer"
    NO_METHOD = "no_payment_method"
    METHOD_IS_MANUAL = "payment_method_is_manual"
    NOT_COLLECTABLE = "invoice_no_longer_collectable"
    CHARGED_BEFORE = "charged_before"  # by a charge that a restore had lost
    # Of a dunning campaign's requests alone, which remind where they do not charge.
    SKIPS_PROVIDER = "skip_psp"
    NO_USE = "charging_again_is_no_use"  # after how the method was declined
    TOO_OFTEN = "charged_too_often"  # for what networks let pass
    TRANSFER_IS_AWAITED = "bank_transfer_is_awaited"


class ByTransfer(msgspec.Struct, frozen=True):
    """The payer sends the money by bank, so that no method is charged (contract section 5.3)."""


class Wish(msgspec.Struct, frozen=True):
    """What an ask says of the method: a manual one, a certain one, or nothing at all."""

    manual: bool = False
    method_id: UUID | None = None


def read_wish(said: object) -> Wish:
    """Read `payment_method` of a retry: Lago refuses no shape, so neither do we (section 5.1)."""
    if not isinstance(said, dict):
        return Wish()
    if said.get("payment_method_type") == "manual":
        return Wish(manual=True)
    if not (named := said.get("payment_method_id")):  # blank is as good as absent
        return Wish()
    try:
        return Wish(method_id=UUID(str(named)))
    except ValueError:
        return Wish(method_id=NOBODYS_METHOD)


def why_no_page(debt: Debt, link: Link) -> NoAttempt | None:
    """Say why the payer cannot be sent to a page to pay `debt`; None: nothing forbids it."""
    if debt.self_billed or debt.held_because:
        return NoAttempt.NOT_COLLECTABLE
    if link.payment_provider is None or (link.provider_customer_id and link.account_id is None):
        return NoAttempt.NO_PROVIDER
    if link.provider_customer_id is None:
        return NoAttempt.NO_PROVIDER_CUSTOMER
    return None


def choose_for_request(
    wanted_method_id: UUID | None, debts: Sequence[Debt], link: Link
) -> Method | ByTransfer | NoAttempt:
    """Choose what to charge for all of `debts` at once, or say why nothing can be charged.

    The customer's default, whatever methods the invoices name for themselves (contract section
    8.3); but one that is to be paid by hand is charged on no card behind anybody's back.
    """
    assert debts, "a request has invoices"
    for debt in debts:
        if nobody := why_no_page(debt, link):
            return nobody
        if debt.payment_method_type == "manual":
            return NoAttempt.METHOD_IS_MANUAL
    if not link.pays_by_transfer:
        method = link.method(wanted_method_id) if wanted_method_id else link.default
        return method or NoAttempt.NO_METHOD
    return ByTransfer()


def choose_method(wish: Wish, debt: Debt, link: Link) -> Method | ByTransfer | NoAttempt:
    """Choose what to charge for `debt`, or say why nothing can be charged."""
    if nobody := why_no_page(debt, link):
        return nobody
    if wish.manual:
        return NoAttempt.METHOD_IS_MANUAL
    if link.pays_by_transfer:
        by_hand = wish.method_id is None and debt.payment_method_type == "manual"
        return NoAttempt.METHOD_IS_MANUAL if by_hand else ByTransfer()
    if wish.method_id is not None:
        return link.method(wish.method_id) or NoAttempt.NO_METHOD
    if debt.payment_method_type == "manual":
        return NoAttempt.METHOD_IS_MANUAL
    own = link.method(debt.payment_method_id) if debt.payment_method_id else None
    return own or link.default or NoAttempt.NO_METHOD
