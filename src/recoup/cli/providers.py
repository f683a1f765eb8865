"""`recoup provider`: an organization's accounts at payment providers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recoup.cli.running import (
    AsJson,
    By,
    DataDir,
    OrganizationId,
    fail,
    instant,
    settings_or_end,
    show_answer,
    with_database,
)
from recoup.rules.account_secrets import ACCOUNT_SECRETS, AccountSecret, why_wrong, with_made_up
from recoup.rules.account_settings import AccountSettings
from recoup.rules.records.provider_accounts import ProviderAccount

if TYPE_CHECKING:
    from recoup.store.secret_box import SecretBox

provider = typer.Typer(no_args_is_help=True, help="Accounts at payment providers.")
Code = Annotated[str, typer.Argument(help="The account's code, as `provider list` shows it.")]


def _secret(one: AccountSecret) -> str:
    """A secret out of the environment, or asked for without showing it."""
    said = str(os.environ.get(one.variable) or typer.prompt(one.variable, hide_input=True))
    if (why := why_wrong(one, said)) is not None:
        fail(
            f"{one.variable} is wrong ({why}): it is empty, too long, of another form, or has"
            " blanks or control characters around it."
        )
    return said


@provider.command("add")
def add_provider(
    kind: Annotated[str, typer.Argument(help="stripe, adyen, gocardless or sandbox.")],
    organization_id: OrganizationId,
    code: Annotated[str, typer.Option(help="What customers name it by.")],
    name: Annotated[
        str | None, typer.Option(help="What people call it; the code otherwise.")
    ] = None,
    by: By = "operator",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add an account at a payment provider.

    Its secrets are taken from the environment, or asked for: a command line is there for all to
    read. The sandbox needs none: it is given new ones.
    """
    from recoup import clock
    from recoup.flows.add_provider_account import add_provider_account
    from recoup.store import db
    from recoup.wiring.opening import Opened

    if kind not in ACCOUNT_SECRETS:
        fail(f"There is no adapter for {kind}: choose stripe, adyen, gocardless or sandbox.")
    public_url = _public_url(data_dir)
    given = {
        one.name: _secret(one)
        for one in ACCOUNT_SECRETS[kind]
        if os.environ.get(one.variable) or (one.mandatory and one.made_as is None)
    }
    secrets = with_made_up(kind, given, clock.new_secret)

    async def run(base: Opened) -> dict[str, Any]:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            added = await add_provider_account(
                conn, organization_id, kind=kind, code=code, name=name or code, secrets=secrets,
                box=base.box, account_id=clock.new_id(), now=clock.now(), by=by,
            )  # fmt: skip
        return _shown(added, base.box, public_url)

    show_answer(with_database(data_dir, run), as_json=as_json)


@provider.command("list")
def list_providers(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List an organization's accounts at payment providers, without their secrets."""
    from recoup.flows.manage_provider_accounts import list_provider_accounts
    from recoup.store import db
    from recoup.wiring.opening import Opened

    public_url = _public_url(data_dir)

    async def run(base: Opened) -> dict[str, Any]:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            found = await list_provider_accounts(conn, organization_id)
        shown = [_shown(account, base.box, public_url) for account in found]
        return {"provider_accounts": shown}

    show_answer(with_database(data_dir, run), as_json=as_json)


@provider.command("update")
def update_provider(
    code: Code,
    organization_id: OrganizationId,
    by: By,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    success_redirect_url: Annotated[
        str | None, typer.Option(help="Where a payer goes after the provider's page.")
    ] = None,
    supports_3ds: Annotated[
        bool | None, typer.Option(help="Whether its payers may be asked to authenticate.")
    ] = None,
    refund_surprises: Annotated[
        bool | None, typer.Option(help="Whether money that belongs to no invoice is paid back.")
    ] = None,
    drop_previous: Annotated[
        bool, typer.Option("--drop-previous", help="End the webhook secret of before.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change an account. Those of its secrets that are in the environment take the old ones' place.

    A new webhook secret leaves the old one good until `--drop-previous`, and a third is refused
    until then.
    """
    from recoup import clock
    from recoup.flows.manage_provider_accounts import (
        AccountChange,
        change_provider_account,
        list_provider_accounts,
        try_new_secrets,
    )
    from recoup.store import db
    from recoup.wiring.opening import Opened

    public_url = _public_url(data_dir)
    settings = AccountSettings(
        success_redirect_url=success_redirect_url, supports_3ds=supports_3ds,
        refund_surprises=refund_surprises,
    )  # fmt: skip

    async def run(base: Opened) -> dict[str, Any]:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            found = await list_provider_accounts(conn, organization_id)
        kinds = {one.code: one.kind for one in found}
        secrets = {
            one.name: _secret(one)
            for one in ACCOUNT_SECRETS.get(kinds.get(code, ""), ())
            if os.environ.get(one.variable)
        }
        change = AccountChange(
            by=by, name=name, settings=settings, secrets=secrets, drops_previous=drop_previous,
        )  # fmt: skip
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            changed = await change_provider_account(
                conn, organization_id, code, change, box=base.box, audit_id=clock.new_id(),
                now=clock.now(),
            )  # fmt: skip
        await try_new_secrets(base.pool, changed.key, secrets, now=clock.now())
        return _shown(changed, base.box, public_url) | {"secrets_given": sorted(secrets)}

    show_answer(with_database(data_dir, run), as_json=as_json)


@provider.command("remove")
def remove_provider(
    code: Code,
    organization_id: OrganizationId,
    by: By,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take an account away: nothing new is charged there; what was sent is still asked about."""
    from recoup import clock
    from recoup.flows.manage_provider_accounts import remove_provider_account
    from recoup.store import db
    from recoup.wiring.opening import Opened

    public_url = _public_url(data_dir)

    async def run(base: Opened) -> dict[str, Any]:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            gone = await remove_provider_account(
                conn, organization_id, code, by=by, audit_id=clock.new_id(), now=clock.now()
            )
        return _shown(gone, base.box, public_url) | {"removed": True}

    show_answer(with_database(data_dir, run), as_json=as_json)


def _public_url(data_dir: Path | None) -> str:
    """The address at which the outside reaches us; empty where nobody has said it."""
    return str(settings_or_end(data_dir).public_url or "").rstrip("/")


def _shown(account: ProviderAccount, box: SecretBox, public_url: str) -> dict[str, Any]:
    """An account without its secrets."""
    from recoup.flows.add_provider_account import names_of_secrets

    return {
        "provider_account_id": str(account.id),
        "payment_provider": account.kind.value,
        "payment_provider_code": account.code,
        "name": account.name,
        "success_redirect_url": account.success_redirect_url,
        "supports_3ds": account.supports_3ds,
        "refund_surprises": account.refund_surprises,
        "secrets_set": names_of_secrets(account, box),
        "webhook_path": account.webhook_path,
        "webhook_url": f"{public_url}{account.webhook_path}" if public_url else None,
        "created_at": instant(account.created_at),
    }
