"""Secrets that an account of each kind may have, for tests that need an account of some kind."""

from __future__ import annotations

from collections.abc import Mapping

SECRETS_OF: Mapping[str, Mapping[str, str]] = {
    "stripe": {"secret_key": "sk_test_moon", "webhook_secret": "whsec_sun"},
    "adyen": {"api_key": "AQ_moon", "hmac_key": "ab" * 32, "merchant_account": "Acme"},
    "gocardless": {"access_token": "sandbox_moon", "webhook_secret": "sun"},
    "sandbox": {"api_key": "sk_sandbox_moon", "webhook_secret": "whsec_sandbox_sun"},
}


def spoiled(sealed: bytes) -> bytes:
    """Sealed secrets that do not open any more, whatever their last byte was."""
    return sealed[:-1] + bytes([sealed[-1] ^ 1])
