"""Create a billing entity, or change one (contract section 3.2).

What would surprise you: the default one is changed here without its organization. The other way
round `flows/manage_organization` changes both.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.flows.manage_dunning_campaigns import campaign_to_apply
from recoup.flows.wake_dunned import ask_to_wake
from recoup.rules import tenant_fields
from recoup.rules.numbering import default_prefix
from recoup.rules.records.organizations import BillingEntity
from recoup.rules.records.taxes import Tax
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import Scalar, Text, text, texts
from recoup.store import organizations, taxes
from recoup.store.db import Conn


class EntityBillingInput(msgspec.Struct, frozen=True):
    """`billing_configuration` as a caller sends it."""

    invoice_footer: Text = UNSET
    invoice_grace_period: int | UnsetType | None = UNSET
    document_locale: Text = UNSET
    subscription_invoice_issuing_date_anchor: Text = UNSET
    subscription_invoice_issuing_date_adjustment: Text = UNSET


class BillingEntityChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller changes of a billing entity; what is absent stays as it is."""

    name: Text = UNSET
    default_currency: Text = UNSET
    country: Text = UNSET
    address_line1: Text = UNSET
    address_line2: Text = UNSET
    phone: Text = UNSET
    city: Text = UNSET
    state: Text = UNSET
    zipcode: Text = UNSET
    einvoicing: bool | UnsetType | None = UNSET
    email: Text = UNSET
    legal_name: Text = UNSET
    legal_number: Text = UNSET
    timezone: Text = UNSET
    net_payment_term: int | UnsetType | None = UNSET
    logo: Text = UNSET  # Lago's name for what it shows as `logo_url`: here, an address alone
    logo_url: Text = UNSET
    email_settings: list[str] | UnsetType | None = UNSET
    document_numbering: Text = UNSET
    document_number_prefix: Text = UNSET
    tax_identification_number: Text = UNSET
    finalize_zero_amount_invoice: bool | UnsetType | None = UNSET
    eu_tax_management: bool | UnsetType | None = UNSET
    tax_codes: list[Scalar] | UnsetType | None = UNSET
    billing_configuration: EntityBillingInput | UnsetType | None = UNSET
    applied_dunning_campaign_code: Text = UNSET  # ours; blank: none


class BillingEntityInput(BillingEntityChange, frozen=True, kw_only=True):
    """A new billing entity as a caller asks for it. Its code is its name for good."""

    code: Text = None


async def create_billing_entity(
    conn: Conn, organization_id: UUID, asked: BillingEntityInput, *, entity_id: UUID, now: datetime
) -> BillingEntity:
    """Add a billing entity; what is not said is as the contract's defaults have it.

    :raises Refused: 422, every broken field with its code; 404 `tax_not_found`,
        `dunning_campaign_not_found`.
    """
    mandatory = {field: getattr(asked, field) for field in ("code", "name")}
    missing = [field for field, said in mandatory.items() if text(said) is None]
    if missing:
        raise Refused(invalid({field: ["value_is_mandatory"] for field in missing}))
    given = _given(asked)
    campaign = await campaign_to_apply(conn, organization_id, asked.applied_dunning_campaign_code)
    await organizations.lock(conn, organization_id)  # of two with one code, the second sees it
    entities = await organizations.billing_entities(conn, organization_id)
    if any(entity.code == given["code"] for entity in entities):
        raise Refused(invalid({"code": ["value_already_exist"]}))
    entity = BillingEntity(
        organization_id=organization_id,
        id=entity_id,
        created_at=now,
        updated_at=now,
        applied_dunning_campaign_id=campaign,
        **{"document_number_prefix": default_prefix(given["name"], entity_id)} | given,
    )
    applied = await _taxes(conn, organization_id, asked)
    await organizations.insert_billing_entity(conn, entity)
    if applied is not None:
        await taxes.replace_of_billing_entity(conn, organization_id, entity.id, applied)
    return entity


async def update_billing_entity(
    conn: Conn, organization_id: UUID, code: str, asked: BillingEntityChange, *, now: datetime
) -> BillingEntity:
    """Change what is given of the billing entity with this code.

    :raises Refused: `billing_entity_not_found`; 422, every broken field; `tax_not_found`,
        `dunning_campaign_not_found`.
    """
    campaign = await campaign_to_apply(conn, organization_id, asked.applied_dunning_campaign_code)
    await organizations.lock(conn, organization_id)
    entity = await find_billing_entity(conn, organization_id, code)
    given = _given(asked)
    if asked.applied_dunning_campaign_code is not UNSET:
        given["applied_dunning_campaign_id"] = campaign
    applied = await _taxes(conn, organization_id, asked)
    changed: BillingEntity = msgspec.structs.replace(entity, **given, updated_at=now)
    await organizations.write_billing_entity(conn, changed)
    if changed.applied_dunning_campaign_id != entity.applied_dunning_campaign_id:
        await ask_to_wake(conn, organization_id, now=now)
    if applied is not None:
        await taxes.replace_of_billing_entity(conn, organization_id, entity.id, applied)
    return changed


async def find_billing_entity(conn: Conn, organization_id: UUID, code: str) -> BillingEntity:
    """The organization's billing entity with this code.

    :raises Refused: `billing_entity_not_found`.
    """
    for entity in await organizations.billing_entities(conn, organization_id):
        if entity.code == code:
            return entity
    raise Refused(not_found("billing_entity"))


def _given(asked: BillingEntityChange) -> dict[str, Any]:
    own = msgspec.structs.asdict(asked)
    billing = own.pop("billing_configuration") or UNSET
    del own["tax_codes"], own["applied_dunning_campaign_code"]
    said = own | ({} if billing is UNSET else msgspec.structs.asdict(billing))
    given = tenant_fields.given(said, null_stays=True)
    if "logo" in given:  # whoever says both may mean the one that they read here
        given = {"logo_url": given.pop("logo")} | given
    if given.get("document_numbering") == "per_organization":  # an organization's word for it
        raise Refused(invalid({"document_numbering": ["value_is_invalid"]}))
    return given


async def _taxes(
    conn: Conn, organization_id: UUID, asked: BillingEntityChange
) -> Collection[Tax] | None:
    """The taxes that are asked for; None where nothing is said of them."""
    if not isinstance(asked.tax_codes, list):
        return None
    codes = set(texts(asked.tax_codes))
    found = await taxes.by_codes(conn, organization_id, codes)
    if len(found) < len(codes):
        raise Refused(not_found("tax"))
    return found.values()
