"""Create, change and delete an organization's taxes (contract section 3.5)."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.catalogue import broken_texts
from recoup.rules.one_off_asks import NUMERIC
from recoup.rules.records.taxes import Tax
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import Text, written
from recoup.store import taxes
from recoup.store.db import Conn

_TEXTS: Final = ("name", "code", "description")


class TaxInput(msgspec.Struct, frozen=True):
    """What a caller says of a tax; what is absent stays as it is."""

    name: Text = UNSET
    code: Text = UNSET
    rate: float | str | UnsetType | None = UNSET
    description: Text = UNSET
    applied_to_organization: bool | UnsetType | None = UNSET


async def create_tax(
    conn: Conn, organization_id: UUID, asked: TaxInput, *, tax_id: UUID, now: datetime
) -> Tax:
    """Add a tax.

    :raises Refused: 422 for a missing name, code or rate, or a code that is taken.
    """
    blank = Tax(organization_id, tax_id, "", "", None, math.nan, now)
    tax = _with(blank, asked)
    try:
        await taxes.insert(conn, tax)
    except asyncpg.UniqueViolationError:
        raise Refused(invalid({"code": ["value_already_exist"]})) from None
    return await _applied(conn, tax, asked)


async def update_tax(
    conn: Conn, organization_id: UUID, code: str, asked: TaxInput, *, now: datetime
) -> Tax:
    """Change what is given of the tax with this code.

    :raises Refused: `tax_not_found`, or 422 as for creation.
    """
    if "\0" not in code:
        await taxes.lock_by_code(conn, organization_id, code)
    tax = _with(await find_tax(conn, organization_id, code), asked)
    try:
        await taxes.update(conn, tax, now=now)
    except asyncpg.UniqueViolationError:
        raise Refused(invalid({"code": ["value_already_exist"]})) from None
    return await _applied(conn, tax, asked)


async def delete_tax(conn: Conn, organization_id: UUID, code: str, *, now: datetime) -> Tax:
    """Delete the tax with this code, and answer what it was.

    :raises Refused: `tax_not_found`.
    """
    tax = await find_tax(conn, organization_id, code)
    await taxes.delete(conn, tax, now=now)
    return tax


async def find_tax(conn: Conn, organization_id: UUID, code: str) -> Tax:
    """Read the tax with this code.

    :raises Refused: `tax_not_found`.
    """
    found = await taxes.by_codes(conn, organization_id, [code])
    if code not in found:
        raise Refused(not_found("tax"))
    return found[code]


async def _applied(conn: Conn, tax: Tax, asked: TaxInput) -> Tax:
    if isinstance(asked.applied_to_organization, bool):
        await taxes.apply_to_default_entity(conn, tax, applied=asked.applied_to_organization)
    return await find_tax(conn, tax.organization_id, tax.code)


def _with(tax: Tax, asked: TaxInput) -> Tax:
    """The tax with what is asked put in, if that holds together."""
    given: dict[str, Any] = {
        field: written(said) for field in _TEXTS if (said := getattr(asked, field)) is not UNSET
    }
    if asked.rate is not UNSET:
        given["rate"] = _rate(asked.rate)
    changed: Tax = msgspec.structs.replace(tax, **given)
    broken = broken_texts(changed)
    if math.isnan(changed.rate):
        broken["rate"] = ["value_is_mandatory"]
    elif math.isinf(changed.rate):
        broken["rate"] = ["value_is_invalid"]
    if broken:
        raise Refused(invalid(broken))
    return changed


def _rate(said: float | str | None) -> float:
    """Percent, from a number or a numeric string; nan for none, infinity for what is no number."""
    if said is None or said == "":
        return math.nan
    readable = not isinstance(said, str) or NUMERIC.fullmatch(said)
    return float(said) if readable else math.inf
