"""Create, change and delete an organization's add-ons (contract section 3.6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from recoup.rules.catalogue import broken_texts
from recoup.rules.money import MAX_CENTS, is_currency
from recoup.rules.records.add_ons import AddOn
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import Scalar, Text, texts, written
from recoup.store import add_ons, taxes
from recoup.store.db import Conn

CODE_TAKEN: Final = invalid({"code": ["value_already_exist"]})
_TEXTS: Final = ("name", "invoice_display_name", "code", "description", "amount_currency")


class AddOnInput(msgspec.Struct, frozen=True):
    """What a caller says of an add-on; what is absent stays as it is."""

    name: Text = UNSET
    invoice_display_name: Text = UNSET
    code: Text = UNSET
    description: Text = UNSET
    amount_cents: int | UnsetType | None = UNSET
    amount_currency: Text = UNSET
    tax_codes: list[Scalar] | UnsetType | None = UNSET


async def create_add_on(
    conn: Conn, organization_id: UUID, asked: AddOnInput, *, add_on_id: UUID, now: datetime
) -> AddOn:
    """Add an add-on.

    :raises Refused: 422 for fields that break a rule or a code that is taken; `tax_not_found`.
    """
    blank = AddOn(organization_id, add_on_id, "", "", None, None, 0, "", now)
    add_on = _with(blank, asked)
    try:
        await add_ons.insert(conn, add_on)
    except asyncpg.UniqueViolationError:
        raise Refused(CODE_TAKEN) from None
    return await _with_taxes(conn, add_on, asked)


async def update_add_on(
    conn: Conn, organization_id: UUID, code: str, asked: AddOnInput, *, now: datetime
) -> AddOn:
    """Change what is given of the add-on with this code; given tax codes replace all others.

    :raises Refused: `add_on_not_found`, or as for creation.
    """
    if "\0" not in code:
        await add_ons.lock_by_code(conn, organization_id, code)
    add_on = _with(await find_add_on(conn, organization_id, code), asked)
    try:
        await add_ons.update(conn, add_on, now=now)
    except asyncpg.UniqueViolationError:
        raise Refused(CODE_TAKEN) from None
    return await _with_taxes(conn, add_on, asked)


async def delete_add_on(conn: Conn, organization_id: UUID, code: str, *, now: datetime) -> AddOn:
    """Delete the add-on with this code, and answer what it was.

    :raises Refused: `add_on_not_found`.
    """
    add_on = await find_add_on(conn, organization_id, code)
    await add_ons.delete(conn, add_on, now=now)
    return add_on


async def find_add_on(conn: Conn, organization_id: UUID, code: str) -> AddOn:
    """Read the add-on with this code.

    :raises Refused: `add_on_not_found`.
    """
    found = await add_ons.by_codes(conn, organization_id, [code])
    if code not in found:
        raise Refused(not_found("add_on"))
    return found[code]


async def _with_taxes(conn: Conn, add_on: AddOn, asked: AddOnInput) -> AddOn:
    if isinstance(asked.tax_codes, list):
        wanted = texts(asked.tax_codes)
        known = await taxes.by_codes(conn, add_on.organization_id, wanted)
        if not known.keys() >= set(wanted):
            raise Refused(not_found("tax"))
        await add_ons.apply_taxes(conn, add_on, known.values())
    return await find_add_on(conn, add_on.organization_id, add_on.code)


def _with(add_on: AddOn, asked: AddOnInput) -> AddOn:
    """The add-on with what is asked put in, if that holds together."""
    given: dict[str, Any] = {
        field: written(said) for field in _TEXTS if (said := getattr(asked, field)) is not UNSET
    }
    if asked.amount_cents is not UNSET:
        given["amount_cents"] = asked.amount_cents
    changed: AddOn = msgspec.structs.replace(add_on, **given)
    broken = broken_texts(changed)
    if not 0 < (changed.amount_cents or 0) <= MAX_CENTS:
        broken["amount_cents"] = ["value_is_out_of_range"]
    if not is_currency(changed.amount_currency or ""):
        broken["amount_currency"] = ["value_is_invalid"]
    if broken:
        raise Refused(invalid(broken))
    return changed
