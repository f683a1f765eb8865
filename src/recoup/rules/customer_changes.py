"""What a caller may say of a customer, and what becomes of the customer (contract section 3.3).

What would surprise you: absent and null are two things. An absent field stays as it is; a null one
is emptied, or stays where it cannot be empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.email_addresses import are_email_addresses
from recoup.rules.invoice_dates import MAX_NET_PAYMENT_TERM_DAYS
from recoup.rules.money import is_currency
from recoup.rules.places import iana_timezone, is_country, is_locale
from recoup.rules.records.customers import Customer, Metadatum, ShippingAddress
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Scalar, Text, text, written

Number: TypeAlias = int | UnsetType | None
Flag: TypeAlias = bool | UnsetType | None

LONGEST_EXTERNAL_ID: Final = 255  # an index holds it
MOST_METADATA: Final = 5
LONGEST_KEY: Final = 20
LONGEST_VALUE: Final = 100
ACCOUNT_TYPES: Final = ("customer", "partner")
CUSTOMER_TYPES: Final = ("company", "individual")


class ShippingAddressInput(msgspec.Struct, frozen=True):
    """`shipping_address` as a caller sends it."""

    address_line1: Text = UNSET
    address_line2: Text = UNSET
    city: Text = UNSET
    zipcode: Text = UNSET
    state: Text = UNSET
    country: Text = UNSET


class MetadatumInput(msgspec.Struct, frozen=True):
    """One of `metadata`: with a known `id` it changes that one."""

    id: str | UnsetType | None = UNSET
    key: Text = UNSET
    value: Text = UNSET
    display_in_invoice: Flag = UNSET


class BillingConfigurationInput(msgspec.Struct, frozen=True):
    """`billing_configuration` as a caller sends it; the link's part is for `provider_link`."""

    invoice_grace_period: Number = UNSET
    subscription_invoice_issuing_date_anchor: Text = UNSET
    subscription_invoice_issuing_date_adjustment: Text = UNSET
    payment_provider: Text = UNSET
    payment_provider_code: Text = UNSET
    provider_customer_id: Text = UNSET
    sync: Flag = UNSET  # nothing: no provider is called while a caller waits
    sync_with_provider: Flag = UNSET
    document_locale: Text = UNSET
    provider_payment_methods: list[str] | UnsetType | None = UNSET


class CustomerInput(msgspec.Struct, frozen=True):
    """`customer` as a caller sends it."""

    external_id: Text = UNSET
    account_type: Text = UNSET
    name: Text = UNSET
    firstname: Text = UNSET
    lastname: Text = UNSET
    customer_type: Text = UNSET
    country: Text = UNSET
    address_line1: Text = UNSET
    address_line2: Text = UNSET
    state: Text = UNSET
    zipcode: Text = UNSET
    email: Text = UNSET
    city: Text = UNSET
    url: Text = UNSET
    phone: Text = UNSET
    logo_url: Text = UNSET
    legal_name: Text = UNSET
    legal_number: Text = UNSET
    tax_identification_number: Text = UNSET
    currency: Text = UNSET
    timezone: Text = UNSET
    net_payment_term: Number = UNSET
    invoice_grace_period: Number = UNSET
    external_salesforce_id: Text = UNSET
    finalize_zero_amount_invoice: Text = UNSET
    skip_invoice_custom_sections: Flag = UNSET
    exclude_from_dunning_campaign: Flag = UNSET  # ours, as Lago's GraphQL calls it
    applied_dunning_campaign_code: Text = UNSET  # ours; blank: the billing entity's
    billing_entity_code: Text = UNSET
    tax_codes: list[Scalar] | UnsetType | None = UNSET
    shipping_address: ShippingAddressInput | UnsetType | None = UNSET
    metadata: list[MetadatumInput] | UnsetType | None = UNSET
    billing_configuration: BillingConfigurationInput | UnsetType | None = UNSET
    integration_customers: Any = (
        UNSET  # nothing is connected: read only to refuse what Lago refuses
    )


_TEXTS: Final = (
    "name", "firstname", "lastname", "address_line1", "address_line2", "state", "zipcode", "city",
    "url", "phone", "logo_url", "legal_name", "legal_number", "tax_identification_number",
    "external_salesforce_id",
)  # fmt: skip
_FLAGS: Final = ("skip_invoice_custom_sections", "exclude_from_dunning_campaign")


class _Code(msgspec.Struct, frozen=True):
    """A field with a limited set of values: how one is read, and what a wrong one is called."""

    read: Callable[[str], str | None]
    wrong: str = "value_is_invalid"


def _one_of(*values: str) -> Callable[[str], str | None]:
    return lambda said: said if said in values else None


def _if(holds: Callable[[str], bool]) -> Callable[[str], str | None]:
    return lambda said: said if holds(said) else None


def _country(said: str) -> str | None:
    return said.upper() if is_country(said.upper()) else None


_CODES: Final[Mapping[str, _Code]] = {
    "customer_type": _Code(_one_of(*CUSTOMER_TYPES)),
    "country": _Code(_country, "not_a_valid_country_code"),
    "email": _Code(_if(are_email_addresses), "invalid_email_format"),
    "currency": _Code(_if(is_currency)),
    "timezone": _Code(iana_timezone, "invalid_timezone"),
}
# Null leaves these as they are.
_NEVER_EMPTY: Final[Mapping[str, _Code]] = {
    "account_type": _Code(_one_of(*ACCOUNT_TYPES)),
    "finalize_zero_amount_invoice": _Code(_one_of("inherit", "skip", "finalize"), "invalid_value"),
}
_BILLING_CODES: Final[Mapping[str, _Code]] = {
    "document_locale": _Code(_if(is_locale), "not_a_valid_language_code"),
    "subscription_invoice_issuing_date_anchor": _Code(
        _one_of("current_period_end", "next_period_start")
    ),
    "subscription_invoice_issuing_date_adjustment": _Code(
        _one_of("align_with_finalization_date", "keep_anchor")
    ),
}


def external_id_of(asked: CustomerInput) -> str:
    """By which name the caller knows the customer.

    :raises Refused: 422, it is blank or no name that we can keep.
    """
    external_id = text(asked.external_id)
    if external_id is None:
        raise Refused(invalid({"external_id": ["value_is_mandatory"]}))
    if "\0" in external_id:
        raise Refused(invalid({"external_id": ["value_is_invalid"]}))
    if len(external_id) > LONGEST_EXTERNAL_ID:
        raise Refused(invalid({"external_id": ["value_is_too_long"]}))
    return external_id


def changed(customer: Customer, asked: CustomerInput) -> Customer:
    """The customer with its own fields changed as asked, but for what names another row.

    :raises Refused: 422, every broken field with its code.
    """
    broken: dict[str, list[str]] = {}
    given: dict[str, Any] = {}
    billing = asked.billing_configuration or UNSET
    for field in _TEXTS:
        if (said := getattr(asked, field)) is not UNSET:
            given[field] = written(said)
            if "\0" in (given[field] or ""):
                broken[field] = ["value_is_invalid"]  # the database has no such character
    given |= _coded(asked, _CODES, broken)
    given |= {field: value for field, value in _coded(asked, _NEVER_EMPTY, broken).items() if value}
    given |= _days(asked, ("net_payment_term", "invoice_grace_period"), broken)
    if billing is not UNSET:
        given |= _coded(billing, _BILLING_CODES, broken)
        given |= _days(billing, ("invoice_grace_period",), broken)
    for field in _FLAGS:
        if isinstance(flag := getattr(asked, field), bool):
            given[field] = flag
    if isinstance(asked.shipping_address, ShippingAddressInput):
        given["shipping_address"] = _shipped_to(
            customer.shipping_address, asked.shipping_address, broken
        )
    if _names_one_integration_twice(asked.integration_customers):
        broken["integration_customers"] = ["invalid_count_per_integration_type"]
    if broken:
        raise Refused(invalid(broken))
    new: Customer = msgspec.structs.replace(customer, **given)
    return new


def _names_one_integration_twice(asked: Any) -> bool:
    """A customer is connected to one of a kind."""
    listed = asked if isinstance(asked, list) else []
    kinds = [str(one["integration_type"]) for one in listed
             if isinstance(one, dict) and "integration_type" in one]  # fmt: skip
    return len(set(kinds)) < len(kinds)


def changed_metadata(
    kept: Sequence[Metadatum],
    asked: Sequence[MetadatumInput],
    *,
    change_id: UUID,
    now: datetime,
) -> tuple[Metadatum, ...]:
    """What the customer's metadata become: the list replaces, a known id keeps its row.

    :raises Refused: 422 for more than five, and for keys and values that are missing, too long,
        or given twice.
    """
    if len(asked) > MOST_METADATA:
        raise Refused(invalid({"metadata": ["invalid_count"]}))
    by_id = {str(metadatum.id): metadatum for metadatum in kept}
    broken: dict[str, list[str]] = {}
    found: list[Metadatum] = []
    for place, one in enumerate(asked):
        known = by_id.pop(one.id.lower(), None) if isinstance(one.id, str) else None
        old = known or Metadatum(
            id=uuid5(change_id, f"metadata/{place}"), key="", value="", created_at=now
        )
        new = Metadatum(
            id=old.id,
            key=old.key if one.key is UNSET else text(one.key) or "",
            value=old.value if one.value is UNSET else text(one.value) or "",
            display_in_invoice=(
                one.display_in_invoice
                if isinstance(one.display_in_invoice, bool)
                else old.display_in_invoice
            ),
            created_at=old.created_at,
        )
        for field, said, longest in (
            ("key", new.key, LONGEST_KEY), ("value", new.value, LONGEST_VALUE),
        ):  # fmt: skip
            if not said:
                broken[field] = ["value_is_mandatory"]
            elif len(said) > longest:
                broken[field] = ["value_is_too_long"]
            elif "\0" in said:
                broken[field] = ["value_is_invalid"]
        if new.key and any(other.key == new.key for other in found):
            broken["key"] = ["value_already_exist"]
        found.append(new)
    if broken:
        raise Refused(invalid(broken))
    return tuple(found)


def _coded(
    asked: msgspec.Struct, codes: Mapping[str, _Code], broken: dict[str, list[str]]
) -> dict[str, str | None]:
    """Read the given fields; a blank one is None."""
    given: dict[str, str | None] = {}
    for field, code in codes.items():
        if (said := getattr(asked, field)) is UNSET:
            continue
        given[field] = None
        if (word := text(said)) is not None:
            given[field] = code.read(word)
            if given[field] is None:
                broken[field] = [code.wrong]
    return given


def _days(
    asked: msgspec.Struct, fields: Sequence[str], broken: dict[str, list[str]]
) -> dict[str, int | None]:
    given: dict[str, int | None] = {}
    for field in fields:
        if (said := getattr(asked, field)) is not UNSET:
            given[field] = said
            if said is not None and not 0 <= said <= MAX_NET_PAYMENT_TERM_DAYS:
                broken[field] = ["value_is_out_of_range"]
    return given


def _shipped_to(
    address: ShippingAddress, asked: ShippingAddressInput, broken: dict[str, list[str]]
) -> ShippingAddress:
    given = {
        field: written(said)
        for field in asked.__struct_fields__
        if (said := getattr(asked, field)) is not UNSET
    }
    if any("\0" in (said or "") for said in given.values()):
        broken["shipping_address"] = ["value_is_invalid"]
    wrong: dict[str, list[str]] = {}
    given |= _coded(asked, {"country": _CODES["country"]}, wrong)
    if wrong:
        broken["shipping_country"] = wrong["country"]
    new: ShippingAddress = msgspec.structs.replace(address, **given)
    return new
