"""What becomes of a customer's link to a payment provider (contract section 3.3).

What would surprise you: payment methods belong to the provider's customer, so whatever changes who
that is (another provider, account or `provider_customer_id`) starts a new link without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from recoup.rules.customer_changes import BillingConfigurationInput
from recoup.rules.records.customers import Customer, ProviderCustomer
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.rules.refusal import Refusal, Refused, invalid
from recoup.rules.scalars import text

NO_ACCOUNT: Final = invalid({"base": ["payment_provider_not_found"]})
NO_CODE: Final = invalid({"base": ["payment_provider_code_missing"]})

STRIPE_METHODS: Final = frozenset(
    {
        "card", "sepa_debit", "us_bank_account", "bacs_debit", "link", "boleto", "crypto",
        "customer_balance",
    }
)  # fmt: skip
# Of these, what Stripe cannot keep, so that no page sets it up.
CANNOT_BE_KEPT: Final = frozenset({"customer_balance", "crypto"})
# Providers that Lago knows and no adapter of ours speaks to: nobody has an account there.
_WITHOUT_ADAPTER: Final = frozenset({"cashfree", "flutterwave", "moneyhash"})
_USUAL_STRIPE_METHODS: Final = ("card",)
_FIELDS: Final = (
    "payment_provider", "payment_provider_code", "provider_customer_id", "sync_with_provider",
    "provider_payment_methods",
)  # fmt: skip


class Linked(msgspec.Struct, frozen=True):
    """The customer with its provider, and the link that is live from now on."""

    customer: Customer
    link: ProviderCustomer | None
    made_at_provider: bool = False  # the provider's customer is new, and nobody else knows its id


def relinked(
    customer: Customer,
    link: ProviderCustomer | None,
    asked: BillingConfigurationInput,
    accounts: Sequence[ProviderAccount],
    *,
    is_new: bool,
    link_id: UUID,
    now: datetime,
) -> Linked:
    """Link, link otherwise, unlink, or leave as it is, whatever `asked` comes to.

    `accounts` are the organization's live ones; `link_id` is for the link if it is a new one.

    :raises Refused: 422 for an account that cannot be told, or methods that Stripe does not take.
    """
    if all(getattr(asked, field) is UNSET for field in _FIELDS):
        return Linked(customer, link)
    wanted_id = _provider_customer_id(asked)
    wants_link = wanted_id is not None or asked.sync_with_provider is True
    must_have_account = wants_link or text(asked.payment_provider_code) is not None
    kind = customer.payment_provider
    if asked.payment_provider is not UNSET:
        named = text(asked.payment_provider)
        if named in _WITHOUT_ADAPTER and must_have_account:
            raise Refused(NO_ACCOUNT)
        kind = _kind(named, is_new=is_new)
    if kind is None:
        return Linked(
            msgspec.structs.replace(customer, payment_provider=None, payment_provider_code=None),
            link=None,
        )
    account = _account(customer, kind, asked, accounts)
    if isinstance(account, Refusal):
        if must_have_account:
            raise Refused(account)
        if kind is customer.payment_provider:
            return Linked(customer, link)
        return Linked(
            msgspec.structs.replace(customer, payment_provider=kind, payment_provider_code=None),
            link=None,
        )
    customer = msgspec.structs.replace(
        customer, payment_provider=kind, payment_provider_code=account.code
    )
    if link is not None and _is_another(link, account, wanted_id):
        link = None
    if link is None:
        if not wants_link:
            return Linked(customer, None)
        link = ProviderCustomer(
            organization_id=customer.organization_id,
            id=link_id,
            customer_id=customer.id,
            provider_account_id=account.id,
            provider_customer_id=None,
            provider_payment_methods=(_USUAL_STRIPE_METHODS if kind is ProviderKind.STRIPE else ()),
            created_at=now,
        )
    return _updated(customer, link, kind, asked, wanted_id)


def _updated(
    customer: Customer,
    link: ProviderCustomer,
    kind: ProviderKind,
    asked: BillingConfigurationInput,
    wanted_id: str | None,
) -> Linked:
    sync = link.sync_with_provider
    if isinstance(asked.sync_with_provider, bool):
        sync = asked.sync_with_provider
    methods = link.provider_payment_methods
    if kind is ProviderKind.STRIPE and asked.provider_payment_methods is not UNSET:
        methods = _stripe_methods(asked.provider_payment_methods)
    provider_customer_id = wanted_id or link.provider_customer_id
    made = provider_customer_id is None and sync and kind is ProviderKind.SANDBOX
    if made:
        provider_customer_id = f"cus_{customer.id.hex}"  # the sandbox knows any
    new = msgspec.structs.replace(
        link,
        provider_customer_id=provider_customer_id,
        sync_with_provider=sync,
        provider_payment_methods=methods,
    )
    return Linked(customer, new, made_at_provider=made)


def _kind(named: str | None, *, is_new: bool) -> ProviderKind | None:
    """Which provider is meant. An unknown one is refused at first, and unlinks later, as at Lago.

    :raises Refused: 422, on creation.
    """
    for kind in ProviderKind:
        if kind == named:
            return kind
    if named is not None and is_new:
        raise Refused(invalid({"payment_provider": ["value_is_invalid"]}))
    return None


def _account(
    customer: Customer,
    kind: ProviderKind,
    asked: BillingConfigurationInput,
    accounts: Sequence[ProviderAccount],
) -> ProviderAccount | Refusal:
    """The account that is meant: by the given code, the customer's own, or as the only one."""
    code = text(asked.payment_provider_code)
    if code is None and kind is customer.payment_provider:
        code = customer.payment_provider_code
    fitting = [
        account
        for account in accounts
        if account.kind is kind and (code is None or account.code == code)
    ]
    if len(fitting) == 1:
        return fitting[0]
    return NO_CODE if fitting else NO_ACCOUNT


def _provider_customer_id(asked: BillingConfigurationInput) -> str | None:
    wanted = text(asked.provider_customer_id)
    if wanted is not None and "\0" in wanted:
        raise Refused(invalid({"provider_customer_id": ["value_is_invalid"]}))
    return wanted


def _is_another(link: ProviderCustomer, account: ProviderAccount, wanted_id: str | None) -> bool:
    return link.provider_account_id != account.id or (
        wanted_id is not None and link.provider_customer_id not in {None, wanted_id}
    )


def _stripe_methods(said: list[str] | None) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(said or _USUAL_STRIPE_METHODS))
    if (
        not STRIPE_METHODS.issuperset(methods)
        or ("link" in methods and "card" not in methods)
        or ("customer_balance" in methods and len(methods) > 1)
    ):
        raise Refused(invalid({"provider_payment_methods": ["value_is_invalid"]}))
    return methods
