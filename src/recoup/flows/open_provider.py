"""Open a provider account: its sealed secrets, in the hands of its adapter.

What would surprise you: an adapter is imported when the first account of its kind is opened. The
SDKs are large, and most installations use one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, assert_never

import aiohttp
import msgspec

from recoup.flows.add_provider_account import open_secrets
from recoup.flows.calls_under_way import SLOTS, CallsUnderWay
from recoup.providers.protocol import Provider
from recoup.providers.sandbox import SandboxProvider, SandboxSecrets
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount, ProviderKind
from recoup.store.secret_box import SecretBox

if TYPE_CHECKING:
    import httpx

_Secrets = TypeVar("_Secrets", bound=msgspec.Struct)


class Providers:
    """Makes the adapter of an account, and keeps it until the account's secrets change.

    `box` opens and seals their secrets. `…_base` is where a provider is; None: at its own address.
    It is never a tenant's to say. `under_way` counts the calls that are made to the accounts; a
    worker makes `slots` at once.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        box: SecretBox,
        *,
        sandbox_base: str,
        stripe_base: str | None = None,
        adyen_base: str | None = None,
        gocardless_base: str | None = None,
        slots: int = SLOTS,
    ) -> None:
        self.under_way = CallsUnderWay(slots)
        self.box = box
        self._http = http
        self._sandbox_base = sandbox_base
        self._stripe_base = stripe_base
        self._adyen_base = adyen_base
        self._gocardless_base = gocardless_base
        self._stripe: httpx.AsyncClient | None = None  # shared by all accounts at Stripe
        self._open: dict[RowKey, tuple[bytes, Provider]] = {}

    def of(self, account: ProviderAccount) -> Provider:
        """The adapter that speaks for this account."""
        key = RowKey(account.organization_id, account.id)
        sealed, provider = self._open.get(key, (b"", None))
        if provider is None or sealed != account.secrets_sealed:
            provider = self._make(account)
            self._open[key] = (account.secrets_sealed, provider)
        return provider

    def sandbox(self, account: ProviderAccount) -> SandboxProvider:
        """The sandbox's adapter, which can be told where its events go."""
        secrets = self._secrets(account, SandboxSecrets)
        return SandboxProvider(self._http, self._sandbox_base, secrets)

    async def close(self) -> None:
        """Hang up."""
        if self._stripe is not None:
            await self._stripe.aclose()

    def _stripe_http(self) -> httpx.AsyncClient:
        if self._stripe is None:
            import httpx

            # No proxy, no redirect and no cookie of anybody's; time-outs are the adapter's. And no
            # number of connections for all: an account that hangs would have every one of them,
            # while `under_way` lets each have so many calls, and the others theirs.
            self._stripe = httpx.AsyncClient(
                trust_env=False, limits=httpx.Limits(max_connections=None)
            )
        return self._stripe

    def _make(self, account: ProviderAccount) -> Provider:
        match account.kind:
            case ProviderKind.SANDBOX:
                return self.sandbox(account)
            case ProviderKind.GOCARDLESS:
                from recoup.providers.gocardless import GoCardlessProvider, GoCardlessSecrets

                secrets = self._secrets(account, GoCardlessSecrets)
                return GoCardlessProvider(secrets, base=self._gocardless_base)
            case ProviderKind.STRIPE:
                from recoup.providers.stripe import StripeProvider, StripeSecrets

                return StripeProvider(
                    self._secrets(account, StripeSecrets),
                    base=self._stripe_base,
                    http=self._stripe_http(),
                )
            case ProviderKind.ADYEN:
                from recoup.providers.adyen import AdyenProvider, AdyenSecrets

                return AdyenProvider(self._secrets(account, AdyenSecrets), base=self._adyen_base)
            case _:
                assert_never(account.kind)

    def _secrets(self, account: ProviderAccount, kind: type[_Secrets]) -> _Secrets:
        return msgspec.convert(open_secrets(account, self.box), kind)
