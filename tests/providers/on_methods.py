"""What every adapter must do with customers, their methods, and the list of charges."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from recoup.providers.protocol import (
    CannotList,
    ChargeList,
    CustomerMade,
    Declined,
    ListedCharge,
    Lost,
    NewCustomer,
    NotKnown,
    Page,
    SetUpOrder,
    StoredMethod,
)
from tests.providers.on_charges import ChargeOrders
from tests.providers.stand_in import StandIn

HOUR = timedelta(hours=1)
MOST_PAGES = 100
AT_ONCE = 8


def a_customer(number: int = 0) -> NewCustomer:
    return NewCustomer(
        idempotency_key=f"customer-{number}",
        name="Acme",
        firstname="Ada",
        lastname="Ames",
        email="payer@customer.example",
        country="DE",
        metadata={"lago_customer_id": "01890000-0000-7000-8000-000000000003"},
    )


def a_set_up(psp: StandIn, number: int = 0, customer_id: str | None = None) -> SetUpOrder:
    return SetUpOrder(
        idempotency_key=f"set-up-{number}",
        provider_customer_id=customer_id or psp.customer_id,
        currency="EUR",
        return_url="https://shop.example/thanks",
        method_types=(),
        metadata={"lago_customer_id": "01890000-0000-7000-8000-000000000003"},
    )


class MethodConformance(ChargeOrders):
    """Customers, methods, pages to set one up, the list of charges."""

    async def test_a_customer_is_made_once_per_key(self, psp: StandIn) -> None:
        first = await psp.provider.create_customer(a_customer(0))
        assert isinstance(first, CustomerMade), first
        assert first.provider_customer_id
        assert await psp.provider.create_customer(a_customer(0)) == first
        assert await psp.provider.create_customer(a_customer(1)) != first

    async def test_a_method_is_found_with_its_customer_and_with_nobody_else(
        self, psp: StandIn
    ) -> None:
        method_id = psp.method_id(self.paid_by)
        found = await psp.provider.find_method(method_id, psp.customer_id)
        assert isinstance(found, StoredMethod), found
        assert (found.provider_method_id, found.provider_customer_id) == (
            method_id,
            psp.customer_id,
        )
        assert found.is_usable
        if not psp.owns_methods:
            return
        for method, customer in (
            (method_id, psp.other_customer_id),
            (method_id, psp.unknown_customer_id),
            (psp.method_id(self.unknown_method), psp.customer_id),
        ):
            told = await psp.provider.find_method(method, customer)
            assert isinstance(told, NotKnown), (method, customer, told)

    async def test_a_customers_methods_are_listed(self, psp: StandIn) -> None:
        listed = await psp.provider.list_methods(psp.customer_id)
        assert not isinstance(listed, NotKnown | Lost), listed
        if not psp.owns_methods:
            return
        assert {method.provider_customer_id for method in listed} == {psp.customer_id}
        ids = [method.provider_method_id for method in listed]
        assert psp.method_id(self.paid_by) in ids
        assert len(ids) == len(set(ids))
        of_other = await psp.provider.list_methods(psp.other_customer_id)
        assert not isinstance(of_other, Lost)
        if not isinstance(of_other, NotKnown):
            assert psp.method_id(self.paid_by) not in [one.provider_method_id for one in of_other]

    async def test_a_page_to_set_up_a_method_is_opened_once_per_key(self, psp: StandIn) -> None:
        page = await psp.provider.set_up_page(a_set_up(psp))
        assert isinstance(page, Page), page
        assert page.provider_page_id
        assert page.url.startswith(("http://", "https://"))
        again = await psp.provider.set_up_page(a_set_up(psp))
        assert isinstance(again, Page), again
        assert (again.provider_page_id, again.url) == (page.provider_page_id, page.url)
        other = await psp.provider.set_up_page(a_set_up(psp, 1))
        assert isinstance(other, Page), other
        assert other.provider_page_id != page.provider_page_id

    async def test_the_list_has_each_of_our_charges_once_and_knows_which_are_ours(
        self, psp: StandIn
    ) -> None:
        keys = [(await self.paid(psp, number)).idempotency_key for number in range(3)]
        await psp.charge_as_somebody_else()
        listed = await self.listed(psp, since=-HOUR, before=HOUR)
        if listed is None:
            return
        assert sorted(one.idempotency_key for one in listed if one.idempotency_key) == sorted(keys)
        assert sum(one.idempotency_key is None for one in listed) == 1
        ids = [one.provider_payment_id for one in listed]
        assert len(ids) == len(set(ids)) == 4
        for one in listed:
            if one.idempotency_key:
                assert (one.amount_cents, one.currency.upper()) == (1_000, "EUR")
                assert not isinstance(one.outcome, Lost | Declined), one
        assert await self.listed(psp, since=HOUR, before=2 * HOUR) == []
        assert await self.listed(psp, since=-2 * HOUR, before=-HOUR) == []

    async def test_a_list_of_many_pages_has_each_charge_once(self, psp: StandIn) -> None:
        """The list is one page too long at least, whoever counts: no charge is on two or none."""
        if not psp.lists_charges:
            return
        count = psp.charges_on_a_page + 2
        charges = [self.charge(psp, self.paid_by, number) for number in range(count)]
        for at in range(0, count, AT_ONCE):
            some = charges[at : at + AT_ONCE]
            told = await asyncio.gather(*(psp.provider.charge(charge) for charge in some))
            assert all(isinstance(one, psp.truth) for one in told)
        now = psp.now()
        first = await psp.provider.list_charges(since=now - HOUR, before=now + HOUR, after=None)
        assert isinstance(first, ChargeList), first
        assert first.after is not None, "all are on one page, so nothing is tested"
        listed = await self.listed(psp, since=-HOUR, before=HOUR)
        assert listed is not None
        keys = [charge.idempotency_key for charge in charges]
        assert sorted(one.idempotency_key or "" for one in listed) == sorted(keys)

    async def listed(
        self, psp: StandIn, *, since: timedelta, before: timedelta
    ) -> list[ListedCharge] | None:
        """The whole list of these hours; None where there is none, and the adapter says so."""
        charges: list[ListedCharge] = []
        now, after = psp.now(), None
        for _ in range(MOST_PAGES):
            told = await psp.provider.list_charges(
                since=now + since, before=now + before, after=after
            )
            if not psp.lists_charges:
                assert isinstance(told, CannotList)
                return None
            assert isinstance(told, ChargeList), told
            charges += told.charges
            after = told.after
            if after is None:
                return charges
        raise AssertionError(f"the list has no end after {MOST_PAGES} pages")
