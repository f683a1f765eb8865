"""Add an organization's account at a payment provider, with its secrets sealed; and open those.

The one way in for the REST resource and the command line: both are checked and audited here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from recoup.flows.find_organization import organization_must_exist
from recoup.rules.account_secrets import wrong_secrets
from recoup.rules.account_settings import (
    AccountSettings,
    with_settings,
    wrong_settings,
    wrong_texts,
)
from recoup.rules.persons_word import unsaid
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.rules.refusal import Refused, invalid
from recoup.store import audit_log, provider_accounts
from recoup.store.audit_log import AuditEntry
from recoup.store.db import Conn
from recoup.store.sealed_columns import SECRETS
from recoup.store.secret_box import SecretBox, WrongSecretKeyError

OPERATOR: Final = "operator"  # who is at the command line, and does not say their name
_NO_SETTINGS: Final = AccountSettings()


async def add_provider_account(
    conn: Conn,
    organization_id: UUID,
    kind: str,
    code: str,
    name: str,
    secrets: Mapping[str, str],
    *,
    box: SecretBox,
    account_id: UUID,
    now: datetime,
    by: str = OPERATOR,
    settings: AccountSettings = _NO_SETTINGS,
) -> ProviderAccount:
    """Add the account; `secrets` are what its provider's adapter wants, by name.

    :raises Refused: `organization_not_found`; 422 for a kind that we do not know, secrets that are
        not those of its kind, a blank code, name or `by`, or a code that is taken.
    """
    await organization_must_exist(conn, organization_id)
    broken = unsaid(by=by) | wrong_texts(code=code, name=name) | wrong_settings(settings)
    if kind in {*ProviderKind}:
        broken |= wrong_secrets(kind, secrets, is_new=True)
    else:
        broken["provider_type"] = ["value_is_invalid" if kind.strip() else "value_is_mandatory"]
    if broken:
        raise Refused(invalid(broken))
    sealed = seal_secrets(secrets, organization_id, account_id, box)
    account = ProviderAccount(
        organization_id=organization_id,
        id=account_id,
        kind=ProviderKind(kind),
        code=code,
        name=name,
        secrets_sealed=sealed,
        created_at=now,
    )
    account = with_settings(account, settings)
    try:
        await provider_accounts.insert(conn, account)
    except asyncpg.UniqueViolationError:
        raise Refused(invalid({"code": ["value_already_exist"]})) from None
    detail = {"code": code, "settings": settings.told, "secrets_given": sorted(secrets)}
    # It is added once, so its own id serves the entry as well.
    await audit_account(conn, account, "added", by, detail, audit_id=account_id, now=now)
    return account


def seal_secrets(
    secrets: Mapping[str, str], organization_id: UUID, account_id: UUID, box: SecretBox
) -> bytes:
    """Seal an account's secrets, for this account of this organization alone."""
    return box.seal(
        msgspec.json.encode(dict(secrets)),
        organization_id=organization_id,
        row=account_id,
        field=SECRETS,
    )


def open_secrets(account: ProviderAccount, box: SecretBox) -> dict[str, str]:
    """Read the account's secrets, by name.

    :raises WrongSecretKeyError: they were sealed with another key, or for another account.
    """
    opened = box.open(
        account.secrets_sealed,
        organization_id=account.organization_id,
        row=account.id,
        field=SECRETS,
    )
    return msgspec.json.decode(opened, type=dict[str, str])


def names_of_secrets(account: ProviderAccount, box: SecretBox) -> list[str] | None:
    """Which secrets the account has; None: they do not open with our keys, and nobody can tell."""
    try:
        return sorted(name for name, secret in open_secrets(account, box).items() if secret)
    except WrongSecretKeyError:
        return None


async def audit_account(
    conn: Conn,
    account: ProviderAccount,
    what: str,
    by: str,
    detail: Mapping[str, object],
    *,
    audit_id: UUID,
    now: datetime,
) -> None:
    """Write down who did what to an account: `detail` holds names of secrets, and no secret."""
    entry = AuditEntry(
        organization_id=account.organization_id,
        id=audit_id,
        actor=by.strip(),
        action=f"payment_provider.{what}",
        object_id=account.id,
        detail=detail,
    )
    await audit_log.write(conn, [entry], now=now)
