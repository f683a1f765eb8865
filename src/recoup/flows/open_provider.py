"""Open a provider account: its sealed secrets, in the hands of its adapter."""

from __future__ import annotations

import aiohttp
import msgspec

from recoup.flows.add_provider_account import open_secrets
from recoup.providers.protocol import Provider
from recoup.providers.sandbox import SandboxProvider, SandboxSecrets
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.store.secret_box import SecretBox


class Providers:
    """Makes the adapter of an account, and keeps it until the account's secrets change."""

    def __init__(self, http: aiohttp.ClientSession, box: SecretBox, *, sandbox_base: str) -> None:
        self._http = http
        self._box = box
        self._sandbox_base = sandbox_base
        self._open: dict[RowKey, tuple[bytes, Provider]] = {}

    def of(self, account: ProviderAccount) -> Provider:
        """The adapter that speaks for this account.

        :raises LookupError: there is no adapter for this kind of account yet.
        """
        key = RowKey(account.organization_id, account.id)
        sealed, provider = self._open.get(key, (b"", None))
        if provider is None or sealed != account.secrets_sealed:
            provider = self._make(account)
            self._open[key] = (account.secrets_sealed, provider)
        return provider

    def sandbox(self, account: ProviderAccount) -> SandboxProvider:
        """The sandbox's adapter, which can be told where its events go."""
        secrets = msgspec.convert(open_secrets(account, self._box), SandboxSecrets)
        return SandboxProvider(self._http, self._sandbox_base, secrets)

    def _make(self, account: ProviderAccount) -> Provider:
        if account.kind == "sandbox":
            return self.sandbox(account)
        raise LookupError(f"no adapter for provider accounts of kind {account.kind}")
