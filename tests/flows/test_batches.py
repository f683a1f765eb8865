"""Asks that share a batch: who is served, and who is not any more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from recoup.flows.batches import Batches, Failed, serve_each


class Counter:
    """Serves at its gate, and remembers the batches that it was given."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.served: list[list[str]] = []

    async def serve(self, asks: Sequence[str]) -> list[str]:
        self.served.append([*asks])
        await self.gate.wait()
        return [ask.upper() for ask in asks]


async def test_asks_that_come_while_a_batch_runs_go_together_in_the_next() -> None:
    counter = Counter()
    batches = Batches(counter.serve)
    asking = [asyncio.create_task(batches.ask(ask)) for ask in "abc"]
    await asyncio.sleep(0)
    asking += [asyncio.create_task(batches.ask(ask)) for ask in "de"]
    await asyncio.sleep(0)
    counter.gate.set()
    assert await asyncio.gather(*asking) == [*"ABCDE"]
    assert counter.served == [["a", "b", "c"], ["d", "e"]]


async def test_an_ask_whose_asker_was_cancelled_while_it_waited_is_not_served() -> None:
    counter = Counter()
    batches = Batches(counter.serve)
    first = asyncio.create_task(batches.ask("first"))
    await asyncio.sleep(0)
    gone, alone = (asyncio.create_task(batches.ask(ask)) for ask in ("gone", "alone"))
    await asyncio.sleep(0)
    gone.cancel()
    counter.gate.set()
    assert await asyncio.gather(first, alone) == ["FIRST", "ALONE"]
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert counter.served == [["first"], ["alone"]]


async def test_a_batch_that_fails_is_run_again_ask_by_ask() -> None:
    async def serve(asks: Sequence[str]) -> list[str]:
        if "bad" in asks:
            raise ValueError("bad")
        return [ask.upper() for ask in asks]

    good, bad, fine = await serve_each(serve, ["good", "bad", "fine"])
    assert (good, fine) == ("GOOD", "FINE")
    assert isinstance(bad, Failed)
    assert isinstance(bad.error, ValueError)


async def test_where_the_database_is_away_the_rest_does_not_wait_for_it_too() -> None:
    served = []

    async def serve(asks: Sequence[str]) -> list[str]:
        served.append([*asks])
        raise ConnectionRefusedError

    answers = await serve_each(serve, [*"abcd"])
    assert served == [[*"abcd"], ["a"]]
    assert all(isinstance(answer, Failed) for answer in answers)
