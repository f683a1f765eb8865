"""An account's webhook secret is exchanged without an event refused, and removed accounts rest."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from recoup import clock
from recoup.flows.add_provider_account import open_secrets
from recoup.flows.manage_provider_accounts import (
    AccountChange,
    change_provider_account,
    remove_provider_account,
)
from recoup.flows.retry_payment import Accepted
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.store import db, provider_accounts
from tests.flows.test_provider_events import paid, receive
from tests.shop import BOX, Shop


async def change(shop: Shop, secrets: Mapping[str, str], *, drops_previous: bool = False) -> None:
    asked = AccountChange(by="ann", secrets=secrets, drops_previous=drops_previous)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await change_provider_account(
            conn, shop.organization_id, "sandbox", asked, box=BOX, audit_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip


async def secrets_of(shop: Shop) -> dict[str, str]:
    key = RowKey(shop.organization_id, shop.account_id)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        return open_secrets((await provider_accounts.by_ids(conn, [key]))[key], BOX)


async def test_no_event_is_refused_while_a_webhook_secret_is_exchanged(shop: Shop) -> None:
    invoice = await shop.sell("pm_sandbox_ok")
    attempt = await shop.collect(invoice)
    await change(shop, {"webhook_secret": "whsec_next"})
    for number, secret in enumerate(("whsec", "whsec_next")):
        assert await receive(shop, paid(attempt, event=f"evt_{number}"), secret=secret) == 1
    await change(shop, {"webhook_secret": "whsec_next"})  # told twice, it is no exchange
    assert (await secrets_of(shop))["previous_webhook_secret"] == "whsec"
    await change(shop, {}, drops_previous=True)
    assert await receive(shop, paid(attempt, event="evt_3"), secret="whsec_next") == 1
    with pytest.raises(Refused):
        await receive(shop, paid(attempt, event="evt_4"), secret="whsec")


async def test_who_is_linked_to_a_removed_account_is_charged_no_more(shop: Shop) -> None:
    before = await shop.collect(await shop.sell("pm_sandbox_timeout_charged"))
    invoice = await shop.sell("pm_sandbox_ok")
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        await remove_provider_account(
            conn, shop.organization_id, "sandbox", by="ann", audit_id=clock.new_id(),
            now=shop.clock.now(),
        )  # fmt: skip
    answer = await shop.ask(invoice)
    assert isinstance(answer, Accepted)
    assert answer.attempt_id is None
    [(_, told)] = [one for one in await shop.told() if one[0] == "invoice.payment_failure"]
    assert msgspec.json.decode(msgspec.json.encode(told))["lago_invoice_id"] == str(invoice.id)
    assert await shop.state(before) == "unknown"
    shop.clock.advance(minutes=1)
    await shop.look_up(before)
    assert await shop.state(before) == "succeeded", "what was sent is asked about"
