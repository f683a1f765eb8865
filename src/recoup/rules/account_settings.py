"""What an organization says of an account at a provider, beside its secrets."""

from __future__ import annotations

from typing import Final

import msgspec

from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.web_addresses import why_no_web_address

LONGEST_TEXT: Final = 255
LONGEST_URL_BYTES: Final = 1_024


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
    why = why_no_web_address(url, longest_bytes=LONGEST_URL_BYTES, may_name_user=False)
    return {} if why is None else {"success_redirect_url": [why]}


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
