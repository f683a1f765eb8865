"""`recoup organization` and `key`: tenants, and who may call for them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from recoup.cli.running import (
    AsJson,
    By,
    DataDir,
    OrganizationId,
    fail,
    instant,
    show_answer,
    with_database,
)

if TYPE_CHECKING:
    from recoup.store.api_keys import ApiKey

Permission = Annotated[
    list[str] | None,
    typer.Option(
        help="`invoice:read`, or `invoice` to read and write; again for another. Without any the"
        " key may do everything."
    ),
]
organization = typer.Typer(no_args_is_help=True, help="Tenants.")
key = typer.Typer(no_args_is_help=True, help="API keys.")


@organization.command("create")
def create_organization_command(
    name: Annotated[str, typer.Argument(help="The organization's name.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create a tenant, its default billing entity and its first API key, shown once."""
    from recoup import clock
    from recoup.flows.create_organization import NewOrganization, create_organization
    from recoup.wiring.opening import Opened

    if not name.strip():
        fail("NAME is empty: give the organization a name.")

    async def run(base: Opened) -> dict[str, Any]:
        asked = NewOrganization(
            name=name.strip(),
            organization_id=clock.new_id(),
            billing_entity_id=clock.new_id(),
            key_id=clock.new_id(),
            api_key=clock.new_secret("recoup_"),
            hmac_key=clock.new_secret(""),
        )
        code = await create_organization(base.pool, asked, box=base.box, now=clock.now())
        return {
            "organization_id": str(asked.organization_id),
            "api_key": asked.api_key,
            "hmac_key": asked.hmac_key,
            "billing_entity_code": code,
        }

    show_answer(with_database(data_dir, run), as_json=as_json)


@key.command("create")
def create_key(
    organization_id: OrganizationId,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_at: Annotated[
        datetime | None, typer.Option(help="When it ends, UTC; never if left out.")
    ] = None,
    permission: Permission = None,
    by: By = "operator",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key, shown once."""
    from datetime import UTC

    from recoup import clock
    from recoup.flows.manage_keys import create_key as flow
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        key_id, audit_id, secret = clock.new_id(), clock.new_id(), clock.new_secret("recoup_")
        until = expires_at.replace(tzinfo=UTC) if expires_at else None
        await flow(
            base.pool, organization_id, key_id=key_id, key=secret, name=name, expires_at=until,
            by=by, audit_id=audit_id, now=clock.now(), permissions=permission or None,
        )  # fmt: skip
        return {"key_id": str(key_id), "api_key": secret, "expires_at": instant(until)}

    show_answer(with_database(data_dir, run), as_json=as_json)


@key.command("list")
def list_keys(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List an organization's API keys: their ids, last characters and permissions, never the keys.

    Without a list of its own a key may do everything, and its `permissions` are null.
    """
    from recoup.flows.manage_keys import list_keys as flow
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        keys = await flow(base.pool, organization_id)
        return {"keys": [_shown(one) for one in keys]}

    show_answer(with_database(data_dir, run), as_json=as_json)


@key.command("change")
def change_key(
    key_id: Annotated[UUID, typer.Argument(help="The key's id, as `key list` shows it.")],
    organization_id: OrganizationId,
    by: By,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    expires_at: Annotated[datetime | None, typer.Option(help="When it ends, UTC.")] = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="It has no end.")] = False,
    permission: Permission = None,
    all_permissions: Annotated[
        bool, typer.Option("--all-permissions", help="It may do everything.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change an API key: what is said, and nothing else. It holds from the key's next request on.

    `--permission` says all that the key may do from then on, not what is added.
    """
    from datetime import UTC

    from msgspec import UNSET

    from recoup import clock
    from recoup.flows.manage_keys import change_key as flow
    from recoup.rules.records.keys import RowKey
    from recoup.store.api_keys import KeyChange
    from recoup.wiring.opening import Opened

    if expires_at and never_expires:
        fail("--expires-at and --never-expires contradict each other: give one of them.")
    if permission and all_permissions:
        fail("--permission and --all-permissions contradict each other: give one of them.")
    until = None if never_expires else expires_at.replace(tzinfo=UTC) if expires_at else UNSET
    said = KeyChange(
        name=UNSET if name is None else name,
        expires_at=until,
        permissions=None if all_permissions else tuple(permission) if permission else UNSET,
    )

    async def run(base: Opened) -> dict[str, Any]:
        audit_id, whose = clock.new_id(), RowKey(organization_id, key_id)
        changed = await flow(base.pool, whose, said, by=by, audit_id=audit_id, now=clock.now())
        return _shown(changed) | {"audit_id": str(audit_id)}

    show_answer(with_database(data_dir, run), as_json=as_json)


@key.command("revoke")
def revoke_key(
    key_id: Annotated[UUID, typer.Argument(help="The key's id, as `key list` shows it.")],
    organization_id: OrganizationId,
    by: By = "operator",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Revoke an API key: its next request is refused."""
    from recoup import clock
    from recoup.flows.manage_keys import revoke_key as flow
    from recoup.rules.records.keys import RowKey
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        audit_id, whose = clock.new_id(), RowKey(organization_id, key_id)
        await flow(base.pool, whose, by=by, audit_id=audit_id, now=clock.now())
        return {"key_id": str(key_id), "revoked": True}

    show_answer(with_database(data_dir, run), as_json=as_json)


def _shown(one: ApiKey) -> dict[str, Any]:
    from recoup.rules.key_permissions import by_resource

    return {
        "key_id": str(one.id),
        "name": one.name,
        "last4": one.last4,
        "permissions": None if one.permissions is None else by_resource(one.permissions),
        "created_at": instant(one.created_at),
        "expires_at": instant(one.expires_at),
        "revoked_at": instant(one.revoked_at),
    }
