"""Change an organization's account at a provider, or take it away.

What would surprise you:
- A new webhook secret does not end the old one: both are believed until somebody says that the
  provider uses the new one alone (`drops_previous`), so no event is refused meanwhile.
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

from recoup.flows.add_provider_account import open_secrets, seal_secrets
from recoup.flows.find_organization import organization_must_exist
from recoup.flows.note_outcome import send_soon
from recoup.rules.account_secrets import KEPT_AS, names_of_another_account
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.store import attempts, audit_log, provider_accounts, provider_health
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Conn
from recoup.store.secret_box import SecretBox

LONGEST_URL: Final = 1_024


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be otherwise; None and empty leave it as it is."""

    by: str
    name: str | None = None
    success_redirect_url: str | None = None  # "": the provider's own site
    supports_3ds: bool | None = None
    refund_surprises: bool | None = None
    secrets: Mapping[str, str] = {}  # by the adapter's names
    drops_previous: bool = False  # the secrets that the provider uses no longer


async def list_provider_accounts(conn: Conn, organization_id: UUID) -> list[ProviderAccount]:
    """The organization's live accounts, oldest first.

    :raises Refused: `organization_not_found`.
    """
    await organization_must_exist(conn, organization_id)
    return await provider_accounts.live(conn, organization_id)


async def change_provider_account(
    conn: Conn,
    organization_id: UUID,
    code: str,
    change: AccountChange,
    *,
    box: SecretBox,
    audit_id: UUID,
    now: datetime,
) -> ProviderAccount:
    """Change the live account with this code, and answer what it is now.

    :raises Refused: `payment_provider_not_found`; 422 for a blank `by` or `name`, an address that
        is none, and a secret of another account (`value_is_of_another_account`).
    """
    _refuse_what_is_wrong(change)
    account = await _locked(conn, organization_id, code)
    fields = {
        "name": change.name,
        "success_redirect_url": change.success_redirect_url,
        "supports_3ds": change.supports_3ds,
        "refund_surprises": change.refund_surprises,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    kept = open_secrets(account, box)
    if elsewhere := names_of_another_account(kept, change.secrets):
        raise Refused(invalid({name: ["value_is_of_another_account"] for name in elsewhere}))
    secrets = _new_secrets(kept, change)
    changed = msgspec.structs.replace(account, **told)
    if not changed.success_redirect_url:
        changed = msgspec.structs.replace(changed, success_redirect_url=None)
    if secrets is not None:
        sealed = seal_secrets(secrets, organization_id, account.id, box)
        changed = msgspec.structs.replace(changed, secrets_sealed=sealed)
    await provider_accounts.write(conn, changed)
    if secrets is not None:  # the key that was refused may be another one now: try it at once
        await provider_health.trust_key(conn, account.key)
        await send_soon(conn, account.key, now=now)
        await attempts.look_up_soon(conn, account.key, now=now)
    detail = {
        "code": code,
        "settings": told,
        "secrets_given": sorted(change.secrets),  # their names alone
        "drops_previous": change.drops_previous,
    }
    await _audit(conn, changed, "changed", change.by, detail, audit_id=audit_id, now=now)
    return changed


async def remove_provider_account(
    conn: Conn, organization_id: UUID, code: str, *, by: str, audit_id: UUID, now: datetime
) -> ProviderAccount:
    """Take the account with this code away, and answer what it was.

    Whoever is linked to it is charged no more: a retry is refused as of a customer without a
    provider. What was sent through it is asked about until it ends.

    :raises Refused: `payment_provider_not_found`; 422 for a blank `by`.
    """
    _refuse_what_is_wrong(AccountChange(by=by))
    account = await _locked(conn, organization_id, code)
    gone = msgspec.structs.replace(account, deleted_at=now)
    await provider_accounts.write(conn, gone)
    await _audit(conn, gone, "removed", by, {"code": code}, audit_id=audit_id, now=now)
    return gone


def _refuse_what_is_wrong(change: AccountChange) -> None:
    broken = {}
    if not change.by.strip():
        broken["by"] = ["value_is_mandatory"]
    if change.name is not None and not change.name.strip():
        broken["name"] = ["value_is_mandatory"]
    url = change.success_redirect_url
    if url and (not url.startswith(("https://", "http://")) or len(url) > LONGEST_URL):
        broken["success_redirect_url"] = ["url_invalid"]
    if broken:
        raise Refused(invalid(broken))


async def _locked(conn: Conn, organization_id: UUID, code: str) -> ProviderAccount:
    account = await provider_accounts.lock_by_code(conn, organization_id, code)
    if account is None:
        raise Refused(not_found("payment_provider"))
    return account


def _new_secrets(kept: dict[str, str], change: AccountChange) -> dict[str, str] | None:
    """The secrets from now on; None: they stay as they are."""
    new = dict(kept)
    if change.drops_previous:
        for previous in KEPT_AS.values():
            new.pop(previous, None)
    for name, secret in change.secrets.items():
        is_exchanged = name in KEPT_AS and kept.get(name, secret) != secret
        if is_exchanged and not change.drops_previous:
            new[KEPT_AS[name]] = kept[name]
        new[name] = secret
    return new if new != kept else None


async def _audit(
    conn: Conn,
    account: ProviderAccount,
    what: str,
    by: str,
    detail: Mapping[str, object],
    *,
    audit_id: UUID,
    now: datetime,
) -> None:
    entry = AuditEntry(
        organization_id=account.organization_id,
        id=audit_id,
        actor=by.strip(),
        action=f"payment_provider.{what}",
        object_id=account.id,
        detail=detail,
    )
    await audit_log.write(conn, [entry], now=now)
