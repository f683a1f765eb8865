"""What every adapter must do when its answers are lost: sixteen faults, done or not done.

A cell is one fault, one call, and whether the provider did what it was asked before the answer was
lost. In every cell the first answer is `Lost`; what follows over the sound wire is the truth, and
the provider's books show it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec
import pytest

from recoup.providers.protocol import (
    LONGEST_CALL,
    CannotList,
    CustomerMade,
    Declined,
    Lost,
    NotKnown,
    Page,
    Provider,
)
from tests.providers.on_methods import a_customer, a_set_up
from tests.providers.on_refunds import RefundOrders
from tests.providers.stand_in import StandIn
from tests.providers.wire import (
    ELSEWHERE,
    IS_OUTAGE,
    RETRY_AFTER_SECONDS,
    SLOW,
    Wire,
    WireFault,
    broken_wire,
)

Told = TypeVar("Told")
Cell = Callable[[WireFault, bool], Awaitable[None]]

FAULTS: Final = tuple(WireFault)
# An adapter counts in its own seconds, and the machine that tests it may be busy.
LET_BE: Final = (LONGEST_CALL + timedelta(seconds=5)).total_seconds()
CELLS_AT_ONCE: Final = 8
HOUR: Final = timedelta(hours=1)


class WireConformance(RefundOrders):
    """Lost answers."""

    async def test_sixteen_wire_faults(self, psp: StandIn) -> None:
        async def cell(fault: WireFault, is_done: bool) -> None:
            await self._charge_through(psp, fault, is_done)

        await fill(("charge", cell, (True, False)), cells=16 * 2)

    async def test_sixteen_wire_faults_of_all_that_is_no_charge(self, psp: StandIn) -> None:
        async def refund(fault: WireFault, is_done: bool) -> None:
            await self._refund_through(psp, fault, is_done)

        async def cancel(fault: WireFault, is_done: bool) -> None:
            await self._cancel_through(psp, fault, is_done)

        async def ask(fault: WireFault, is_done: bool) -> None:
            await self._ask_through(psp, fault, is_done)

        await fill(
            ("refund", refund, (True, False)),
            ("cancel", cancel, (True, False)),
            ("ask", ask, (True,)),
            cells=16 * 5,
        )

    @pytest.mark.parametrize("is_done", [True, False])
    async def test_a_charge_that_is_cancelled_underway_is_made_once(
        self, psp: StandIn, is_done: bool
    ) -> None:
        charge = self.charge(psp, self.paid_by)
        async with broken_wire(psp.base, WireFault.HANG, is_done=is_done) as wire:
            provider = psp.asking(wire.base)
            underway = asyncio.create_task(provider.charge(charge))
            await asyncio.wait_for(wire.was_done.wait(), LET_BE)
            underway.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(underway, LET_BE)
            wire.mend()
            again = msgspec.structs.replace(charge, sent_before=True)
            assert isinstance(await provider.charge(again), psp.truth)
            assert await psp.charged_keys() == [charge.idempotency_key]
            same_to_the_letter(wire, charge.idempotency_key)

    async def test_a_redirect_is_not_followed(self, psp: StandIn) -> None:
        """It leads away from the provider, and whoever follows it shows our key to somebody."""
        async with broken_wire(psp.base, WireFault.REDIRECT, is_done=True) as wire:
            provider = psp.asking(wire.base)
            await provider.charge(self.charge(psp, self.paid_by))
            await provider.look_up(self.charge(psp, self.paid_by))
            await provider.list_methods(psp.customer_id)
            assert not [sent for sent in wire.sent if sent.target.startswith(ELSEWHERE)]

    async def _charge_through(self, psp: StandIn, fault: WireFault, is_done: bool) -> None:
        charge = self.charge(psp, self.paid_by, number_of(fault, is_done))
        key = charge.idempotency_key
        async with broken_wire(psp.base, fault, is_done=is_done) as wire:
            provider = psp.asking(wire.base)
            must_be_lost(await ended(provider.charge(charge)), fault, psp)
            assert (await psp.charged_keys()).count(key) == is_done, "the wire did not do its part"
            wire.mend()
            looked_up = await ended(provider.look_up(charge))
            word = psp.truth if psp.answers_look_ups and is_done else NotKnown
            assert isinstance(looked_up, word), f"looked up, it is {looked_up}"
            again = await ended(provider.charge(msgspec.structs.replace(charge, sent_before=True)))
            assert isinstance(again, psp.truth), f"sent again, it is {again}"
            keys = await psp.charged_keys()
            assert keys.count(key) == 1, f"charged {keys.count(key)} times"
            same_to_the_letter(wire, key)

    async def _refund_through(self, psp: StandIn, fault: WireFault, is_done: bool) -> None:
        number = number_of(fault, is_done)
        refund = self.refund(psp, await self.paid(psp, number), number)
        key = refund.idempotency_key
        async with broken_wire(psp.base, fault, is_done=is_done) as wire:
            provider = psp.asking(wire.base)
            must_be_lost(await ended(provider.refund(refund)), fault, psp)
            assert (await psp.refunded_keys()).count(key) == is_done, "the wire did not do its part"
            wire.mend()
            looked_up = await ended(provider.look_up_refund(refund))
            word = psp.refund_truth if psp.answers_look_ups and is_done else NotKnown
            assert isinstance(looked_up, word), f"looked up, it is {looked_up}"
            again = await ended(provider.refund(msgspec.structs.replace(refund, sent_before=True)))
            assert isinstance(again, psp.refund_truth), f"sent again, it is {again}"
            keys = await psp.refunded_keys()
            assert keys.count(key) == 1, f"refunded {keys.count(key)} times"
            same_to_the_letter(wire, key)

    async def _cancel_through(self, psp: StandIn, fault: WireFault, is_done: bool) -> None:
        number = number_of(fault, is_done) + len(FAULTS) * 2  # beside the charges that are refunded
        charge = await self.begun(psp, self.charge(psp, self.open_by, number))
        async with broken_wire(psp.base, fault, is_done=is_done) as wire:
            provider = psp.asking(wire.base)
            must_be_lost(await ended(provider.cancel(charge)), fault, psp)
            wire.mend()
            again = await ended(provider.cancel(charge))
            assert isinstance(again, psp.cancel_truth), f"canceled again, it is {again}"
            assert not isinstance(again, Declined) or again.code == "canceled", again.code

    async def _ask_through(self, psp: StandIn, fault: WireFault, is_done: bool) -> None:
        """Everything that moves no money: lost like the rest, and the answer is there again."""
        number = number_of(fault, is_done) + len(FAULTS) * 4
        charge = await self.paid(psp, number)
        refund = self.refund(psp, charge, number)
        customer, set_up = a_customer(number), a_set_up(psp, number)
        async with broken_wire(psp.base, fault, is_done=is_done) as wire:
            provider = psp.asking(wire.base)
            questions: list[tuple[Awaitable[Any], type]] = [
                (provider.look_up(charge), Lost if psp.answers_look_ups else NotKnown),
                (provider.look_up_refund(refund), Lost if psp.answers_look_ups else NotKnown),
                (provider.find_method(psp.method_id(self.paid_by), psp.customer_id), Lost),
                (provider.list_methods(psp.customer_id), Lost),
                (provider.create_customer(customer), Lost if psp.makes_customers else CustomerMade),
                (provider.set_up_page(set_up), Lost),
                (list_of(provider, psp), Lost if psp.lists_charges else CannotList),
            ]
            answers = await asyncio.gather(*(ended(question) for question, _ in questions))
            for told, (question, word) in zip(answers, questions, strict=True):
                assert isinstance(told, word), f"{question} is {told}"
                if isinstance(told, Lost):
                    must_be_lost(told, fault, psp)
            wire.mend()
            assert isinstance(await ended(provider.create_customer(customer)), CustomerMade)
            assert isinstance(await ended(provider.set_up_page(set_up)), Page)


async def fill(*kinds: tuple[str, Cell, tuple[bool, ...]], cells: int) -> None:
    """Run every cell of the table, and tell all that went wrong at once.

    Those that keep their caller waiting come last and beside each other, so that one time-out is
    waited for and an adapter's threads are free for the others.
    """
    at_once = asyncio.Semaphore(CELLS_AT_ONCE)
    wrong: dict[str, BaseException] = {}
    filled = set()

    async def one(name: str, cell: Cell, fault: WireFault, is_done: bool) -> None:
        place = f"{name} / {fault} / {'done' if is_done else 'not done'}"
        try:
            if fault in SLOW:
                await cell(fault, is_done)
            else:
                async with at_once:
                    await cell(fault, is_done)
        except Exception as error:  # noqa: BLE001  a cell's, whatever it is: the table shows it
            wrong[place] = error
        filled.add(place)

    for is_slow in (False, True):
        async with asyncio.TaskGroup() as group:
            for name, cell, plans in kinds:
                for fault in FAULTS:
                    for is_done in plans:
                        if (fault in SLOW) is is_slow:
                            group.create_task(one(name, cell, fault, is_done))
    assert len(filled) == cells, f"{len(filled)} cells of {cells} were filled"
    table = "\n".join(f"{place}: {error!r:.200}" for place, error in sorted(wrong.items()))
    assert not wrong, f"{len(wrong)} cells of {cells} are wrong:\n{table}"


def number_of(fault: WireFault, is_done: bool) -> int:
    """A cell's own number: its attempts and refunds are told apart by it."""
    return FAULTS.index(fault) * 2 + is_done


async def ended(call: Awaitable[Told]) -> Told:
    """Await a call that must end by itself."""
    try:
        return await asyncio.wait_for(call, LET_BE)
    except TimeoutError:
        raise AssertionError(f"it has not ended within {LET_BE} s") from None


def must_be_lost(told: object, fault: WireFault, psp: StandIn) -> None:
    """Check that an answer over a broken wire is lost, and says why as far as that matters."""
    assert isinstance(told, Lost), f"it is {told}"
    assert told.why
    assert IS_OUTAGE[fault] in {None, told.is_outage}, f"is_outage is {told.is_outage}"
    waits = RETRY_AFTER_SECONDS if fault is WireFault.RATE_LIMITED else None
    if psp.tells_how_long_to_wait or waits is None:
        assert told.retry_after_seconds == waits, f"waits for {told.retry_after_seconds}"


def same_to_the_letter(wire: Wire, key: str) -> None:
    """Check that what was sent again is what was sent, under the same key, once each time."""
    first, again = wire.writes()
    assert len(first) == 1, f"sent {len(first)} times before anybody asked for it"
    assert again, "nothing was sent again"
    assert again[0].to_the_letter() == first[0].to_the_letter()
    assert first[0].idempotency_key == key, f"its key is {first[0].idempotency_key}"


async def list_of(provider: Provider, psp: StandIn) -> object:
    """Ask for the first page of the charges of these hours."""
    now = psp.now()
    return await provider.list_charges(since=now - HOUR, before=now + HOUR, after=None)
