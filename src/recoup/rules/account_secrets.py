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
# What says at which account of the provider's, or in which of its worlds, money moves.
_SAYS_WHERE: Final = frozenset({"merchant_account", "live_prefix"})
_IN_TEST: Final[Mapping[str, tuple[str, ...]]] = {
    "secret_key": ("sk_test_", "rk_test_"),  # Stripe's
    "access_token": ("sandbox_",),  # GoCardless's
}


def names_of_another_account(kept: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Name those of `new` that visibly belong to another account than what is `kept`.

    A charge whose answer was lost is asked about, and sent again, by the secrets of that day: at
    another account nobody knows its key, and it would be charged a second time. That a key is one
    of another account of the same world is not to be seen here.
    """
    return sorted(
        name
        for name, secret in new.items()
        if (name in _SAYS_WHERE and kept.get(name, "") != secret)
        or _is_in_test(name, kept.get(name, secret)) != _is_in_test(name, secret)
    )


def _is_in_test(name: str, secret: str) -> bool:
    return secret.startswith(_IN_TEST.get(name, ()))  # no text begins with one of none
