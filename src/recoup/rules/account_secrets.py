"""What an account of each kind of provider needs and may have, by the adapters' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class AccountSecret(msgspec.Struct, frozen=True):
    """One value of an account: its name in the adapter's struct, and the variable that holds it."""

    name: str
    variable: str
    mandatory: bool = True


# The previous ones are believed beside the new ones while a webhook's secret is exchanged.
ACCOUNT_SECRETS: Final[Mapping[str, tuple[AccountSecret, ...]]] = {
    "stripe": (
        AccountSecret("secret_key", "RECOUP_STRIPE_SECRET_KEY"),
        AccountSecret("webhook_secret", "RECOUP_STRIPE_WEBHOOK_SECRET"),
        AccountSecret("previous_webhook_secret", "RECOUP_STRIPE_PREVIOUS_WEBHOOK_SECRET", False),
    ),
    "adyen": (
        AccountSecret("api_key", "RECOUP_ADYEN_API_KEY"),
        AccountSecret("hmac_key", "RECOUP_ADYEN_HMAC_KEY"),
        AccountSecret("merchant_account", "RECOUP_ADYEN_MERCHANT_ACCOUNT"),
        AccountSecret("previous_hmac_key", "RECOUP_ADYEN_PREVIOUS_HMAC_KEY", False),
        AccountSecret("live_prefix", "RECOUP_ADYEN_LIVE_PREFIX", False),  # without it: test
    ),
    "gocardless": (
        AccountSecret("access_token", "RECOUP_GOCARDLESS_ACCESS_TOKEN"),
        AccountSecret("webhook_secret", "RECOUP_GOCARDLESS_WEBHOOK_SECRET"),
        AccountSecret(
            "previous_webhook_secret", "RECOUP_GOCARDLESS_PREVIOUS_WEBHOOK_SECRET", False
        ),
    ),
}
# What a secret is kept as once another takes its place, so that both are believed for a while.
KEPT_AS: Final[Mapping[str, str]] = {
    "webhook_secret": "previous_webhook_secret",
    "hmac_key": "previous_hmac_key",
}
