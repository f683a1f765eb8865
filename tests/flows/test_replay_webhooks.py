"""What has ended is sent again: the same delivery, with all that was tried before left to read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.deliver_webhook import GivenUp, NothingDue, WillRetry
from recoup.flows.replay_webhooks import (
    SeenDelivery,
    find_delivery,
    replay_deliveries,
    replay_delivery,
)
from recoup.rules.cursors import Cursor
from recoup.rules.delivery_state import DeliveryState
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused
from recoup.rules.webhook_schedule import TRIES, WAITS
from recoup.senders.webhooks import Delivered
from recoup.store import db
from recoup.store.db import Pool
from recoup.store.delivery_lists import DeliveryFilter, TryRow
from tests.flows.hook_worlds import Receivers, World, a_world, some_receivers, status

GIVEN_UP = DeliveryFilter(state=DeliveryState.GIVEN_UP)
DELIVERED = DeliveryFilter(state=DeliveryState.DELIVERED)


@pytest_asyncio.fixture
async def receivers() -> AsyncIterator[Receivers]:
    async with some_receivers() as opened:
        yield opened


@pytest_asyncio.fixture
async def world(pool: Pool, scout: Pool, owner: asyncpg.Connection) -> AsyncIterator[World]:
    async with a_world(pool, scout, owner) as made:
        yield made


async def replayed(world: World, key: RowKey) -> SeenDelivery:
    async with db.transaction(world.pool, tenants=[key.organization_id]) as conn:
        return await replay_delivery(conn, key, now=world.now)


async def seen(world: World, key: RowKey) -> SeenDelivery:
    async with db.transaction(world.pool, tenants=[key.organization_id]) as conn:
        return await find_delivery(conn, key)


async def piece(
    world: World, wanted: DeliveryFilter, after: Cursor | None = None, most: int = 2
) -> tuple[int, Cursor | None]:
    async with db.transaction(world.pool, tenants=[world.organization_id]) as conn:
        return await replay_deliveries(
            conn, world.organization_id, wanted, after=after, most=most, now=world.now
        )


async def told_one_by_one(world: World, count: int) -> list[RowKey]:
    """So many deliveries, each a minute after the one before."""
    keys: list[RowKey] = []
    for _ in range(count):
        world.now += timedelta(minutes=1)
        before = {*await world.due()}
        [key] = set(await world.tell("payment.succeeded")) - before
        keys.append(key)
    return keys


async def deliver_due(world: World) -> None:
    """One after the other: an endpoint that fails has a single place."""
    for key in await world.due():
        await world.deliver(key)


async def replays(world: World, keys: Sequence[RowKey]) -> list[int]:
    return [(await world.row(key))["replays"] for key in keys]


async def test_it_is_sent_again_with_the_same_id_and_bytes_and_its_history_stays(
    world: World, receivers: Receivers
) -> None:
    receivers.manners["/gone"] = status(410)
    await world.add_endpoint(receivers.url("/gone"))
    (key,) = await world.tell("payment.succeeded")
    assert await world.deliver(key) == GivenUp("it answered 410")
    first_at = world.now
    receivers.manners["/gone"] = status(200)
    world.now += timedelta(days=2)
    asked = await replayed(world, key)
    assert (asked.row.state, asked.row.replays, asked.row.tries) == (DeliveryState.WAITING, 1, 1)
    assert (asked.row.replayed_at, asked.row.ended_at) == (world.now, None)
    assert await world.due() == [key]
    jobs = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'deliver_webhook'"
    assert await world.owner.fetchval(jobs) == 1, "promised in the same transaction, and once"
    assert await world.deliver(key) == Delivered(200)
    first, second = receivers.got
    assert first.body == second.body == asked.body.encode()
    for name in ("x-lago-unique-key", "webhook-id"):
        assert first.headers[name] == second.headers[name] == str(key.id)
    after = await seen(world, key)
    assert (after.row.state, after.row.tries) == (DeliveryState.DELIVERED, 2)
    where = receivers.url("/gone")
    assert after.tries == [
        TryRow(number=1, webhook_url=where, at=first_at, http_status=410, error="it answered 410"),
        TryRow(number=2, webhook_url=where, at=world.now, http_status=200, error=None),
    ]


async def test_a_receiver_that_lost_what_it_took_gets_it_again(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    for times in (1, 2, 3):
        assert await world.deliver(key) == Delivered(200)
        assert await world.deliver(key) == NothingDue()
        assert len(receivers.got) == len((await seen(world, key)).tries) == times
        await replayed(world, key)


async def test_its_schedule_begins_anew(world: World, receivers: Receivers) -> None:
    receivers.manners["/bad"] = status(500)
    await world.add_endpoint(receivers.url("/bad"))
    (key,) = await world.tell("payment.succeeded")

    async def tried_to_the_end() -> int:
        made = 1
        while isinstance(result := await world.deliver(key), WillRetry):
            if made == 1:
                assert result.at <= world.now + WAITS[0] * 1.1, "from the first wait"
            world.now, made = result.at, made + 1
        assert result == GivenUp("it answered 500")
        return made

    assert await tried_to_the_end() == TRIES
    world.now += timedelta(days=20)
    await replayed(world, key)
    assert await tried_to_the_end() == TRIES
    assert [one.number for one in (await seen(world, key)).tries] == [*range(1, 2 * TRIES + 1)]


async def test_a_receiver_may_ask_for_a_wait_long_after_the_event(
    world: World, receivers: Receivers
) -> None:
    """Its patience is counted from the replay on."""
    receivers.manners["/gone"] = status(410)
    await world.add_endpoint(receivers.url("/gone"))
    (key,) = await world.tell("payment.succeeded")
    await world.deliver(key)
    receivers.manners["/gone"] = status(503, "Retry-After: 3600")
    world.now += timedelta(days=30)
    await replayed(world, key)
    assert await world.deliver(key) == WillRetry(
        world.now + timedelta(hours=1), "it answered 503"
    )  # fmt: skip


async def test_it_goes_where_the_endpoint_is_now(world: World, receivers: Receivers) -> None:
    receivers.manners["/old"] = status(410)
    endpoint_id = await world.add_endpoint(
        receivers.url("/old"), event_types=["payment.succeeded"]
    )  # fmt: skip
    (key,) = await world.tell("payment.succeeded")
    await world.deliver(key)
    await world.owner.execute(
        "UPDATE webhook_endpoints SET webhook_url = $1, event_types = '{}' WHERE id = $2",
        receivers.url("/good"), endpoint_id,
    )  # fmt: skip
    await replayed(world, key)
    assert await world.deliver(key) == Delivered(200)
    assert [got.path for got in receivers.got] == ["/old", "/good"]
    urls = [one.webhook_url for one in (await seen(world, key)).tries]
    assert urls == [receivers.url("/old"), receivers.url("/good")]
    await world.owner.execute("DELETE FROM webhook_endpoints WHERE id = $1", endpoint_id)
    with pytest.raises(Refused) as refused:
        await replayed(world, key)
    assert refused.value.refusal.code == "webhook_delivery_not_found"
    assert await world.owner.fetchval("SELECT count(*) FROM webhook_tries") == 0


async def test_what_waits_is_not_sent_again_nor_anothers(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    for other, code in (
        (key, "webhook_delivery_is_waiting"),
        (RowKey(key.organization_id, clock.new_id()), "webhook_delivery_not_found"),
        (RowKey(clock.new_id(), key.id), "webhook_delivery_not_found"),
    ):
        with pytest.raises(Refused) as refused:
            await replayed(world, other)
        assert refused.value.refusal.code == code
    assert await replays(world, [key]) == [0]


async def test_two_who_ask_at_once_send_it_again_once(world: World, receivers: Receivers) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    await world.deliver(key)
    asked = await asyncio.gather(
        *(replayed(world, key) for _ in range(2)), return_exceptions=True
    )  # fmt: skip
    assert sorted(type(one).__name__ for one in asked) == ["Refused", "SeenDelivery"]
    assert await replays(world, [key]) == [1]


# Many


@pytest.mark.parametrize(("wanted", "answer"), [(GIVEN_UP, 410), (DELIVERED, 200)])
async def test_all_of_a_kind_are_sent_again_piece_by_piece_each_once(
    world: World, receivers: Receivers, wanted: DeliveryFilter, answer: int
) -> None:
    """Also where each has ended again, as before, when the next piece is asked for."""
    receivers.manners["/hook"] = status(answer)
    await world.add_endpoint(receivers.url("/hook"))
    keys = await told_one_by_one(world, 5)
    await deliver_due(world)
    after, counts = None, []
    for _ in range(5):
        count, after = await piece(world, wanted, after)
        counts.append(count)
        await deliver_due(world)
        if after is None:
            break
    assert counts == [2, 2, 1]
    assert await replays(world, keys) == [1] * 5
    assert len(receivers.got) == 10


async def test_what_is_told_after_the_first_piece_is_left_out(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    keys = await told_one_by_one(world, 3)
    await world.deliver_all(keys)
    _, after = await piece(world, DELIVERED)
    [later] = set(await told_one_by_one(world, 1))
    await world.deliver_all(await world.due())
    assert await piece(world, DELIVERED, after) == (1, None)
    assert await replays(world, [*keys, later]) == [1, 1, 1, 0]


async def test_a_filter_chooses_what_is_sent_again(world: World, receivers: Receivers) -> None:
    receivers.manners["/gone"] = status(410)
    good = await world.add_endpoint(receivers.url("/good"))
    gone = await world.add_endpoint(receivers.url("/gone"))
    begun = world.now
    await world.tell("payment.succeeded")
    world.now += timedelta(hours=1)
    await world.tell("invoice.voided")
    waiting_later = begun + timedelta(hours=1)
    await world.deliver_all(await world.due())
    [row, *_] = await world.owner.fetch("SELECT object_id, webhook_type FROM events")
    for fields, count in (
        ({"state": DeliveryState.GIVEN_UP}, 2),
        ({"endpoint_id": good}, 2),
        ({"endpoint_id": gone, "webhook_type": "invoice.voided"}, 1),
        ({"webhook_type": "invoice.voided"}, 2),
        ({"webhook_type": "invoice.created"}, 0),
        ({"object_id": row["object_id"]}, 2),
        ({"object_id": row["object_id"], "state": DeliveryState.DELIVERED}, 1),
        ({"created_to": begun}, 2),
        ({"created_from": waiting_later}, 2),
        ({"created_from": begun, "created_to": waiting_later}, 4),
        ({"state": DeliveryState.WAITING}, 0),
        ({}, 4),
    ):  # fmt: skip
        assert await piece(world, DeliveryFilter(**fields), most=10) == (count, None), fields
        await deliver_due(world)


async def test_another_tenants_deliveries_are_not_sent_again(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    await world.deliver(key)
    stranger = clock.new_id()
    async with db.transaction(world.pool, tenants=[stranger]) as conn:
        found: Any = await replay_deliveries(
            conn, stranger, DeliveryFilter(), after=None, now=world.now
        )
    assert found == (0, None)
    assert json.loads((await seen(world, key)).body)["webhook_type"] == "payment.succeeded"
    assert await replays(world, [key]) == [0]
