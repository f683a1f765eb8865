"""What every adapter must do with a refund, while the wire holds."""

from __future__ import annotations

from uuid import UUID

import msgspec

from recoup.providers.protocol import (
    Charge,
    Declined,
    NotKnown,
    Refund,
    Refunded,
    RefundOrder,
    RefundProcessing,
)
from tests.providers.on_charges import ChargeOrders
from tests.providers.stand_in import StandIn

REFUND = UUID("01890000-0000-7000-8000-00000000f001")


class RefundOrders(ChargeOrders):
    """Makes the refunds of a test."""

    def refund(
        self,
        psp: StandIn,
        charge: Charge,
        number: int = 0,
        *,
        amount_cents: int = 400,
        before_cents: int = 0,
    ) -> Refund:
        assert charge.provider_payment_id is not None, (
            "only a charge that is known can be paid back"
        )
        order = RefundOrder(
            refund_id=UUID(int=REFUND.int + number),
            provider_payment_id=charge.provider_payment_id,
            amount_cents=amount_cents,
            currency="EUR",
            charged_cents=1_000,
            refunded_before_cents=before_cents,
            reference="Acme - Invoice ACM-001",
            metadata={"lago_invoice_id": "01890000-0000-7000-8000-000000000002"},
        )
        return Refund(f"refund-{order.refund_id}", psp.provider.render_refund(order))


class RefundConformance(RefundOrders):
    """Refund, look up a refund."""

    async def test_a_refund_says_what_went_back(self, psp: StandIn) -> None:
        refund = self.refund(psp, await self.paid(psp))
        told = await psp.provider.refund(refund)
        assert isinstance(told, psp.refund_truth)
        assert told.provider_refund_id
        if isinstance(told, Refunded):
            assert (told.amount_cents, told.currency.upper()) == (400, "EUR")
        known = msgspec.structs.replace(refund, provider_refund_id=told.provider_refund_id)
        for asked in (refund, known):
            looked_up = await psp.provider.look_up_refund(asked)
            assert looked_up == (told if psp.answers_look_ups else NotKnown(was_asked=False))

    async def test_sent_again_it_is_the_same_refund(self, psp: StandIn) -> None:
        refund = self.refund(psp, await self.paid(psp))
        first = await psp.provider.refund(refund)
        again = await psp.provider.refund(msgspec.structs.replace(refund, sent_before=True))
        assert again == first
        assert await psp.refunded_keys() == [refund.idempotency_key]

    async def test_two_refunds_of_one_charge_are_two(self, psp: StandIn) -> None:
        charge = await self.paid(psp)
        refunds = [self.refund(psp, charge, n, before_cents=400 * n) for n in range(2)]
        told = [await psp.provider.refund(refund) for refund in refunds]
        assert all(isinstance(one, psp.refund_truth) for one in told)
        assert await psp.refunded_keys() == [refund.idempotency_key for refund in refunds]

    async def test_no_more_goes_back_than_was_paid(self, psp: StandIn) -> None:
        charge = await self.paid(psp)
        told = await psp.provider.refund(self.refund(psp, charge, amount_cents=1_001))
        # Where the provider decides later, it has taken the order and says nothing else yet.
        is_late = psp.refund_truth is RefundProcessing
        assert isinstance(told, Declined | RefundProcessing if is_late else Declined)
        if isinstance(told, Declined):
            assert told.code

    async def test_a_refund_that_was_never_sent_is_not_known(self, psp: StandIn) -> None:
        refund = self.refund(psp, await self.paid(psp))
        assert isinstance(await psp.provider.look_up_refund(refund), NotKnown)
        assert await psp.refunded_keys() == []
