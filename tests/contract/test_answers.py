"""Every operation answers in Lago's words: each key, its type, whether it may be null."""

from __future__ import annotations

from typing import Final

import pytest

from tests.contract.conftest import CONTRACT
from tests.contract.contract import Contract
from tests.contract.differences import (
    ALWAYS_EMPTY,
    ANSWERS,
    DIFFERENCES,
    NEVER_ANSWERED,
    Kind,
)
from tests.contract.events import event_schema, event_types
from tests.contract.exercises import EXERCISES
from tests.contract.judge import wrong
from tests.contract.shapes import seen
from tests.contract.world import Exchange, World

pytestmark = pytest.mark.slow

NOT_HERE: Final = "the contract is not here"
OPERATIONS: Final = sorted(CONTRACT.operations) if CONTRACT else [NOT_HERE]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_an_operation_answers_as_the_contract_says(
    contract: Contract, world: World, operation: str
) -> None:
    if operation in NEVER_ANSWERED:
        assert operation not in EXERCISES  # `test_refusals` calls it
        return
    await world.get(EXERCISES[operation])
    answers = [one for one in world.answers_of(operation) if one.status == 200]
    assert answers, f"{operation} was not called by its exercise"
    assert [fault for one in answers for fault in wrong(contract, one)] == []


async def all_answers(world: World) -> list[Exchange]:
    """Everything that was answered with 200, once every operation was called."""
    for exercise in EXERCISES.values():
        await world.get(exercise)
    return [
        one
        for one in world.exchanges
        if one.status == 200 and one.operation in world.contract.operations and one.body is not None
    ]


async def test_every_key_was_seen_with_something_in_it(contract: Contract, world: World) -> None:
    """Or else nobody knows what it looks like: more data is needed, or a difference be written."""
    possible: set[str] = set()
    filled: set[str] = set()
    for one in await all_answers(world):
        schema = contract.answer(one.operation, 200)
        assert schema is not None
        possible |= contract.shapes.keys_of(schema)
        filled |= {key for key, holds in seen(schema, one.body) if holds}
    # What is sent besides is sent in events: `test_events` sees it.
    elsewhere = {one.where for one in DIFFERENCES if one.kind in {Kind.NULL, Kind.MORE}}
    empty = possible - filled - elsewhere
    assert not empty, "never seen filled:\n" + "\n".join(sorted(empty))


def test_every_operation_is_exercised(contract: Contract) -> None:
    assert set(EXERCISES) | set(NEVER_ANSWERED) == set(contract.operations)
    assert set(contract.operations) >= set(ANSWERS)


def test_no_difference_is_written_down_twice_or_of_a_key_that_nobody_knows(
    contract: Contract,
) -> None:
    for operation in contract.operations.values():
        for status in operation.responses:
            contract.answer(operation.key, int(status))
    for kind in event_types(contract):
        event_schema(contract, kind)
    names = [one.where for one in DIFFERENCES]
    assert len(names) == len(set(names))
    assert sorted({*names, *ALWAYS_EMPTY} - contract.shapes.known_keys) == []
