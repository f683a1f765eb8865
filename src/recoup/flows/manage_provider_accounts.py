"""Find, change and take away an organization's accounts at providers.

The one way for the REST resource, which names an account by its id, and for the command line, which
names it by its code.

What would surprise you:
- A new webhook secret does not end the old one: both are believed until somebody says that the
  provider uses the new one alone (`drops_previous`), so no event is refused meanwhile. A third is
  refused until then: it could only take the place of one that the provider may sign with.
- What visibly is another account's secret is refused: a charge whose answer was lost is sent again,
  and at another account the same key would charge once more. Another account is added, not changed.
- An account that is removed is still asked about what was sent through it. Nothing new is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from recoup.flows.add_provider_account import audit_account, open_secrets, seal_secrets
from recoup.flows.find_organization import organization_must_exist
from recoup.flows.wake_account import wake_account
from recoup.rules.account_secrets import (
    are_of_other_calls,
    names_of_another_account,
    names_that_end_a_good_one,
    secrets_after,
    wrong_secrets,
)
from recoup.rules.account_settings import (
    AccountSettings,
    with_settings,
    wrong_settings,
    wrong_texts,
)
from recoup.rules.persons_word import unsaid
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.store import db, provider_accounts, provider_health, waiting_attempts
from recoup.store.db import Conn, Pool
from recoup.store.secret_box import SecretBox

OF_ANOTHER_ACCOUNT: Final = "value_is_of_another_account"
ENDS_A_GOOD_ONE: Final = (
    "would end a secret that is still good: say first that it is over, by drop_previous_secret"
    " (--drop-previous)"
)


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be otherwise; None and empty leave it as it is."""

    by: str
    name: str | None = None
    settings: AccountSettings = AccountSettings()
    secrets: Mapping[str, str] = {}  # by the adapter's names
    drops_previous: bool = False  # the one of before, which the provider uses no longer


async def list_provider_accounts(conn: Conn, organization_id: UUID) -> list[ProviderAccount]:
    """The organization's live accounts, oldest first.

    :raises Refused: `organization_not_found`.
    """
    await organization_must_exist(conn, organization_id)
    return await provider_accounts.live(conn, organization_id)


async def find_provider_account(
    conn: Conn, organization_id: UUID, account_id: UUID | None
) -> ProviderAccount:
    """Read a live account; `account_id` None is what no UUID could be read from.

    :raises Refused: `payment_provider_not_found`.
    """
    key = RowKey(organization_id, account_id) if account_id else None
    account = (await provider_accounts.by_ids(conn, [key])).get(key) if key else None
    if account is None or account.deleted_at is not None:
        raise Refused(not_found("payment_provider"))
    return account


async def change_provider_account(
    conn: Conn,
    organization_id: UUID,
    which: str | UUID | None,
    change: AccountChange,
    *,
    box: SecretBox,
    audit_id: UUID,
    now: datetime,
) -> ProviderAccount:
    """Change the live account with this code or id, and answer what it is now.

    Where it gives secrets the caller lets `try_new_secrets` follow, once this is committed.

    :raises Refused: `payment_provider_not_found`; 422 for a blank `by` or `name`, an address that
        is none, secrets that are not those of its kind, a secret of another account, and a webhook
        secret that would end one which is still good.
    :raises WrongSecretKeyError: secrets are to be changed, and those that are kept do not open.
    """
    account = await _locked(conn, organization_id, which)
    broken = unsaid(by=change.by) | wrong_settings(change.settings)
    broken |= wrong_secrets(account.kind, change.secrets, is_new=False)
    told = change.settings.told
    if change.name is not None:
        broken |= wrong_texts(name=change.name)
        told["name"] = change.name
    if broken:
        raise Refused(invalid(broken))
    changed = with_settings(account, change.settings)
    if change.name is not None:
        changed = msgspec.structs.replace(changed, name=change.name)
    makes_other_calls = False
    if change.secrets or change.drops_previous:
        kept = open_secrets(account, box)
        secrets = _new_secrets(kept, change)
        makes_other_calls = are_of_other_calls(kept, secrets)
        if secrets != kept:
            sealed = seal_secrets(secrets, organization_id, account.id, box)
            changed = msgspec.structs.replace(changed, secrets_sealed=sealed)
    await provider_accounts.write(conn, changed)
    if makes_other_calls:  # the key that was refused may be another one now: try it at once
        await provider_health.trust_key(conn, account.key)
    detail = {
        "code": account.code,
        "settings": told,
        "secrets_given": sorted(change.secrets),  # their names alone
        "drops_previous": change.drops_previous,
    }
    await audit_account(conn, changed, "changed", change.by, detail, audit_id=audit_id, now=now)
    return changed


async def try_new_secrets(
    pool: Pool, account: RowKey, given: Mapping[str, str], *, now: datetime
) -> None:
    """After a change that gave these was committed: what waits for calls with them is due."""
    if not are_of_other_calls({}, given):
        return
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        health = (await provider_health.find(conn, [account])).get(account)
    if health is not None and health.key.since is not None:
        return  # it was given the key that is refused once more
    await wake_account(pool, account, now=now)
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        await waiting_attempts.look_up_soon(conn, account, now=now)


async def remove_provider_account(
    conn: Conn,
    organization_id: UUID,
    which: str | UUID | None,
    *,
    by: str,
    audit_id: UUID,
    now: datetime,
) -> ProviderAccount:
    """Take the account with this code or id away, and answer what it was.

    Whoever is linked to it is charged no more: a retry is refused as of a customer without a
    provider. What was sent through it is asked about until it ends.

    :raises Refused: `payment_provider_not_found`; 422 for a blank `by`.
    """
    if broken := unsaid(by=by):
        raise Refused(invalid(broken))
    account = await _locked(conn, organization_id, which)
    gone = msgspec.structs.replace(account, deleted_at=now)
    await provider_accounts.write(conn, gone)
    detail = {"code": account.code}
    await audit_account(conn, gone, "removed", by, detail, audit_id=audit_id, now=now)
    return gone


async def _locked(conn: Conn, organization_id: UUID, which: str | UUID | None) -> ProviderAccount:
    """The account with this code or id; None is what no UUID could be read from."""
    account = None
    if which is not None:
        account = await provider_accounts.lock(conn, organization_id, which)
    if account is None:
        raise Refused(not_found("payment_provider"))
    return account


def _new_secrets(kept: Mapping[str, str], change: AccountChange) -> dict[str, str]:
    given, drops = change.secrets, change.drops_previous
    broken = {name: [OF_ANOTHER_ACCOUNT] for name in names_of_another_account(kept, given)}
    ending = names_that_end_a_good_one(kept, given, drops_previous=drops)
    if broken := broken | {name: [ENDS_A_GOOD_ONE] for name in ending}:
        raise Refused(invalid(broken))
    return secrets_after(kept, given, drops_previous=drops)
