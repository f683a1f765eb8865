"""A direct debit through the flows: taken at once, paid days later, found by look-ups alone."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.attach_payment_method import attach_payment_method
from recoup.flows.keep_methods import ProviderSilentError, check_method
from recoup.flows.notice_restore import hold_all_back
from recoup.flows.receive_event import receive_event
from recoup.flows.reconcile_account import reconcile_account
from recoup.flows.retry_payment import Accepted
from recoup.rules.method_choice import NoAttempt
from recoup.rules.records.collection import idempotency_key
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_methods import PaymentMethod
from recoup.rules.refusal import Refused
from recoup.store.db import Pool
from tests.flows.debits import SECRETS, Debits
from tests.provider_signatures import hex_mac
from tests.providers.gocardless_books import event
from tests.shop import PAID_WORDS


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
    assert sorted(await shop.words()) == PAID_WORDS


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


async def check(debits: Debits) -> None:
    """Keep the promise to ask after a method that was refused as gone."""
    shop = debits.shop
    [row] = await shop.owner.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'check_method'")
    key = RowKey.read(row["payload"].decode())
    await check_method(shop.pool, shop.providers, key, now=shop.clock.now())


def asked_for(debits: Debits) -> int:
    """How many payments GoCardless was asked for, whatever became of them."""
    asked = [path for method, path, *_ in debits.stub.requests if method == "POST"]
    return asked.count("/payments")


async def test_a_mandate_that_is_gone_is_dropped_and_never_charged_again(debits: Debits) -> None:
    shop = debits.shop
    invoice = await sell(debits, "MD_OF_NOBODY")
    attempt = await shop.collect(invoice)
    assert await shop.state(attempt) == "failed"
    assert (await shop.row("invoices", invoice))["next_try_at"] is None
    await check(debits)
    assert await live(debits) == []
    again = await shop.ask(invoice)
    assert isinstance(again, Accepted)
    assert (again.attempt_id, again.because) == (None, NoAttempt.NO_METHOD)
    assert asked_for(debits) == 1


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
async def test_a_mandate_is_dropped_by_nothing_but_gocardless_own_word(
    debits: Debits, fault: str
) -> None:
    invoice = await sell(debits, "MD_OF_NOBODY")
    await debits.shop.collect(invoice)
    debits.stub.fault = fault
    with pytest.raises(ProviderSilentError):
        await check(debits)
    assert await live(debits) == ["MD_OF_NOBODY"]
    debits.stub.fault = ""
    await check(debits)
    assert await live(debits) == []


async def test_a_mandate_that_can_be_charged_again_is_kept(debits: Debits) -> None:
    shop = debits.shop
    customer = await shop.customer("MD2")
    await shop.owner.execute("UPDATE customers SET payment_provider = 'gocardless'")
    debits.stub.mandate("MD2", status="expired", customer=f"cus_{customer.hex}")
    await shop.collect(await shop.invoice(customer))
    debits.stub.find("mandates", "MD2")["status"] = "active"  # reinstated meanwhile
    await check(debits)
    assert await live(debits) == ["MD2"]


async def live(debits: Debits) -> list[str]:
    """The methods that are kept now."""
    rows = await debits.shop.owner.fetch(
        "SELECT provider_method_id FROM payment_methods WHERE deleted_at IS NULL"
    )
    return [row["provider_method_id"] for row in rows]


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
    assert (refused.value.refusal.code, refused.value.refusal.provider) == (
        "provider_error", "sandbox"
    )  # fmt: skip
    assert await kept(debits) == []


async def test_what_was_paid_and_taken_back_is_found_out_however_little_is_told(
    debits: Debits,
) -> None:
    """An event tells a status at most; of a payment that had ended, GoCardless is asked again."""
    shop = debits.shop
    for number, (status, action, metadata) in enumerate(
        [
            ("failed", "failed", True),
            ("charged_back", "charged_back", False),
            ("charged_back", "chargeback_settled", False),
            ("failed", "late_failure_settled", False),
        ]
    ):
        invoice = await sell(debits)
        attempt = await shop.collect(invoice)
        payment = payments(debits)[number]
        debits.stub.become(str(payment["id"]), "paid_out")
        shop.clock.advance(days=4)
        await shop.look_up(attempt)
        assert await shop.shown(invoice) == ("succeeded", 0)
        payment["status"] = status
        told = {"lago_payment_id": str(attempt.id)} if metadata else {}
        await hears(debits, str(payment["id"]), action, told)
        row = await shop.row("invoices", invoice)
        assert row["held_because"] == "contradicted", (action, metadata)
        assert (row["payment_dispute_lost_at"] is not None) is (status == "charged_back")
        kept = await shop.owner.fetch(
            "SELECT told, amount_cents FROM contradictions WHERE payment_id = $1", attempt.id
        )
        assert [tuple(one) for one in kept] == [("reversed", 1_000)]


async def test_a_hint_waits_until_gocardless_answers(debits: Debits) -> None:
    shop = debits.shop
    invoice = await sell(debits)
    attempt = await shop.collect(invoice)
    [payment] = payments(debits)
    debits.stub.become(str(payment["id"]), "paid_out")
    await shop.look_up(attempt)
    payment["status"] = "failed"
    debits.stub.fault = "drop_before"
    with pytest.raises(ProviderSilentError):
        await hears(debits, str(payment["id"]), "failed", {})
    assert (await shop.row("invoices", invoice))["held_because"] is None
    debits.stub.fault = ""
    await apply_all(debits)
    assert (await shop.row("invoices", invoice))["held_because"] == "contradicted"


async def hears(debits: Debits, payment: str, action: str, metadata: dict[str, str]) -> None:
    """Take one event in, signed, and apply what is kept."""
    said = event(f"EV{payment}{action}", "payments", action, {"payment": payment},
                 metadata=metadata)  # fmt: skip
    body = json.dumps({"events": [said]}).encode()
    signature = hex_mac(body, SECRETS["webhook_secret"])
    shop = debits.shop
    assert await receive_event(
        shop.pool, shop.providers, shop.organization_id, kind="gocardless", code="sandbox",
        body=body, headers={"webhook-signature": signature}, new_id=clock.new_id,
        now=shop.clock.now(),
    ) == 1  # fmt: skip
    await apply_all(debits)


async def apply_all(debits: Debits) -> None:
    shop = debits.shop
    for kept in await shop.owner.fetch(
        "SELECT organization_id, id FROM provider_events WHERE applied_at IS NULL"
    ):
        await apply_event(
            shop.pool, shop.providers, RowKey(*kept), jitter=timedelta(), new_id=clock.new_id,
            now=shop.clock.now(),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("becomes", "state", "held"),
    [("charged_back", "succeeded", "contradicted"), ("failed", "failed", None)],
)
async def test_what_a_restore_has_lost_ends_as_it_did_at_gocardless(
    debits: Debits, scout: Pool, becomes: str, state: str, held: str | None
) -> None:
    """Made anew, its method and its request are not known: it is settled, and no comparison ends
    in an error."""
    shop = debits.shop
    debits.stub.now = shop.clock.now()
    invoice = await sell(debits)
    attempt = await shop.collect(invoice)
    [payment] = payments(debits)
    for table in ("payment_invoices", "decisions", "payments"):
        column = "id" if table == "payments" else "payment_id"
        await shop.owner.execute(f"DELETE FROM {table} WHERE {column} = $1", attempt.id)
    await shop.change("invoices", invoice, payment_status="pending")
    now = shop.clock.now()
    await hold_all_back(
        shop.pool, scout, because="another_cluster", by="ann", since=now, new_id=clock.new_id,
        now=now,
    )  # fmt: skip
    if becomes == "charged_back":
        payment["status"] = becomes
    await compare(debits)
    if becomes == "failed":
        assert await shop.state(attempt) == "processing"
        debits.stub.become(str(payment["id"]), becomes, cause="refer_to_payer")
        await shop.look_up(attempt)
    assert await shop.state(attempt) == state
    assert (await shop.row("invoices", invoice))["held_because"] == held
    live = "SELECT count(*) FROM quarantines WHERE released_at IS NULL"
    assert not await shop.owner.fetchval(live)


async def compare(debits: Debits) -> None:
    shop = debits.shop
    shop.clock.advance(minutes=2)
    await reconcile_account(
        shop.pool, shop.providers, RowKey(shop.organization_id, shop.account_id),
        new_id=clock.new_id, now=shop.clock.now,
    )  # fmt: skip


@pytest.mark.parametrize("is_taken_back", [True, False], ids=["taken back", "never sent"])
@pytest.mark.parametrize(
    ("becomes", "state", "surprises"),
    [("paid_out", "succeeded", 0), ("failed", "failed", 0), ("charged_back", "succeeded", 1)],
)
async def test_a_hint_about_what_is_ready_shows_that_it_was_sent(
    debits: Debits, becomes: str, state: str, surprises: int, *, is_taken_back: bool
) -> None:
    shop = debits.shop
    attempt = await shop.begun(await sell(debits))
    begun = await shop.sending.ask(attempt)
    await begun.provider.charge(begun.charge)
    await shop.change("payments", attempt, state="ready", look_up_at=None)
    if not is_taken_back:
        await shop.change("payments", attempt, sent_at=None, request=None)
    [payment] = payments(debits)
    payment["status"] = becomes
    await hears(debits, str(payment["id"]), becomes, {"lago_payment_id": str(attempt.id)})
    assert await shop.state(attempt) == state
    assert await shop.owner.fetchval("SELECT count(*) FROM contradictions") == surprises
    await shop.submit(attempt)
    assert len(payments(debits)) == 1
