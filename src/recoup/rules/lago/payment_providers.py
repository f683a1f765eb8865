"""An account at a payment provider on the wire: ours, in the manner of Lago's objects."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec

from recoup.rules.account_secrets import KEPT_AS
from recoup.rules.lago.instants import seconds
from recoup.rules.records.provider_accounts import ProviderAccount


class PaymentProviderObject(msgspec.Struct, frozen=True, kw_only=True):
    """An account at a payment provider, with the names of its secrets and none of the secrets.

    `secrets_set` is null where they do not open with the keys that this process has.
    """

    lago_id: UUID
    lago_organization_id: UUID
    provider_type: str  # stripe, adyen, gocardless, sandbox
    code: str
    name: str
    success_redirect_url: str | None
    supports_3ds: bool
    refund_surprises: bool
    secrets_set: list[str] | None
    previous_secret_is_good: bool | None  # until a change with `drop_previous_secret`
    webhook_path: str
    webhook_url: str | None  # null where RECOUP_PUBLIC_URL is not set
    created_at: datetime


def payment_provider_object(
    account: ProviderAccount, *, secrets_set: Collection[str] | None, public_url: str | None
) -> PaymentProviderObject:
    """Render an account. `public_url` is the address at which the outside reaches us, if known."""
    is_good = None if secrets_set is None else not set(KEPT_AS.values()).isdisjoint(secrets_set)
    return PaymentProviderObject(
        lago_id=account.id,
        lago_organization_id=account.organization_id,
        provider_type=account.kind.value,
        code=account.code,
        name=account.name,
        success_redirect_url=account.success_redirect_url,
        supports_3ds=account.supports_3ds,
        refund_surprises=account.refund_surprises,
        secrets_set=None if secrets_set is None else sorted(secrets_set),
        previous_secret_is_good=is_good,
        webhook_path=account.webhook_path,
        webhook_url=f"{public_url}{account.webhook_path}" if public_url else None,
        created_at=seconds(account.created_at),
    )
