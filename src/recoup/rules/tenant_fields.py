"""Read what a tenant says of itself and of its invoices, field by field.

For an organization and for its billing entities, which have most fields in common (contract
sections 3.1 and 3.2). Each function answers the value, or names the rule that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import UNSET

from recoup.rules.email_addresses import are_email_addresses
from recoup.rules.invoice_dates import MAX_NET_PAYMENT_TERM_DAYS
from recoup.rules.money import is_currency
from recoup.rules.places import iana_timezone, is_country, is_locale
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Text, text
from recoup.rules.web_addresses import why_no_web_address

LONGEST_FOOTER: Final = 600
LONGEST_PREFIX: Final = 10
LONGEST_NAME: Final = 255
LONGEST_URL: Final = 2_048
MAILS: Final = ("invoice.finalized", "credit_note.created", "payment_receipt.created")


class _Broken(Exception):  # noqa: N818  a rule that a field breaks, not an error
    """Raised with the code of the broken rule."""


def given(asked: Mapping[str, Any], *, null_stays: bool) -> dict[str, Any]:
    """The fields that are given, read and checked.

    :param asked: what was said of each field; unset where nothing was.
    :param null_stays: null leaves as it is what cannot be empty; else it is refused.
    :raises Refused: 422, every broken field with its code.
    """
    found: dict[str, Any] = {}
    broken: dict[str, list[str]] = {}
    for field, said in asked.items():
        if said is UNSET or (null_stays and said is None and field in _NEVER_EMPTY):
            continue
        try:
            found[field] = _READ[field](said)
        except _Broken as rule:
            broken[field] = [str(rule)]
    if broken:
        raise Refused(invalid(broken))
    return found


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


def _name(said: Text) -> str:
    found = _of_length(0, LONGEST_NAME)(said)
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


def _one_of(*words: str) -> Callable[[Text], str | None]:
    return _code(_itself(lambda said: said in words), may_be_null=False)


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "code": _name,
    "name": _name,
    "country": _code(_country, "not_a_valid_country_code", may_be_null=True),
    "default_currency": _code(_itself(is_currency), may_be_null=False),
    "address_line1": _text,
    "address_line2": _text,
    "state": _text,
    "zipcode": _text,
    "phone": _text,
    "email": _code(_itself(are_email_addresses), "invalid_email_format", may_be_null=True),
    "city": _text,
    "legal_name": _text,
    "legal_number": _text,
    "net_payment_term": _days,
    "tax_identification_number": _text,
    "timezone": _code(iana_timezone, "invalid_timezone", may_be_null=False),
    "document_numbering": _one_of("per_customer", "per_organization", "per_billing_entity"),
    "document_number_prefix": _prefix,
    "finalize_zero_amount_invoice": bool,
    "einvoicing": bool,
    "eu_tax_management": bool,
    "slug": _name,
    "email_settings": _mails,
    "logo": _logo_url,
    "logo_url": _logo_url,
    "invoice_footer": _of_length(0, LONGEST_FOOTER),
    "invoice_grace_period": _days,
    "document_locale": _code(_itself(is_locale), "not_a_valid_language_code", may_be_null=False),
    "subscription_invoice_issuing_date_anchor": _one_of("current_period_end", "next_period_start"),
    "subscription_invoice_issuing_date_adjustment": _one_of(
        "align_with_finalization_date", "keep_anchor"
    ),
}
_NEVER_EMPTY: Final = _READ.keys() - {
    "country", "address_line1", "address_line2", "state", "zipcode", "phone", "email", "city",
    "legal_name", "legal_number", "tax_identification_number", "invoice_footer",
    "logo", "logo_url",
}  # fmt: skip
