"""Change what an organization says of itself and its invoices (contract section 3.1).

Its default billing entity says the same: whatever is changed here is changed there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.flows.manage_webhook_endpoints import point_first_endpoint
from recoup.rules import tenant_fields
from recoup.rules.records.organizations import BillingEntity, Organization
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Text, written
from recoup.store import organizations
from recoup.store.db import Conn


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
    given = tenant_fields.given(_asked(asked), null_stays=False)
    if given.get("document_numbering") == "per_billing_entity":  # the entities' word for it
        raise Refused(invalid({"document_numbering": ["value_is_invalid"]}))
    changed: Organization = msgspec.structs.replace(organization, **given, updated_at=now)
    await organizations.write(conn, changed)
    for entity in await organizations.billing_entities(conn, organization_id):
        if entity.is_default:
            await organizations.write_billing_entity(conn, _mirrored(entity, given, now=now))
    if asked.webhook_url is not UNSET:
        url = written(asked.webhook_url)
        await point_first_endpoint(conn, organization_id, url, endpoint_id=endpoint_id, now=now)
    return changed


def _asked(asked: OrganizationInput) -> dict[str, Any]:
    """What was said of each field, those within `billing_configuration` too."""
    own = msgspec.structs.asdict(asked)
    billing = own.pop("billing_configuration") or UNSET
    del own["webhook_url"]
    if own["finalize_zero_amount_invoice"] is None:
        own["finalize_zero_amount_invoice"] = UNSET
    return own | ({} if billing is UNSET else msgspec.structs.asdict(billing))


def _mirrored(entity: BillingEntity, given: Mapping[str, Any], *, now: datetime) -> BillingEntity:
    own = {field: value for field, value in given.items() if field != "slug"}
    if own.get("document_numbering") == "per_organization":
        own["document_numbering"] = "per_billing_entity"
    mirrored: BillingEntity = msgspec.structs.replace(entity, **own, updated_at=now)
    return mirrored
