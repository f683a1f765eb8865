"""Change what an organization says of itself and its invoices (contract section 3.1).

Its default billing entity says the same: whatever is changed here is changed there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.flows.manage_webhook_endpoints import point_first_endpoint
from recoup.rules.email_addresses import are_email_addresses
from recoup.rules.invoice_dates import MAX_NET_PAYMENT_TERM_DAYS
from recoup.rules.money import is_currency
from recoup.rules.places import iana_timezone, is_country, is_locale
from recoup.rules.records.organizations import BillingEntity, Organization
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Text, text, written
from recoup.rules.web_addresses import why_no_web_address
from recoup.store import organizations
from recoup.store.db import Conn

LONGEST_FOOTER: Final = 600
LONGEST_PREFIX: Final = 10
LONGEST_SLUG: Final = 255
LONGEST_URL: Final = 2_048
MAILS: Final = ("invoice.finalized", "credit_note.created", "payment_receipt.created")


class OrganizationBillingInput(msgspec.Struct, frozen=True):
    """`billing_configuration` as a caller sends it."""

    invoice_footer: Text = UNSET
    invoice_grace_period: int | UnsetType | None = UNSET
    document_locale: Text = UNSET


class OrganizationInput(msgspec.Struct, frozen=True):
    """What a caller says of the organization; what is absent stays as it is."""

    country: Text = UNSET
    default_currency: Text = UNSET
    address_line1: Text = UNSET
    address_line2: Text = UNSET
    state: Text = UNSET
    zipcode: Text = UNSET
    email: Text = UNSET
    city: Text = UNSET
    legal_name: Text = UNSET
    legal_number: Text = UNSET
    net_payment_term: int | UnsetType | None = UNSET
    tax_identification_number: Text = UNSET
    timezone: Text = UNSET
    webhook_url: Text = UNSET
    document_numbering: Text = UNSET
    document_number_prefix: Text = UNSET
    finalize_zero_amount_invoice: bool | UnsetType | None = UNSET
    slug: Text = UNSET
    logo_url: Text = UNSET  # ours: Lago takes a picture at its own pages alone
    email_settings: list[str] | UnsetType | None = UNSET
    billing_configuration: OrganizationBillingInput | UnsetType | None = UNSET


async def update_organization(
    conn: Conn,
    organization_id: UUID,
    asked: OrganizationInput,
    *,
    endpoint_id: UUID,
    now: datetime,
) -> Organization:
    """Change what is given, here and at the default billing entity.

    :param endpoint_id: of the endpoint that a `webhook_url` makes where there is none.
    :raises Refused: 422, every broken field with its code.
    """
    organization = await organizations.lock(conn, organization_id)
    given = _given(asked)
    changed: Organization = msgspec.structs.replace(organization, **given, updated_at=now)
    await organizations.write(conn, changed)
    for entity in await organizations.billing_entities(conn, organization_id):
        if entity.is_default:
            await organizations.write_billing_entity(conn, _mirrored(entity, given, now=now))
    if asked.webhook_url is not UNSET:
        url = written(asked.webhook_url)
        await point_first_endpoint(conn, organization_id, url, endpoint_id=endpoint_id, now=now)
    return changed


def _mirrored(entity: BillingEntity, given: Mapping[str, Any], *, now: datetime) -> BillingEntity:
    own = {field: value for field, value in given.items() if field != "slug"}
    if own.get("document_numbering") == "per_organization":
        own["document_numbering"] = "per_billing_entity"
    mirrored: BillingEntity = msgspec.structs.replace(entity, **own, updated_at=now)
    return mirrored


class _Broken(Exception):  # noqa: N818  a rule that a field breaks, not an error
    """Raised with the code of the broken rule."""


def _given(asked: OrganizationInput) -> dict[str, Any]:
    """The fields that are given, read and checked."""
    billing = asked.billing_configuration or UNSET
    given: dict[str, Any] = {}
    broken: dict[str, list[str]] = {}
    for field, read in _READ.items():
        holder = billing if field in OrganizationBillingInput.__struct_fields__ else asked
        said = UNSET if holder is UNSET else getattr(holder, field)
        if said is UNSET:
            continue
        try:
            given[field] = read(said)
        except _Broken as rule:
            broken[field] = [str(rule)]
    if broken:
        raise Refused(invalid(broken))
    if isinstance(asked.finalize_zero_amount_invoice, bool):
        given["finalize_zero_amount_invoice"] = asked.finalize_zero_amount_invoice
    return given


def _text(said: Text) -> str | None:
    """As it was written; blank is nothing."""
    found = text(said)
    if "\0" in (found or ""):
        raise _Broken("value_is_invalid")  # the database has no such character
    return found


def _of_length(least: int, most: int) -> Callable[[Text], str | None]:
    def read(said: Text) -> str | None:
        found = _text(said)
        if len(found or "") < least:
            raise _Broken("value_is_too_short")
        if len(found or "") > most:
            raise _Broken("value_is_too_long")
        return found

    return read


def _code(
    known: Callable[[str], str | None], wrong: str = "value_is_invalid", *, may_be_null: bool
) -> Callable[[Text], str | None]:
    def read(said: Text) -> str | None:
        word = _text(said)
        if word is None and may_be_null:
            return None
        found = known(word or "")
        if found is None:
            raise _Broken(wrong)
        return found

    return read


def _itself(holds: Callable[[str], bool]) -> Callable[[str], str | None]:
    return lambda said: said if holds(said) else None


def _country(said: str) -> str | None:
    return said.upper() if is_country(said.upper()) else None


def _prefix(said: Text) -> str | None:
    found = _text(said)
    return _of_length(1, LONGEST_PREFIX)(found and found.upper())  # `ß` becomes two


def _logo_url(said: Text) -> str | None:
    found = _text(said)
    if found is None:
        return None
    if wrong := why_no_web_address(found, longest_bytes=LONGEST_URL, may_name_user=False):
        raise _Broken(wrong)
    return found


def _slug(said: Text) -> str:
    found = _of_length(0, LONGEST_SLUG)(said)
    if found is None:
        raise _Broken("value_is_mandatory")
    return found


def _days(said: int | None) -> int:
    if said is None:
        raise _Broken("value_is_mandatory")
    if not 0 <= said <= MAX_NET_PAYMENT_TERM_DAYS:
        raise _Broken("value_is_out_of_range")
    return said


def _mails(said: list[str] | None) -> tuple[str, ...]:
    if not set(said or ()) <= set(MAILS):
        raise _Broken("unsupported_value")
    return tuple(dict.fromkeys(said or ()))


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "country": _code(_country, "not_a_valid_country_code", may_be_null=True),
    "default_currency": _code(_itself(is_currency), may_be_null=False),
    "address_line1": _text,
    "address_line2": _text,
    "state": _text,
    "zipcode": _text,
    "email": _code(_itself(are_email_addresses), "invalid_email_format", may_be_null=True),
    "city": _text,
    "legal_name": _text,
    "legal_number": _text,
    "net_payment_term": _days,
    "tax_identification_number": _text,
    "timezone": _code(iana_timezone, "invalid_timezone", may_be_null=False),
    "document_numbering": _code(
        _itself(lambda said: said in {"per_customer", "per_organization"}), may_be_null=False
    ),
    "document_number_prefix": _prefix,
    "slug": _slug,
    "email_settings": _mails,
    "logo_url": _logo_url,
    "invoice_footer": _of_length(0, LONGEST_FOOTER),
    "invoice_grace_period": _days,
    "document_locale": _code(_itself(is_locale), "not_a_valid_language_code", may_be_null=False),
}
