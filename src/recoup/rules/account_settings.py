"""What an organization says of an account at a provider, beside its secrets."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from recoup.rules.records.provider_accounts import ProviderAccount

LONGEST_TEXT: Final = 255
LONGEST_URL: Final = 1_024


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be set; None leaves it as it is, or as it is for a new account."""

    success_redirect_url: str | None = None  # "": the provider's own site
    supports_3ds: bool | None = None
    refund_surprises: bool | None = None

    @property
    def told(self) -> dict[str, object]:
        """Those that something is said of."""
        said = msgspec.structs.asdict(self)
        return {field: value for field, value in said.items() if value is not None}


def with_settings(account: ProviderAccount, settings: AccountSettings) -> ProviderAccount:
    """The account with these settings."""
    changed: ProviderAccount = msgspec.structs.replace(account, **settings.told)
    if not changed.success_redirect_url:
        changed = msgspec.structs.replace(changed, success_redirect_url=None)
    return changed


def wrong_settings(settings: AccountSettings) -> dict[str, list[str]]:
    """Say by field what is wrong with them."""
    url = settings.success_redirect_url
    if not url:
        return {}
    is_address = url.startswith(("https://", "http://")) and not re.search(r"[\s\0-\x1f\x7f]", url)
    return (
        {} if is_address and len(url) <= LONGEST_URL else {"success_redirect_url": ["url_invalid"]}
    )


def wrong_texts(**texts: str) -> dict[str, list[str]]:
    """Say by field what is wrong with texts that an account must have, its code and its name."""
    wrong = {field: _why_wrong(text) for field, text in texts.items()}
    return {field: [why] for field, why in wrong.items() if why is not None}


def _why_wrong(text: str) -> str | None:
    if not text.strip():
        return "value_is_mandatory"
    if len(text) > LONGEST_TEXT:
        return "value_is_too_long"
    return None if text.isprintable() else "value_is_invalid"  # the database has no NUL
