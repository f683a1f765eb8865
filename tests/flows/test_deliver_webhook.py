"""Webhooks from the event to real receivers, kind and unkind, by way of real rows."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise

import asyncpg
import jwt
import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook

from recoup import clock
from recoup.flows.deliver_webhook import (
    FAILING_AFTER,
    LEASE,
    MOST_AT_ONCE,
    WAIT_FOR_A_PLACE,
    WAIT_WHILE_FAILING,
    GivenUp,
    NothingDue,
    Overtaken,
    PutOff,
    Result,
    WillRetry,
)
from recoup.rules.records.keys import RowKey
from recoup.rules.webhook_schedule import TRIES, WAITS
from recoup.rules.webhook_signature import standard_secret
from recoup.senders.webhooks import (
    ANSWER_SECONDS,
    DEADLINE_SECONDS,
    Delivered,
    WebhookSender,
)
from recoup.store import db, webhook_deliveries
from recoup.store.db import Pool
from tests.conftest import eventually, waiting_for_locks
from tests.flows.hook_worlds import (
    RSA_KEY,
    Receivers,
    World,
    a_world,
    some_receivers,
    status,
)

SECOND = timedelta(seconds=1)


@pytest_asyncio.fixture
async def receivers() -> AsyncIterator[Receivers]:
    async with some_receivers() as opened:
        yield opened


@pytest_asyncio.fixture
async def world(pool: Pool, scout: Pool, owner: asyncpg.Connection) -> AsyncIterator[World]:
    async with a_world(pool, scout, owner) as made:
        yield made


# Delivered


@pytest.mark.parametrize("algo", ["jwt", "hmac"])
async def test_a_webhook_is_delivered_once_with_signatures_that_verify(
    algo: str, world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"), algo=algo)
    (key,) = await world.tell("payment.succeeded")
    assert await world.deliver(key) == Delivered(200)
    assert await world.deliver(key) == NothingDue()
    (got,) = receivers.got
    stored = await world.owner.fetchval("SELECT body FROM events")
    assert got.body.decode() == stored
    assert json.loads(stored)["payment"]["note"] == "12 € <&>"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-lago-unique-key"] == got.headers["webhook-id"] == str(key.id)
    assert got.headers["x-lago-signature-algorithm"] == algo
    signature = got.headers["x-lago-signature"]
    if algo == "jwt":
        assert jwt.decode(signature, RSA_KEY.public_key(), algorithms=["RS256"]) == (
            {"data": stored, "iss": "https://recoup.test"}
        )
    else:
        digest = hmac.digest(world.hmac_key.encode(), got.body, hashlib.sha256)
        assert base64.b64decode(signature, validate=True) == digest
    verified = Webhook(standard_secret(world.hmac_key)).verify(got.body, got.headers)
    assert verified == json.loads(stored)
    row = await world.row(key)
    assert (row["state"], row["tries"], row["http_status"]) == ("delivered", 1, 200)
    assert (row["deliver_at"], row["error"], row["ended_at"]) == (None, None, world.now)
    assert await world.due() == []


async def test_an_endpoint_gets_the_types_that_it_wants(world: World, receivers: Receivers) -> None:
    for path, wanted in {
        "/all": None, "/none": [], "/one": ["payment.succeeded"], "/other": ["invoice.voided"],
    }.items():  # fmt: skip
        receivers.manners[path] = status(204)
        await world.add_endpoint(receivers.url(path), event_types=wanted)
    await world.deliver_all(await world.tell("payment.succeeded", "invoice.payment_failure"))
    kinds = sorted((got.path, json.loads(got.body)["webhook_type"]) for got in receivers.got)
    assert kinds == [
        ("/all", "invoice.payment_failure"),
        ("/all", "payment.succeeded"),
        ("/one", "payment.succeeded"),
    ]


async def test_a_new_delivery_is_due_on_a_host_whose_clock_is_behind(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    world.now -= timedelta(minutes=10)
    assert await world.deliver(key) == Delivered(200)


async def test_another_tenant_cannot_name_a_delivery(world: World, receivers: Receivers) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    assert await world.deliver(RowKey(clock.new_id(), key.id)) == NothingDue()
    assert receivers.got == []


# Not delivered


async def test_a_failing_receiver_is_tried_for_days_with_the_same_id_and_bytes(
    world: World, receivers: Receivers
) -> None:
    receivers.manners["/bad"] = status(500)
    await world.add_endpoint(receivers.url("/bad"), algo="hmac")
    (key,) = await world.tell("payment.succeeded")
    tried_at = []
    while (result := await world.deliver(key)) != GivenUp("it answered 500"):
        assert isinstance(result, WillRetry)
        tried_at.append(world.now)
        row = await world.row(key)
        assert (row["state"], row["tries"]) == ("waiting", len(tried_at))
        assert (row["http_status"], row["error"]) == (500, "it answered 500")
        assert (row["deliver_at"], row["ended_at"]) == (result.at, None)
        world.now = result.at - SECOND
        assert await world.due() == []
        assert await world.deliver(key) == NothingDue(), "not before its time"
        world.now = result.at
        assert await world.due() == [key]
    tried_at.append(world.now)
    assert len(tried_at) == TRIES >= 12
    assert tried_at[-1] - tried_at[0] >= timedelta(days=3)
    gaps = [later - earlier for earlier, later in pairwise(tried_at)]
    assert all(gap >= wait for gap, wait in zip(gaps, WAITS, strict=True))
    assert len(receivers.got) == TRIES
    assert len({got.body for got in receivers.got}) == 1
    assert {got.headers["x-lago-unique-key"] for got in receivers.got} == {str(key.id)}
    assert len({got.headers["webhook-timestamp"] for got in receivers.got}) == TRIES
    row = await world.row(key)
    assert (row["state"], row["tries"], row["deliver_at"]) == ("given_up", TRIES, None)
    assert row["ended_at"] == world.now
    assert await world.deliver(key) == NothingDue()


async def test_a_receiver_that_recovers_gets_it_and_its_failure_is_forgotten(
    world: World, receivers: Receivers
) -> None:
    receivers.manners["/flaps"] = status(503)
    await world.add_endpoint(receivers.url("/flaps"))
    (key,) = await world.tell("payment.succeeded")
    result = await world.deliver(key)
    assert isinstance(result, WillRetry)
    receivers.manners["/flaps"] = status(202)
    world.now = result.at
    assert await world.deliver(key) == Delivered(202)
    row = await world.row(key)
    assert (row["state"], row["tries"]) == ("delivered", 2)
    assert (row["http_status"], row["error"]) == (202, None)


async def test_the_wait_for_the_next_try_begins_when_a_slow_one_ends(
    world: World, receivers: Receivers
) -> None:
    async def fail_late(writer: asyncio.StreamWriter) -> None:
        world.now += timedelta(seconds=14)
        writer.write(status(500))

    receivers.manners["/slow"] = fail_late
    await world.add_endpoint(receivers.url("/slow"))
    (key,) = await world.tell("payment.succeeded")
    result = await world.deliver(key)
    assert isinstance(result, WillRetry)
    assert result.at >= world.now + WAITS[0]


async def test_a_receiver_that_is_gone_is_not_asked_again(
    world: World, receivers: Receivers
) -> None:
    receivers.manners["/gone"] = status(410)
    await world.add_endpoint(receivers.url("/gone"))
    (key,) = await world.tell("payment.succeeded")
    assert await world.deliver(key) == GivenUp("it answered 410")
    row = await world.row(key)
    assert (row["state"], row["tries"], row["http_status"]) == ("given_up", 1, 410)
    world.now += timedelta(days=30)
    assert await world.due() == []
    assert await world.deliver(key) == NothingDue()


async def test_a_receiver_may_ask_for_a_longer_wait(world: World, receivers: Receivers) -> None:
    receivers.manners["/busy"] = status(429, "Retry-After: 120")
    await world.add_endpoint(receivers.url("/busy"))
    (key,) = await world.tell("payment.succeeded")
    told = WillRetry(world.now + timedelta(seconds=120), "it answered 429")
    assert await world.deliver(key) == told


async def test_an_inner_address_is_refused_by_name_and_tried_again_by_schedule(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    async with WebhookSender() as strict:
        result = await world.deliver(key, sender=strict)
    assert isinstance(result, WillRetry)
    assert result.at > world.now
    assert receivers.got == []
    row = await world.row(key)
    assert (row["state"], row["tries"], row["http_status"]) == ("waiting", 1, None)
    assert row["error"] == "the host's address is not public: this machine"
    world.now = result.at
    assert await world.deliver(key) == Delivered(200), "the operator has allowed it since"


async def test_the_deliveries_of_a_deleted_endpoint_are_gone(
    world: World, receivers: Receivers
) -> None:
    endpoint_id = await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    await world.owner.execute("DELETE FROM webhook_endpoints WHERE id = $1", endpoint_id)
    assert await world.due() == []
    assert await world.deliver(key) == NothingDue()
    assert receivers.got == []


async def test_an_endpoint_may_be_deleted_while_it_is_called(
    world: World, receivers: Receivers
) -> None:
    async def delete_it(writer: asyncio.StreamWriter) -> None:
        await world.owner.execute("DELETE FROM webhook_endpoints")
        writer.write(status(500))

    receivers.manners["/leaving"] = delete_it
    await world.add_endpoint(receivers.url("/leaving"))
    (key,) = await world.tell("payment.succeeded")
    assert await world.deliver(key) == Overtaken()


# Workers that die, and workers that meet


def test_a_lease_outlives_the_longest_call() -> None:
    longest = timedelta(seconds=DEADLINE_SECONDS + ANSWER_SECONDS)
    assert longest + 10 * SECOND < LEASE, "and the write that follows it"


@pytest.mark.parametrize("how", ["killed", "cut off from the database"])
async def test_a_worker_that_dies_after_sending_is_followed_by_another_with_the_same_id(
    how: str, world: World, receivers: Receivers, dsn: str
) -> None:
    dying = await db.connect(dsn, most=2)

    async def die(writer: asyncio.StreamWriter) -> None:
        if how == "killed":
            worker.cancel()
        else:
            dying.terminate()
        writer.write(status(200))

    receivers.manners["/watched"] = die
    await world.add_endpoint(receivers.url("/watched"))
    (key,) = await world.tell("payment.succeeded")
    worker = asyncio.create_task(world.deliver(key, pool=dying))
    with pytest.raises((asyncio.CancelledError, asyncpg.InterfaceError)):
        await worker
    dying.terminate()
    receivers.manners["/watched"] = status(200)

    world.now += LEASE - SECOND
    assert await world.due() == []
    assert await world.deliver(key) == NothingDue(), "the other may still be sending"
    world.now += SECOND
    assert await world.due() == [key]
    assert await world.deliver(key) == Delivered(200)
    first, second = receivers.got
    assert first.body == second.body
    assert first.headers["x-lago-unique-key"] == second.headers["x-lago-unique-key"]
    assert (await world.row(key))["state"] == "delivered"


async def test_a_worker_that_dies_leaves_its_place_to_others(
    world: World, receivers: Receivers
) -> None:
    receivers.manners["/hangs"] = receivers.hang
    await world.add_endpoint(receivers.url("/hangs"))
    keys = await world.tell(*["payment.succeeded"] * MOST_AT_ONCE)
    workers = [asyncio.create_task(world.deliver(key)) for key in keys]
    await eventually(
        lambda: _holds(len(receivers.got) == MOST_AT_ONCE), what="all places are taken"
    )
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    receivers.manners["/hangs"] = status(200)
    world.now += LEASE
    assert await world.deliver_all(keys) == [Delivered(200)] * MOST_AT_ONCE


async def test_of_two_workers_that_meet_one_waits_and_finds_nothing_due(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    async with db.transaction(world.pool, tenants=[world.organization_id]) as conn:
        assert await webhook_deliveries.lock_due(conn, key, now=world.now)
        other = asyncio.create_task(world.deliver(key))
        await eventually(lambda: _waits_for_a_lock(world.owner), what="the other waits")
        await webhook_deliveries.put_off(conn, key, until=world.now + LEASE)
    assert await other == NothingDue()
    assert receivers.got == []


async def test_many_workers_with_the_same_job_send_once(world: World, receivers: Receivers) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (key,) = await world.tell("payment.succeeded")
    results = await world.deliver_all([key] * 8)
    assert results.count(Delivered(200)) == 1
    assert results.count(NothingDue()) == 7
    assert len(receivers.got) == 1


@pytest.mark.parametrize("second", [200, 500])
async def test_a_worker_that_wakes_up_late_does_not_undo_what_another_did(
    second: int, world: World, receivers: Receivers
) -> None:
    async def oversleep(writer: asyncio.StreamWriter) -> None:
        receivers.manners["/meanwhile"] = status(second)
        world.now += LEASE
        others.append(await world.deliver(key))
        writer.write(status(503))

    others: list[Result] = []
    receivers.manners["/meanwhile"] = oversleep
    await world.add_endpoint(receivers.url("/meanwhile"))
    (key,) = await world.tell("payment.succeeded")
    assert await world.deliver(key) == Overtaken()
    (other,) = others
    row = await world.row(key)
    assert (row["tries"], row["http_status"]) == (1, second)
    if isinstance(other, WillRetry):
        assert (row["state"], row["deliver_at"]) == ("waiting", other.at)
    else:
        assert (row["state"], row["deliver_at"]) == ("delivered", None)


@pytest.mark.parametrize(("second", "tries"), [(200, 1), (410, 2), (500, 2)])
async def test_a_success_counts_whatever_another_worker_found_meanwhile(
    second: int, tries: int, world: World, receivers: Receivers
) -> None:
    async def oversleep(writer: asyncio.StreamWriter) -> None:
        receivers.manners["/meanwhile"] = status(second)
        world.now += LEASE
        await world.deliver(key)
        writer.write(status(201))

    receivers.manners["/meanwhile"] = oversleep
    await world.add_endpoint(receivers.url("/meanwhile"))
    (key,) = await world.tell("payment.succeeded")
    assert await world.deliver(key) == Delivered(201)
    row = await world.row(key)
    assert (row["state"], row["tries"]) == ("delivered", tries)
    assert (row["deliver_at"], row["error"]) == (None, None)


# Receivers that hold nobody up


async def test_good_receivers_get_theirs_at_once_whatever_the_others_do(
    world: World, receivers: Receivers
) -> None:
    unkind = {
        "/hangs": receivers.hang,
        "/begins": receivers.begin_and_hang,
        "/drips": receivers.drip,
        "/resets": receivers.reset,
        "/closes": b"",
        "/nonsense": b"\x16\x03\x01\x02\x00\r\n\r\n",
        "/broken": status(500),
        "/unavailable": status(503, "Retry-After: 3600"),
        "/limited": status(429, "Retry-After: 120"),
        "/moved": status(301, f"Location: {receivers.url('/good')}"),
        "/elsewhere": status(307, f"Location: {receivers.url('/good')}"),
        "/unauthorized": status(401),
        "/gone": status(410),
        "/partial": status(206),
    }
    kind = {
        "/pours": receivers.pour,
        "/says-a-lot": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>hi!",
        "/created": status(201),
        "/no-content": status(204),
    }
    receivers.manners |= unkind | kind
    for path in receivers.manners:
        await world.add_endpoint(receivers.url(path))
    await world.add_endpoint(receivers.url("/good").replace("http:", "https:"))
    assert len(receivers.manners) + 1 == 20
    keys = await world.tell(*[f"kind.{number}" for number in range(5)])
    assert len(keys) == 100

    trying = {asyncio.create_task(world.deliver(key)) for key in keys}
    for path in ("/good", *kind):
        await eventually(
            lambda path=path: _is_delivered(world, receivers.url(path), 5),
            what=f"{path} has all of its own",
        )
    for path in ("/hangs", "/begins", "/drips"):
        await eventually(
            lambda path=path: _holds(len(receivers.at(path)) == 5),
            what=f"{path} has been sent all of its own",
        )
    assert sum(not one.done() for one in trying) >= 15, "the slow ones have not ended yet"

    receivers.release.set()
    results = await asyncio.gather(*trying)
    assert results.count(GivenUp("it answered 410")) == 5
    assert sum(isinstance(result, Delivered) for result in results) == 5 * (1 + len(kind))
    assert sum(isinstance(result, WillRetry) for result in results) == 5 * len(unkind)
    assert len(receivers.at("/good")) == 5, "nobody was sent there by a redirect"


async def test_what_finds_no_place_at_an_endpoint_is_put_off_without_a_try(
    world: World, receivers: Receivers
) -> None:
    receivers.manners["/slow"] = receivers.take_long
    await world.add_endpoint(receivers.url("/slow"), event_types=["payment.succeeded"])
    await world.add_endpoint(receivers.url("/good"), event_types=["invoice.voided"])
    keys = await world.tell(*["payment.succeeded"] * 20)
    trying = [asyncio.create_task(world.deliver(key)) for key in keys]
    await eventually(
        lambda: _holds(sum(one.done() for one in trying) == 20 - MOST_AT_ONCE),
        what="all but those that found a place have ended",
    )
    put_off = [key for key, one in zip(keys, trying, strict=True) if one.done()]
    for key in put_off:
        row = await world.row(key)
        assert (row["state"], row["tries"]) == ("waiting", 0)
        assert row["deliver_at"] == world.now + WAIT_FOR_A_PLACE
    (good,) = await world.tell("invoice.voided")
    assert await world.deliver(good) == Delivered(200), "another endpoint has its own places"

    receivers.release.set()
    results = await asyncio.gather(*trying)
    assert results.count(Delivered(200)) == len(receivers.at("/slow")) == MOST_AT_ONCE
    world.now += WAIT_FOR_A_PLACE
    assert set(await world.due()) == set(put_off)
    assert await world.deliver_all(put_off[:MOST_AT_ONCE]) == [Delivered(200)] * MOST_AT_ONCE


async def test_an_endpoint_that_only_fails_is_called_once_at_a_time_until_it_answers(
    world: World, receivers: Receivers
) -> None:
    receivers.manners["/dead"] = status(500)
    await world.add_endpoint(receivers.url("/dead"))
    keys = await world.tell(*["payment.succeeded"] * (FAILING_AFTER + 20))
    failures = [await world.deliver(key) for key in keys[:FAILING_AFTER]]
    assert all(isinstance(result, WillRetry) for result in failures)

    receivers.manners["/dead"] = receivers.hang
    trying = [asyncio.create_task(world.deliver(key)) for key in keys[FAILING_AFTER:]]
    await eventually(
        lambda: _holds(sum(one.done() for one in trying) == 19), what="all but one have ended"
    )
    assert {one.result() for one in trying if one.done()} == {
        PutOff(world.now + WAIT_WHILE_FAILING)
    }
    receivers.release.set()
    await asyncio.gather(*trying)
    assert len(receivers.got) == FAILING_AFTER + 1

    receivers.manners["/dead"] = status(200)
    world.now += WAIT_WHILE_FAILING
    first, *rest = await world.due()
    assert await world.deliver(first) == Delivered(200)
    assert await world.deliver_all(rest[:MOST_AT_ONCE]) == [Delivered(200)] * MOST_AT_ONCE


async def test_the_longest_waiting_are_due_first_and_no_more_than_asked_for(
    world: World, receivers: Receivers
) -> None:
    await world.add_endpoint(receivers.url("/good"))
    (older,) = await world.tell("payment.succeeded")
    world.now += SECOND
    both = await world.tell("payment.succeeded")
    assert both[0] == older
    async with db.nameless(world.scout) as conn:
        assert await webhook_deliveries.due(conn, now=world.now, most=1) == [older]


async def _holds(statement: bool) -> bool:
    return statement


async def _waits_for_a_lock(owner: asyncpg.Connection) -> bool:
    return await waiting_for_locks(owner) > 0


async def _is_delivered(world: World, url: str, count: int) -> bool:
    return bool(
        await world.owner.fetchval(
            "SELECT count(*) = $2 FROM webhook_deliveries d JOIN webhook_endpoints e"
            " ON e.id = d.endpoint_id WHERE e.webhook_url = $1 AND d.state = 'delivered'",
            url,
            count,
        )
    )
