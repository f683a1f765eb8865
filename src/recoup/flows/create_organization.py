"""Create a tenant: the organization, its default billing entity and its first API key."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.numbering import default_prefix
from recoup.rules.records.organizations import BillingEntity, Organization
from recoup.store import api_keys, db, organizations
from recoup.store.db import Pool
from recoup.store.sealed_columns import HMAC_KEY
from recoup.store.secret_box import SecretBox


class NewOrganization(msgspec.Struct, frozen=True):
    """What the edge brings for a new tenant: a name, ids and secrets."""

    name: str
    organization_id: UUID
    billing_entity_id: UUID
    key_id: UUID
    api_key: str
    hmac_key: str  # signs outgoing webhooks


async def create_organization(
    pool: Pool, asked: NewOrganization, *, box: SecretBox, now: datetime
) -> str:
    """Create the tenant and answer the code of its default billing entity."""
    code = _slug(asked.name)
    prefix = default_prefix(asked.name, asked.organization_id)
    sealed = box.seal(
        asked.hmac_key.encode(),
        organization_id=asked.organization_id,
        row=asked.organization_id,
        field=HMAC_KEY,
    )
    organization = Organization(
        id=asked.organization_id,
        name=asked.name,
        slug=code,
        document_number_prefix=prefix,
        hmac_key_sealed=sealed,
        created_at=now,
        updated_at=now,
    )
    entity = BillingEntity(
        organization_id=asked.organization_id,
        id=asked.billing_entity_id,
        code=code,
        name=asked.name,
        is_default=True,
        document_number_prefix=prefix,
        created_at=now,
        updated_at=now,
    )
    async with db.transaction(pool, tenants=[asked.organization_id]) as conn:
        await organizations.insert(conn, organization)
        await organizations.insert_billing_entity(conn, entity)
        await api_keys.insert(
            conn, asked.organization_id, asked.key_id, asked.api_key,
            name="first", expires_at=None, now=now,
        )  # fmt: skip
    return code


def _slug(name: str) -> str:
    """A name as a code: lower case, words joined by dashes, never empty."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "organization"
