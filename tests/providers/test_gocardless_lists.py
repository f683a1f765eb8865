"""GoCardless's lists: a payment whose id was never told is found there, and none is left out."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec

from recoup.providers.protocol import ChargeList, Lost, NotKnown, Paid, Processing
from tests.providers.gocardless_stand_in import (
    METADATA,
    GoCardlessStandIn,
    a_charge,
    a_payment,
    of_attempt,
)
from tests.providers.nonsense import liar
from tests.providers.stand_in import NOW


async def test_a_look_up_reads_the_list_to_its_end(gocardless: GoCardlessStandIn) -> None:
    gocardless.stub.longest_page = 2
    await gocardless.provider.charge(a_charge(gocardless.provider))
    for number in range(5):
        another = of_attempt(gocardless.provider, UUID(int=number + 1))
        await gocardless.provider.charge(another)
    told = await gocardless.provider.look_up(a_charge(gocardless.provider, sent_at=NOW))
    assert told == Processing("PM1", "pending_submission")
    lists = [path for method, path, _, _ in gocardless.stub.requests if method == "GET"]
    assert len(lists) == 3
    assert all("mandate=MD1" in path and "11%3A59%3A00.000Z" in path for path in lists)
    gocardless.stub.books["payments"].pop(0)
    assert isinstance(await gocardless.provider.look_up(a_charge(gocardless.provider)), NotKnown)


async def test_a_list_without_an_end_proves_nothing(gocardless: GoCardlessStandIn) -> None:
    async with liar() as server:
        provider = gocardless.asking(server.base)
        bodies = [
            {"payments": []},
            {"payments": [], "meta": {}},
            {"payments": [], "meta": {"cursors": None}},
            {"payments": None, "meta": {"cursors": {"after": None}}},
            {"meta": {"cursors": {"after": None}}},
            {"payments": [{"id": "PM1"}], "meta": {"cursors": {"after": None}}},
            {"payments": [], "meta": {"cursors": {"after": ""}}},
            {"payments": [], "meta": {"cursors": {"after": "PM1\0"}}},
        ]
        for body in bodies:
            server.body = msgspec.json.encode(body)
            assert isinstance(await provider.look_up(a_charge(provider)), Lost), body
        server.body = msgspec.json.encode({"payments": [], "meta": {"cursors": {"after": None}}})
        assert isinstance(await provider.look_up(a_charge(provider)), NotKnown)


async def test_an_answer_about_another_payment_is_none(gocardless: GoCardlessStandIn) -> None:
    async with liar() as server:
        provider, server.body = gocardless.asking(server.base), a_payment(status="paid_out")
        known = a_charge(provider, provider_payment_id="PM2")
        assert await provider.look_up(known) == Lost("another_payment")


async def test_the_list_of_charges_has_a_window_and_pages(gocardless: GoCardlessStandIn) -> None:
    gocardless.stub.longest_page = 2
    for number in range(5):
        gocardless.stub.now = NOW + timedelta(hours=number)
        await gocardless.provider.charge(of_attempt(gocardless.provider, UUID(int=number)))
    gocardless.stub.become("PM3", "paid_out")
    gocardless.stub.find("payments", "PM2")["metadata"] = {}  # somebody else's
    seen, after = [], None
    while True:
        listed = await gocardless.provider.list_charges(
            since=NOW + timedelta(hours=1), before=NOW + timedelta(hours=4), after=after
        )
        assert isinstance(listed, ChargeList)
        seen += listed.charges
        if (after := listed.after) is None:
            break
    assert [charge.provider_payment_id for charge in seen] == ["PM4", "PM3", "PM2"]
    keys = [f"payment-{UUID(int=3)}", f"payment-{UUID(int=2)}", None]
    assert [charge.idempotency_key for charge in seen] == keys
    noted = [charge.metadata.get("lago_invoice_id") for charge in seen]
    assert noted == [METADATA["lago_invoice_id"]] * 2 + [None]
    assert [type(charge.outcome) for charge in seen] == [Processing, Paid, Processing]
    assert {(charge.amount_cents, charge.currency) for charge in seen} == {(1_000, "EUR")}
    gocardless.stub.fault = "drop_before"
    lost = await gocardless.provider.list_charges(since=NOW, before=NOW + timedelta(1), after=None)
    assert isinstance(lost, Lost)
