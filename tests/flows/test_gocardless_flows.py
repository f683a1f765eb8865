"""A direct debit through the flows: taken at once, paid days later, found by look-ups alone."""

from __future__ import annotations

import pytest

from recoup import clock
from recoup.flows.attach_payment_method import attach_payment_method
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_methods import PaymentMethod
from recoup.rules.refusal import Refused
from tests.flows.debits import Debits


async def sell(debits: Debits, mandate: str = "MD1") -> RowKey:
    invoice = await debits.shop.sell(mandate)
    await debits.shop.owner.execute("UPDATE customers SET payment_provider = 'gocardless'")
    return invoice


def payments(debits: Debits) -> list[dict[str, object]]:
    return debits.stub.books["payments"]


async def test_a_debit_is_taken_and_paid_days_later(debits: Debits) -> None:
    shop = debits.shop
    invoice = await sell(debits)
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "processing"
    assert (await shop.shown(invoice))[0] == "pending"
    [payment] = payments(debits)
    debits.stub.become(str(payment["id"]), "paid_out")
    shop.clock.advance(days=4)
    await shop.look_up(attempt)
    assert await shop.shown(invoice) == ("succeeded", 0)
    assert sorted(await shop.words()) == ["invoice.payment_status_updated", "payment.succeeded"]


async def test_a_lost_answer_makes_one_debit_under_one_key(debits: Debits) -> None:
    shop = debits.shop
    invoice = await sell(debits)
    debits.stub.fault = "drop_after"
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "unknown"
    debits.stub.fault = ""
    shop.clock.advance(minutes=1)
    await shop.look_up(attempt)
    assert await shop.state(attempt) == "processing"
    assert len(payments(debits)) == 1
    keys = {
        headers.get("Idempotency-Key")
        for method, _, headers, _ in debits.stub.requests
        if method == "POST"
    }
    assert keys == {idempotency_key(attempt.id)}


async def test_a_mandate_that_is_gone_is_dropped_and_never_charged_again(debits: Debits) -> None:
    shop = debits.shop
    invoice = await sell(debits, "MD_OF_NOBODY")
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "failed"
    assert (await shop.row("invoices", invoice))["next_try_at"] is None
    jobs = await shop.owner.fetchval(
        "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'check_method'"
    )
    assert jobs == 1


async def attach(debits: Debits, mandate: str) -> PaymentMethod:
    return await attach_payment_method(
        debits.shop.pool, debits.shop.providers, debits.shop.organization_id, "customer-1",
        mandate, method_id=clock.new_id(), now=debits.shop.clock.now(),
    )  # fmt: skip


async def kept(debits: Debits) -> list[str]:
    rows = await debits.shop.owner.fetch("SELECT provider_method_id FROM payment_methods")
    return [row["provider_method_id"] for row in rows]


async def test_a_mandate_is_attached_once_gocardless_has_confirmed_it(debits: Debits) -> None:
    customer = await debits.shop.customer()
    debits.stub.mandate("MD2", customer=f"cus_{customer.hex}")
    method = await attach(debits, "MD2")
    assert (method.provider_method_id, method.is_default) == ("MD2", True)
    asked = len(debits.stub.requests)
    assert (await attach(debits, "MD2")).id == method.id
    assert len(debits.stub.requests) == asked, "what is kept already is no question"


@pytest.mark.parametrize("mandate", ["MD1", "MD_OF_NOBODY", "MD_ENDED"])
async def test_a_mandate_of_somebody_else_or_nobody_is_never_attached(
    debits: Debits, mandate: str
) -> None:
    customer = await debits.shop.customer()
    debits.stub.mandate("MD_ENDED", status="cancelled", customer=f"cus_{customer.hex}")
    with pytest.raises(Refused) as refused:
        await attach(debits, mandate)
    said = {"provider_method_id": ["value_not_found_at_provider"]}
    assert refused.value.refusal.details == said
    assert await kept(debits) == []


async def test_nothing_is_attached_while_gocardless_is_silent(debits: Debits) -> None:
    customer = await debits.shop.customer()
    debits.stub.mandate("MD2", customer=f"cus_{customer.hex}")
    debits.stub.fault = "drop_before"
    with pytest.raises(Refused) as refused:
        await attach(debits, "MD2")
    assert refused.value.refusal.details == {"base": ["payment_provider_error"]}
    assert await kept(debits) == []
