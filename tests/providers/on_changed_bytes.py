"""No answer makes an adapter raise: each call's true answers are recorded, and bytes changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any

from recoup.providers.protocol import (
    CannotList,
    ChargeList,
    CustomerMade,
    CustomerNeeded,
    Declined,
    Lost,
    NotKnown,
    Page,
    Paid,
    Processing,
    Provider,
    Refunded,
    RefundProcessing,
    StoredMethod,
)
from tests.providers.nonsense import can_be_kept, liar, mutated
from tests.providers.on_methods import a_customer, a_set_up
from tests.providers.on_refunds import RefundOrders
from tests.providers.stand_in import StandIn
from tests.providers.wire import WireFault, broken_wire

MUTATIONS = 100
HOUR = timedelta(hours=1)
ENDS = (Paid, Processing, CustomerNeeded, Declined, Lost)
REFUND_ENDS = (Refunded, RefundProcessing, Declined, Lost)
WORDS: Mapping[str, tuple[type, ...]] = {
    "look_up": (*ENDS, NotKnown),
    "cancel": ENDS,
    "refund": REFUND_ENDS,
    "look_up_refund": (*REFUND_ENDS, NotKnown),
    "create_customer": (CustomerMade, Declined, Lost),
    "find_method": (StoredMethod, NotKnown, Lost),
    "list_methods": (list, tuple, NotKnown, Lost),
    "set_up_page": (Page, Declined, Lost),
    "list_charges": (ChargeList, CannotList, Lost),
}
Call = Callable[[Provider], Awaitable[Any]]


class ChangedBytesConformance(RefundOrders):
    """Every call but `charge`, whose answers a stand-in brings itself."""

    async def test_no_bytes_make_it_raise(self, psp: StandIn) -> None:
        """True answers with a few bytes changed: told by some word, and never by an error."""
        chance = Random(3)
        calls = await self._calls(psp)
        assert calls.keys() == WORDS.keys()
        async with liar() as server:
            provider = psp.asking(server.base)
            for name, call in calls.items():
                answers = await _recorded(psp, call)
                server.status, server.body = next(iter(answers.values()), (200, b"{}"))
                for _ in range(MUTATIONS if answers else 1):
                    server.by_path = {
                        path: (status, mutated(body, chance) if body else body)
                        for path, (status, body) in answers.items()
                    }
                    told = await call(provider)
                    assert isinstance(told, WORDS[name]), f"{name} is {told}"
                    assert can_be_kept(told), f"{name}: {server.by_path}"

    async def _calls(self, psp: StandIn) -> Mapping[str, Call]:
        paid = await self.paid(psp, 0)
        open_one = await self.begun(psp, self.charge(psp, self.open_by, 1))
        refund, now = self.refund(psp, paid), psp.now()
        method_id = psp.method_id(self.paid_by)
        return {
            "look_up": lambda provider: provider.look_up(paid),
            "cancel": lambda provider: provider.cancel(open_one),
            "refund": lambda provider: provider.refund(refund),
            "look_up_refund": lambda provider: provider.look_up_refund(refund),
            "create_customer": lambda provider: provider.create_customer(a_customer()),
            "find_method": lambda provider: provider.find_method(method_id, psp.customer_id),
            "list_methods": lambda provider: provider.list_methods(psp.customer_id),
            "set_up_page": lambda provider: provider.set_up_page(a_set_up(psp)),
            "list_charges": lambda provider: provider.list_charges(
                since=now - HOUR, before=now + HOUR, after=None
            ),
        }


async def _recorded(psp: StandIn, call: Call) -> dict[str, tuple[int, bytes]]:
    """Make a call over a sound wire, and tell what was answered to which method and path."""
    async with broken_wire(psp.base, WireFault.CLOSED, is_done=True) as wire:
        wire.mend()
        told = await call(psp.asking(wire.base))
        assert not isinstance(told, Lost), told
        return {
            f"{sent.method} {sent.target.partition('?')[0]}": answer for sent, answer in wire.told
        }
