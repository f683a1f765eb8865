"""A new method collects what its customer owes: failed invoices too, within caps, each once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import aiohttp
import pytest

from recoup import clock
from recoup.flows.attach_payment_method import attach_payment_method
from recoup.flows.collect_from_customer import collect_from_customer
from recoup.flows.keep_methods import add_method, drop_method
from recoup.flows.open_payment_page import open_payment_page
from recoup.providers.protocol import StoredMethod
from recoup.rules.new_method_policy import MOST_CHARGES, MOST_INVOICES
from recoup.rules.records.keys import RowKey
from recoup.store import db, provider_accounts
from tests.shop import SandboxServer, Shop


async def collect(shop: Shop, customer: UUID) -> int:
    key = RowKey(shop.organization_id, customer)
    return await collect_from_customer(
        shop.pool, shop.providers, key, new_id=clock.new_id, now=shop.clock.now
    )


async def leaves(shop: Shop, customer: UUID, method: str, whose: str | None = None) -> str:
    """The customer has left a method at the provider, which says so."""
    stored = StoredMethod(
        provider_method_id=method,
        provider_customer_id=f"cus_{customer.hex}" if whose is None else whose,
    )
    key = RowKey(shop.organization_id, shop.account_id)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        account = (await provider_accounts.by_ids(conn, [key]))[key]
        return await add_method(conn, account, stored, new_id=clock.new_id, now=shop.clock.now())


async def methods(shop: Shop, customer: UUID) -> dict[str, bool]:
    rows = await shop.owner.fetch(
        "SELECT provider_method_id, is_default FROM payment_methods"
        " WHERE customer_id = $1 AND deleted_at IS NULL",
        customer,
    )
    return {row["provider_method_id"]: row["is_default"] for row in rows}


async def promised(shop: Shop, job: str) -> int:
    return await shop.owner.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint = $1", job)


async def test_open_invoices_are_collected_and_the_others_left_alone(shop: Shop) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    other = await shop.customer("pm_sandbox_ok")
    left_alone: dict[str, dict[str, Any]] = {
        "paid": {"payment_status": "succeeded"},
        "voided": {"status": "voided"},
        "a draft": {"status": "draft"},
        "skips the provider": {"skip_psp": True},
        "held": {"held_because": "contradicted"},
        "self-billed": {"self_billed": True},
        "to be paid by hand": {"payment_method_type": "manual"},
        "disputed": {"payment_dispute_lost_at": shop.clock.now()},
    }
    wanted = {
        (await shop.invoice(customer, payment_status=status)).id for status in ("pending", "failed")
    }
    for fields in left_alone.values():
        await shop.invoice(customer, **fields)
    await shop.invoice(other, payment_status="failed")
    assert await collect(shop, customer) == len(wanted)
    charged = await shop.owner.fetch("SELECT invoice_id FROM payment_invoices")
    assert {row["invoice_id"] for row in charged} == wanted
    assert await collect(shop, customer) == 0  # they are under way


async def opened(shop: Shop, invoice: RowKey) -> str:
    page = await open_payment_page(
        shop.pool, shop.providers, invoice.organization_id, invoice.id,
        new_id=clock.new_id, now=shop.clock.now,
    )  # fmt: skip
    return page.url


async def open_attempts(shop: Shop, invoice: RowKey) -> list[tuple[str, str]]:
    rows = await shop.owner.fetch(
        "SELECT p.manner, p.asked_by FROM payments p JOIN payment_invoices pi"
        " ON pi.payment_id = p.id WHERE pi.invoice_id = $1 AND pi.open",
        invoice.id,
    )
    return [(row["manner"], row["asked_by"]) for row in rows]


async def test_an_open_page_is_closed_and_its_invoice_collected(
    shop: Shop, psp: SandboxServer
) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    paged, plain = await shop.invoice(customer), await shop.invoice(customer)
    url = await opened(shop, paged)
    assert await collect(shop, customer) == 2
    for invoice in (paged, plain):
        assert await open_attempts(shop, invoice) == [("off_session", "new_method")]
    async with aiohttp.ClientSession() as payer:  # too late: the page is dead
        await payer.post(f"{url}/approve", allow_redirects=False)
    assert all(charge["status"] != "succeeded" for charge in await psp.charges())
    assert await collect(shop, customer) == 0


async def test_a_page_that_was_paid_pays_its_invoice_and_nothing_is_charged(
    shop: Shop, psp: SandboxServer
) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    invoice = await shop.invoice(customer)
    url = await opened(shop, invoice)
    async with aiohttp.ClientSession() as payer:
        await payer.post(f"{url}/approve", allow_redirects=False)
    assert await collect(shop, customer) == 0
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert [charge["status"] for charge in await psp.charges()] == ["succeeded"]


async def test_a_page_that_nobody_can_close_keeps_its_invoice_and_no_other(
    shop: Shop, psp: SandboxServer
) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    paged, plain = await shop.invoice(customer), await shop.invoice(customer)
    await opened(shop, paged)
    await psp.faults("drop_before=1")
    assert await collect(shop, customer) == 1
    assert await open_attempts(shop, paged) == [("page", "payer")]
    assert await open_attempts(shop, plain) == [("off_session", "new_method")]
    await psp.faults("")
    assert await collect(shop, customer) == 1


async def test_an_invoice_with_a_method_of_its_own_waits_for_that(shop: Shop) -> None:
    customer = await shop.customer("pm_sandbox_ok", "pm_sandbox_stolen_card")
    own = await shop.owner.fetchval(
        "SELECT id FROM payment_methods WHERE customer_id = $1 AND NOT is_default", customer
    )
    await shop.invoice(customer, payment_method_type="provider", payment_method_id=own)
    assert await collect(shop, customer) == 0
    await shop.owner.execute("UPDATE payment_methods SET deleted_at = now() WHERE id = $1", own)
    assert await collect(shop, customer) == 1


async def test_no_more_than_the_caps(shop: Shop) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    tried = await shop.invoice(customer)
    for _ in range(MOST_CHARGES):
        await shop.owner.execute(
            """WITH p AS (
                 INSERT INTO payments (organization_id, id, state, payment_type, customer_id,
                        amount_cents, currency, asked_by, request, created_at, sent_at, ended_at)
                 VALUES ($1, $2, 'failed', 'provider', $3, 1000, 'EUR', 'api', '{}', $4, $4, $4))
               INSERT INTO payment_invoices (organization_id, payment_id, invoice_id, amount_cents,
                      payment_status_before, open) VALUES ($1, $2, $5, 1000, 'failed', false)""",
            shop.organization_id, clock.new_id(), customer, shop.clock.now(), tried.id,
        )  # fmt: skip
    for _ in range(MOST_INVOICES + 1):
        await shop.invoice(customer)
    assert await collect(shop, customer) == MOST_INVOICES
    assert (await shop.row("invoices", tried))["payment_status"] == "pending"
    assert (
        await shop.owner.fetchval(
            "SELECT count(*) FROM payment_invoices WHERE open AND invoice_id = $1", tried.id
        )
        == 0
    )
    shop.clock.advance(days=31)
    assert await collect(shop, customer) == 2


async def test_a_method_that_was_left_becomes_the_default_once(shop: Shop) -> None:
    customer = await shop.customer("pm_sandbox_expired_card")
    words = [await leaves(shop, customer, "pm_sandbox_ok") for _ in range(3)]
    assert words == ["method_added", "nothing_new", "nothing_new"]
    assert await methods(shop, customer) == {
        "pm_sandbox_expired_card": False, "pm_sandbox_ok": True,
    }  # fmt: skip
    assert await promised(shop, "collect_from_customer") == 1


async def test_a_method_is_kept_for_whom_the_provider_says_it_belongs_to(shop: Shop) -> None:
    first = await shop.customer("pm_sandbox_ok")
    second = await shop.customer("pm_sandbox_ok")
    owed = {who: await shop.invoice(who) for who in (first, second)}
    assert await leaves(shop, second, "pm_sandbox_new") == "method_added"
    assert await methods(shop, first) == {"pm_sandbox_ok": True}
    assert await methods(shop, second) == {"pm_sandbox_ok": False, "pm_sandbox_new": True}
    # And the promise is the second one's: theirs is the only invoice that is collected.
    [row] = await shop.owner.fetch(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'collect_from_customer'"
    )
    promised_for = RowKey.read(row["payload"].decode()).id
    assert promised_for == second
    assert await collect(shop, promised_for) == 1
    assert await open_attempts(shop, owed[first]) == []
    assert await open_attempts(shop, owed[second]) == [("off_session", "new_method")]


@pytest.mark.parametrize("whose", ["cus_of_nobody", "cus", "", "another tenant's"])
async def test_a_method_of_nobody_here_is_never_kept(shop: Shop, whose: str) -> None:
    customer = await shop.customer("pm_sandbox_ok")
    if whose == "another tenant's":
        other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
        whose = f"cus_{(await other.customer('pm_sandbox_ok')).hex}"
    assert await leaves(shop, customer, "pm_sandbox_new", whose=whose) == "no_such_customer"
    assert await shop.owner.fetchval(
        "SELECT count(*) FROM payment_methods WHERE provider_method_id = 'pm_sandbox_new'"
    ) == 0  # fmt: skip
    assert await promised(shop, "collect_from_customer") == 0


async def test_a_method_that_is_gone_is_dropped_and_the_oldest_other_takes_its_place(
    shop: Shop,
) -> None:
    customer = await shop.customer("pm_sandbox_ok", "pm_sandbox_expired_card")
    key = RowKey(shop.organization_id, shop.account_id)
    async with db.transaction(shop.pool, tenants=[shop.organization_id]) as conn:
        account = (await provider_accounts.by_ids(conn, [key]))[key]
        words = [
            await drop_method(conn, account, "pm_sandbox_ok", now=shop.clock.now())
            for _ in range(2)
        ]
    assert words == ["method_dropped", "no_such_method"]
    assert await methods(shop, customer) == {"pm_sandbox_expired_card": True}


async def test_the_first_method_that_is_attached_collects_and_a_second_does_not(
    shop: Shop,
) -> None:
    await shop.customer()
    jobs = []
    for method in ("pm_sandbox_ok", "pm_sandbox_expired_card"):
        await attach_payment_method(
            shop.pool, shop.providers, shop.organization_id, "customer-1", method,
            method_id=clock.new_id(), now=shop.clock.now(),
        )  # fmt: skip
        jobs.append(await promised(shop, "collect_from_customer"))
    assert jobs == [1, 1]
