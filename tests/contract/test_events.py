"""Every event of the contract is delivered, and its body is in Lago's words."""

from __future__ import annotations

import json

import pytest

from tests.contract.contract import Contract
from tests.contract.differences import NEVER_TOLD
from tests.contract.events import TOLD, all_bodies, event_schema, event_types, wrong_in_event
from tests.contract.shapes import seen
from tests.contract.world import World

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", sorted(TOLD))
async def test_an_event_is_told_in_the_contracts_words(
    contract: Contract, world: World, kind: str
) -> None:
    await world.get(TOLD[kind])
    await world.told(kind)
    bodies = [json.loads(body) for body in all_bodies(world, kind)]
    assert [fault for body in bodies for fault in wrong_in_event(contract, kind, body)] == []


async def test_the_method_of_a_payment_goes_along(contract: Contract, world: World) -> None:
    await world.get(TOLD["payment.succeeded"])
    told = await world.told("payment.succeeded")
    schema = event_schema(contract, "payment.succeeded")
    assert ("PaymentObject.payment_method", True) in seen(schema, json.loads(told.body))


async def test_what_is_never_told_is_not_told(contract: Contract, world: World) -> None:
    for kind, make in TOLD.items():
        await world.get(make)
        await world.told(kind)
    kinds = {webhook.kind for webhook in world.receiver.came}
    assert not kinds & set(NEVER_TOLD)


def test_every_event_is_brought_about(contract: Contract) -> None:
    assert set(TOLD) | set(NEVER_TOLD) == set(event_types(contract))
    assert not set(TOLD) & set(NEVER_TOLD)
