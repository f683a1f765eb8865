"""What every adapter must do with a payer who acts elsewhere: at its hosted page, at a bank."""

from __future__ import annotations

import msgspec

from recoup.providers.protocol import Charge, CustomerNeeded, Declined, NotChargeable, Paid
from recoup.rules.manner import Manner
from tests.providers.on_charges import ChargeOrders, id_of
from tests.providers.stand_in import StandIn


class PageConformance(ChargeOrders):
    """Open a page, look it up, close it."""

    async def opened(self, psp: StandIn) -> tuple[Charge, CustomerNeeded] | None:
        """A page for the payer; None where there is none to be had, and the adapter says so."""
        if not psp.has_pages:
            told = psp.provider.render(self.order(psp, None, manner=Manner.PAGE))
            assert isinstance(told, NotChargeable)
            assert told.code
            return None
        charge = self.page(psp)
        page = await psp.provider.charge(charge)
        assert isinstance(page, CustomerNeeded), page
        assert page.url
        known = msgspec.structs.replace(
            charge, sent_before=True, provider_payment_id=page.provider_payment_id
        )
        return known, page

    async def test_a_transfer_is_asked_for_or_refused_by_name(self, psp: StandIn) -> None:
        for method in (None, self.paid_by):
            order = self.order(psp, method, manner=Manner.TRANSFER)
            told = psp.provider.render(order)
            if isinstance(told, NotChargeable):
                assert told.code
            else:
                assert psp.provider.render(order) == told

    async def test_an_open_page_waits_for_the_payer(self, psp: StandIn) -> None:
        if opened := await self.opened(psp):
            charge, page = opened
            again = await psp.provider.charge(charge)
            assert isinstance(again, CustomerNeeded)
            assert (again.provider_payment_id, again.url) == (page.provider_payment_id, page.url)
            if psp.answers_look_ups:
                looked_up = await psp.provider.look_up(charge)
                assert isinstance(looked_up, CustomerNeeded), looked_up
                assert id_of(looked_up) == id_of(page)
                assert looked_up.url

    async def test_a_closed_page_is_dead(self, psp: StandIn) -> None:
        if opened := await self.opened(psp):
            charge, _ = opened
            for _ in range(2):  # asked again, it says the same
                told = await psp.provider.cancel(charge)
                assert isinstance(told, Declined), told
                assert told.code == "canceled"
            if psp.answers_look_ups:
                assert isinstance(await psp.provider.look_up(charge), Declined)

    async def test_a_page_that_was_paid_is_paid_and_cannot_be_closed(self, psp: StandIn) -> None:
        if opened := await self.opened(psp):
            charge, page = opened
            await psp.pay_page(page)
            told = [await psp.provider.cancel(charge)]
            if psp.answers_look_ups:
                told.append(await psp.provider.look_up(charge))  # type: ignore[arg-type]
            for paid in told:
                assert isinstance(paid, psp.page_truth), paid
                if isinstance(paid, Paid):
                    assert (paid.amount_cents, paid.currency.upper()) == (1_000, "EUR")

    async def test_a_try_that_failed_on_a_page_does_not_end_it(self, psp: StandIn) -> None:
        if opened := await self.opened(psp):
            charge, page = opened
            await psp.fail_on_page(page)
            if psp.answers_look_ups:
                looked_up = await psp.provider.look_up(charge)
                assert isinstance(looked_up, CustomerNeeded), looked_up
            await psp.pay_page(page)
            assert isinstance(await psp.provider.cancel(charge), psp.page_truth)
