"""Both sides of a rotation under load: the master key, and a provider's webhook secret.

Two processes behind a balancer, each with workers, sell without a break through the sandbox, whose
webhooks come back to them. Meanwhile an operator changes the one and the other, step by step as the
pages say (docs/secrets.md, docs/providers.md). No call fails, no webhook is refused, no retry that
was accepted is left behind, and at the end the old keys are good for nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from recoup.store.sealed_columns import SEALED
from recoup.store.secret_box import SecretBox, WrongSecretKeyError
from tests.conftest import eventually
from tests.databases import as_owner, own_database
from tests.processes.balancer import Balancer
from tests.processes.conftest import Installation, Program, Tenant

PROCESSES = 2
AT_ONCE = 3
DRAIN_SECONDS = "1"  # ten times what the balancer takes to ask
METHODS = ["pm_sandbox_ok", "pm_sandbox_processing_ok", "pm_sandbox_error_charged"]
CALLS_BETWEEN_STEPS = 12
WEBHOOKS_BETWEEN_STEPS = 4
OLD_HOOK, NEW_HOOK = "whsec_sandbox_old", "whsec_sandbox_new"


class Fleet:
    """The processes: a new one is started before its old one is told to end."""

    def __init__(self, installation: Installation, balancer: Balancer) -> None:
        self._installation = installation
        self._balancer = balancer
        self.running: list[Program] = []
        self.ended: list[int] = []  # exit statuses

    async def roll(self, **keys: str | None) -> None:
        """Start every process again with these variables, one after the other; None takes away."""
        environment = dict(self._installation.environment)
        for name, key in keys.items():
            environment.pop(name, None)
            if key is not None:
                environment[name] = key
        self._installation.environment = environment
        olds, ending = self.running, []
        self.running = []
        for number in range(PROCESSES):
            new = await self._installation.start("serve", "--port", "0")
            self._balancer.add(new.url)
            self.running.append(new)
            if olds:  # it goes on answering while the next one is started
                ending.append(asyncio.create_task(olds[number].end()))
        self.ended += await asyncio.gather(*ending)


class Load:
    """Customers who are billed and charged all the time."""

    def __init__(self, shop: Tenant) -> None:
        self._shop = shop
        self.accepted: list[str] = []  # the attempts' ids
        self._is_over = False

    async def run(self) -> None:
        await asyncio.gather(*(self._sell(number) for number in range(AT_ONCE)))

    def end(self) -> None:
        self._is_over = True

    async def _sell(self, number: int) -> None:
        customer = f"customer-{number}"
        await self._shop.customer(customer, METHODS[number % len(METHODS)])
        while not self._is_over:
            invoice = await self._shop.invoice(customer)
            status, attempt, said = await self._shop.retry(invoice)
            assert (status, bool(attempt)) == (200, True), said
            self.accepted.append(str(attempt))


def signers(webhooks: list[tuple[str, bytes, int]]) -> Counter[str]:
    """With which of the two secrets each was signed."""
    found: Counter[str] = Counter()
    for signature, body, _ in webhooks:
        at, _, code = signature.removeprefix("t=").partition(",v1=")
        for name, secret in (("old", OLD_HOOK), ("new", NEW_HOOK)):
            made = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
            found[name] += hmac.compare_digest(made.hexdigest(), code)
    return found


async def opens(owner: asyncpg.Connection, key: str) -> list[bool]:
    """Of everything that is sealed: whether this key opens it."""
    box, found = SecretBox.from_text(key), []
    for one in SEALED:
        ids = f"{one.tenant}, {one.row}" if one.tenant else "NULL::uuid, NULL::uuid"
        for tenant, row, sealed in await owner.fetch(
            f"SELECT {ids}, {one.column} FROM {one.table}"
        ):
            try:
                box.open(sealed, organization_id=tenant, row=row, field=one.field)
                found.append(True)
            except WrongSecretKeyError:
                found.append(False)
    return found


class Operator:
    """Who changes the keys, while the others work on."""

    def __init__(self, fleet: Fleet, balancer: Balancer, load: Load, shop: Tenant) -> None:
        self._fleet = fleet
        self._balancer = balancer
        self._load = load
        self._shop = shop

    async def work_goes_on(self) -> None:
        """Wait until some more calls were answered and some more webhooks have come in."""
        calls, hooks = len(self._load.accepted), len(self._balancer.webhooks)

        async def has() -> bool:
            return (
                len(self._load.accepted) >= calls + CALLS_BETWEEN_STEPS
                and len(self._balancer.webhooks) >= hooks + WEBHOOKS_BETWEEN_STEPS
            )

        await eventually(has, within_seconds=60, what="work has gone on")

    async def change_account(self, account: str, **fields: Any) -> Any:
        """`PUT` the provider account."""
        url = f"{self._shop.api}/api/v1/payment_providers/{account}"
        body = {"payment_provider": fields}
        async with self._shop._http.put(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["payment_provider"]


async def tell_sandbox(shop: Tenant, account: Any, api_key: str, secret: str) -> None:
    """Let the provider sign with this secret from now on, as in its dashboard."""
    body = {"url": f"{shop.api}{account['webhook_path']}", "secret": secret}
    async with shop._http.post(
        f"{shop._sandbox}/v1/webhook_endpoints",
        json=body,
        headers={"Authorization": f"Bearer {api_key}"},
    ) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.slow
async def test_keys_are_exchanged_under_load_and_no_call_fails(
    installation: Installation, server_dsn: str
) -> None:
    old, new = SecretBox.new_key(), SecretBox.new_key()
    api_key = f"sk_sandbox_{secrets.token_hex(16)}"
    async with own_database(server_dsn, "template1") as empty, Balancer.open() as balancer:
        installation.environment |= {
            "RECOUP_DATABASE_URL": empty, "RECOUP_PUBLIC_URL": balancer.url,
            "RECOUP_DRAIN_SECONDS": DRAIN_SECONDS,
        }  # fmt: skip
        sandbox = await installation.start_sandbox()
        fleet = Fleet(installation, balancer)
        await fleet.roll(RECOUP_SECRET_KEY=old)
        _, made = await installation.run("organization", "create", "Shop")
        shop = Tenant(balancer.url, sandbox.url, made["api_key"])
        owner = await asyncpg.connect(as_owner(empty))
        try:
            connected = {
                "provider_type": "sandbox", "code": "sandbox",
                "secrets": {"api_key": api_key, "webhook_secret": OLD_HOOK},
            }  # fmt: skip
            made = await shop.post("/payment_providers", {"payment_provider": connected})
            account = made["payment_provider"]
            fields = {"name": "W", "code": "work", "amount_cents": 1_000, "amount_currency": "EUR"}
            await shop.post("/add_ons", {"add_on": fields})
            await tell_sandbox(shop, account, api_key, OLD_HOOK)
            load = Load(shop)
            selling = asyncio.create_task(load.run())
            operator = Operator(fleet, balancer, load, shop)
            await operator.work_goes_on()
            await fleet.roll(RECOUP_PREVIOUS_SECRET_KEY=new)
            await operator.work_goes_on()
            both = await operator.change_account(
                account["lago_id"], secrets={"webhook_secret": NEW_HOOK}
            )
            assert both["previous_secret_is_good"] is True
            await operator.work_goes_on()
            await fleet.roll(RECOUP_SECRET_KEY=new, RECOUP_PREVIOUS_SECRET_KEY=old)
            await tell_sandbox(shop, account, api_key, NEW_HOOK)
            before_new = len(balancer.webhooks)
            await operator.work_goes_on()
            await reseal(installation)
            await fleet.roll(RECOUP_PREVIOUS_SECRET_KEY=None)
            one = await operator.change_account(account["lago_id"], drop_previous_secret=True)
            assert one["secrets_set"] == ["api_key", "webhook_secret"]
            await operator.work_goes_on()
            load.end()
            await selling
            await all_is_ended(owner)
            assert balancer.failed == []
            assert {status for _, _, status in balancer.webhooks} == {200}
            assert set(balancer.answered) == {200}
            assert len(await shop.charges()) >= len(load.accepted)
            assert signers(balancer.webhooks[:before_new])["old"] >= 3 * WEBHOOKS_BETWEEN_STEPS
            assert signers(balancer.webhooks[before_new:])["new"] >= 2 * WEBHOOKS_BETWEEN_STEPS
            assert fleet.ended == [0] * 3 * PROCESSES
            assert len(await opens(owner, new)) >= len(SEALED)
            assert all(await opens(owner, new))
            assert not any(await opens(owner, old))
            assert await forged_status(shop, account, balancer) == 400
        finally:
            await owner.close()
            await shop.close()
        status, checked = await installation.run("check")
        assert (status, checked["ok"]) == (0, True), checked


async def reseal(installation: Installation) -> None:
    """As often as something is left: somebody may hold a row."""
    status = 1
    while status:
        status, said = await installation.run("secrets", "reseal")
        assert not said["unreadable"], said


async def all_is_ended(owner: asyncpg.Connection) -> None:
    """Every attempt has come to its end, and it is a payment."""

    async def are() -> bool:
        rows = await owner.fetch("SELECT state, count(*) FROM payments GROUP BY state")
        return [row["state"] for row in rows] == ["succeeded"]

    await eventually(are, within_seconds=60, what="every retry has ended")


async def forged_status(shop: Tenant, account: Any, balancer: Balancer) -> int:
    """Send one more of the old webhooks, signed with the secret that was dropped."""
    old: Callable[[Any], bool] = lambda sent: bool(signers([sent])["old"])  # noqa: E731
    signature, body, _ = next(sent for sent in reversed(balancer.webhooks) if old(sent))
    headers = {"Sandbox-Signature": signature}
    url = f"{shop.api}{account['webhook_path']}"
    async with shop._http.post(url, data=body, headers=headers) as answer:
        return answer.status
