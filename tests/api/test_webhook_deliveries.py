"""`/webhook_deliveries` as a caller sees it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.rules.records.keys import RowKey
from recoup.store import db, events, webhook_deliveries
from recoup.store.db import Pool
from recoup.store.events import Event
from tests.api.billing import refusal
from tests.api.conftest import Tenant

PATH: Final = "/webhook_deliveries"
NOON: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOBODYS: Final = "00000000-0000-7000-8000-00000000abcd"


async def has_endpoint(tenant: Tenant, name: str) -> str:
    listening = {"webhook_endpoint": {"webhook_url": f"https://{name}.example/hook"}}
    made = await tenant.post("/webhook_endpoints", listening)
    return str(made.json()["webhook_endpoint"]["lago_id"])


async def tell(
    tenant: Tenant, pool: Pool, kind: str, *, minutes: int = 0, about: UUID | None = None
) -> list[RowKey]:
    """Tell an event so many minutes after noon, and answer its deliveries."""
    told = Event(
        tenant.organization_id, clock.new_id(), kind, about or clock.new_id(), f'"{kind} €"'
    )
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        return await events.insert(conn, [told], now=NOON + timedelta(minutes=minutes))


async def end(pool: Pool, key: RowKey, http_status: int = 200) -> None:
    """Write down a first try: it was delivered by a 200, and given up by anything else."""
    at = NOON + timedelta(hours=1)
    async with db.transaction(pool, tenants=[key.organization_id]) as conn:
        due = await webhook_deliveries.lock_due(conn, key, now=clock.now())
        assert due is not None
        if http_status == 200:
            await webhook_deliveries.delivered(conn, due, http_status=200, began_at=at, now=at)
            return
        await webhook_deliveries.put_off(conn, key, until=at)
        assert await webhook_deliveries.failed(
            conn, due, leased_until=at, next_try_at=None, http_status=http_status,
            error=f"it answered {http_status}", began_at=at, now=at,
        )  # fmt: skip


@pytest_asyncio.fixture
async def five(tenant: Tenant, pool: Pool) -> list[RowKey]:
    """Five deliveries to one endpoint, oldest first: two delivered, two given up, one waiting."""
    await has_endpoint(tenant, "one")
    keys: list[RowKey] = []
    for minutes, http_status in enumerate((200, 500, 200, 410, None)):
        kind = "payment.succeeded" if minutes % 2 == 0 else "invoice.voided"
        [key] = await tell(tenant, pool, kind, minutes=minutes)
        if http_status is not None:
            await end(pool, key, http_status)
        keys.append(key)
    return keys


async def listed(tenant: Tenant, **query: Any) -> tuple[list[Any], str | None]:
    answer = await tenant.get(PATH, **query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"webhook_deliveries", "meta"}
    return body["webhook_deliveries"], body["meta"]["next_cursor"]


def ids(keys: Sequence[RowKey]) -> list[str]:
    return [str(key.id) for key in keys]


async def test_one_shows_what_it_sends_and_every_try(tenant: Tenant, pool: Pool) -> None:
    endpoint = await has_endpoint(tenant, "one")
    about = clock.new_id()
    [key] = await tell(tenant, pool, "invoice.voided", about=about)
    await end(pool, key, 410)
    one = (await tenant.get(f"{PATH}/{key.id}")).json()["webhook_delivery"]
    assert UUID(one.pop("lago_event_id"))
    shown = {
        "lago_id": str(key.id),
        "lago_webhook_endpoint_id": endpoint,
        "webhook_url": "https://one.example/hook",
        "webhook_type": "invoice.voided",
        "lago_object_id": str(about),
        "status": "given_up",
        "tries_count": 1,
        "http_status": 410,
        "error": "it answered 410",
        "next_try_at": None,
        "replays_count": 0,
        "replayed_at": None,
        "created_at": "2026-05-04T12:00:00Z",
        "ended_at": "2026-05-04T13:00:00Z",
    }
    tried = {
        "number": 1,
        "webhook_url": "https://one.example/hook",
        "at": "2026-05-04T13:00:00Z",
        "http_status": 410,
        "error": "it answered 410",
    }
    assert one == shown | {"body": '"invoice.voided €"', "tries": [tried]}
    [in_list], _ = await listed(tenant)
    in_list.pop("lago_event_id")
    assert in_list == shown


async def test_they_are_listed_newest_first_piece_by_piece(
    tenant: Tenant, pool: Pool, five: list[RowKey]
) -> None:
    newest_first = ids(five)[::-1]
    found, cursor = await listed(tenant, per_page=2)
    assert [one["lago_id"] for one in found] == newest_first[:2]
    await tell(tenant, pool, "payment.succeeded", minutes=9)  # what comes meanwhile moves nothing
    seen = [one["lago_id"] for one in found]
    while cursor:
        found, cursor = await listed(tenant, per_page=2, cursor=cursor)
        seen += [one["lago_id"] for one in found]
    assert seen == newest_first
    assert await listed(tenant, per_page=6) != ([], None)
    whole, cursor = await listed(tenant, per_page=6)
    assert (len(whole), cursor) == (6, None)


async def test_those_of_one_moment_are_each_listed_once(tenant: Tenant, pool: Pool) -> None:
    for name in ("one", "two", "three"):
        await has_endpoint(tenant, name)
    told = [key for _ in range(3) for key in await tell(tenant, pool, "payment.succeeded")]
    for query in ({}, {"webhook_type": "payment.succeeded"}, {"status": "waiting"}):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            found, cursor = await listed(tenant, per_page=2, **query, **more)
            seen += [one["lago_id"] for one in found]
        assert sorted(seen) == sorted(ids(told)), query


async def test_filters_choose_and_combine(tenant: Tenant, pool: Pool, five: list[RowKey]) -> None:
    second = await has_endpoint(tenant, "two")
    about = clock.new_id()
    [first, other] = await tell(tenant, pool, "invoice.created", minutes=10, about=about)
    [to_second] = [key for key in (first, other) if
                   (await tenant.get(f"{PATH}/{key.id}")).json()["webhook_delivery"]
                   ["lago_webhook_endpoint_id"] == second]  # fmt: skip
    both = {*ids([first, other])}
    all_five = ids(five)
    for query, expected in (
        ({"status": "delivered"}, {all_five[0], all_five[2]}),
        ({"status": "given_up"}, {all_five[1], all_five[3]}),
        ({"status": "waiting"}, {all_five[4], *both}),
        ({"webhook_type": "invoice.voided"}, {all_five[1], all_five[3]}),
        ({"webhook_type": "payment.succeeded", "status": "waiting"}, {all_five[4]}),
        ({"webhook_endpoint_id": second}, {str(to_second.id)}),
        ({"webhook_endpoint_id": NOBODYS}, set()),
        ({"object_id": str(about)}, both),
        ({"object_id": str(about), "webhook_endpoint_id": second}, {str(to_second.id)}),
        ({"created_from": "2026-05-04T12:03:00Z"}, {*all_five[3:], *both}),
        ({"created_from": "2026-05-04T14:03:00+02:00"}, {*all_five[3:], *both}),
        ({"created_from": "2026-05-04T14:03:00 02:00"}, {*all_five[3:], *both}),  # `+`, not encoded
        ({"created_to": "2026-05-04T14:01:00+02:00"}, {*all_five[:2]}),
        ({"created_from": "2026-05-04", "created_to": "2026-05-04T12:00:00"}, {all_five[0]}),
        ({"created_from": "2026-05-05"}, set()),
        ({"status": "", "cursor": "", "object_id": ""}, {*all_five, *both}),
    ):  # fmt: skip
        found, cursor = await listed(tenant, **query)
        assert ({one["lago_id"] for one in found}, cursor) == (expected, None), query


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ({"status": "lost"}, {"status": ["must be one of: waiting, delivered, given_up"]}),
        ({"webhook_endpoint_id": "zz"}, {"webhook_endpoint_id": ["is in invalid format"]}),
        ({"object_id": "é" * 40}, {"object_id": ["is in invalid format"]}),
        ({"created_from": "soon"}, {"created_from": ["must be a date time"]}),
        ({"created_to": "9999-12-31T23:59:59-12:00"}, {"created_to": ["must be a date time"]}),
        ({"created_to": "0001-01-01T00:00:00+12:00"}, {"created_to": ["must be a date time"]}),
        ({"created_from": "2026-05-04\0"}, {"created_from": ["must be a date time"]}),
        ({"cursor": "nonsense"}, {"cursor": ["is in invalid format"]}),
        ({"cursor": "WzEsMl0"}, {"cursor": ["is in invalid format"]}),
        ({"cursor": "x" * 5000}, {"cursor": ["is in invalid format"]}),
    ],
)
async def test_a_filter_that_cannot_be_read_is_named(
    tenant: Tenant, query: Any, details: Any
) -> None:
    answer = await tenant.get(PATH, **query)
    assert refusal(answer) == (422, details)


async def test_an_unknown_type_is_named(tenant: Tenant) -> None:
    answer = await tenant.get(PATH, webhook_type="invoice.lost")
    assert answer.status_code == 422
    assert answer.json()["error_details"]["webhook_type"][0].startswith("must be one of: ")


async def test_one_is_sent_again_and_its_history_stays(tenant: Tenant, five: list[RowKey]) -> None:
    where = f"{PATH}/{five[1].id}"
    once = {"Idempotency-Key": "again"}
    answers = [await tenant.post(f"{where}/replay", **once) for _ in range(2)]
    assert answers[0].content == answers[1].content
    sent = answers[0].json()["webhook_delivery"]
    assert (sent["status"], sent["replays_count"], sent["tries_count"]) == ("waiting", 1, 1)
    assert [one["http_status"] for one in sent["tries"]] == [500]
    assert sent["next_try_at"] == sent["replayed_at"]
    assert (await tenant.get(where)).json()["webhook_delivery"] == sent
    assert refusal(await tenant.post(f"{where}/replay")) == (405, "webhook_delivery_is_waiting")


async def test_one_of_others_or_of_nobody_is_not_found(
    other_tenant: Tenant, tenant: Tenant, five: list[RowKey]
) -> None:
    for by, name in ((other_tenant, five[0].id), (tenant, NOBODYS), (tenant, "nothing")):
        for answer in (await by.get(f"{PATH}/{name}"), await by.post(f"{PATH}/{name}/replay")):
            assert refusal(answer) == (404, "webhook_delivery_not_found")
    assert await listed(other_tenant) == ([], None)


async def replay(tenant: Tenant, **wanted: Any) -> tuple[int, str | None]:
    answer = await tenant.post(f"{PATH}/replay", {"webhook_deliveries": wanted})
    assert answer.status_code == 200, answer.text
    said = answer.json()["webhook_deliveries"]
    return said["replayed_count"], said["next_cursor"]


async def replayed(owner: asyncpg.Connection) -> list[str]:
    rows = await owner.fetch(
        "SELECT id FROM webhook_deliveries WHERE replays > 0 ORDER BY created_at"
    )
    return [str(row["id"]) for row in rows]


async def test_those_given_up_are_sent_again_unless_told_otherwise(
    tenant: Tenant, five: list[RowKey], owner: asyncpg.Connection
) -> None:
    count, cursor = await replay(tenant, limit=1)
    assert (count, await replayed(owner)) == (1, ids(five[1:2]))
    assert cursor
    count, cursor = await replay(tenant, limit=1, cursor=cursor)
    assert (count, await replayed(owner)) == (1, [*ids(five[1:2]), *ids(five[3:4])])
    assert await replay(tenant, limit=1, cursor=cursor) == (0, None)
    assert await replay(tenant, status="delivered", created_to="2026-05-04T12:01:30Z") == (1, None)
    assert await replayed(owner) == [*ids(five[:2]), *ids(five[3:4])]


async def test_nobodys_and_anothers_endpoint_have_nothing_to_send(
    tenant: Tenant, other_tenant: Tenant, five: list[RowKey], owner: asyncpg.Connection
) -> None:
    theirs = (await listed(tenant))[0][0]["lago_webhook_endpoint_id"]
    for name in (theirs, NOBODYS):
        assert await replay(other_tenant, webhook_endpoint_id=name) == (0, None)
    assert await replayed(owner) == []


@pytest.mark.parametrize(
    ("wanted", "details"),
    [
        ({"status": "waiting"}, {"status": ["value_is_invalid"]}),
        ({"status": 5}, {"status": ["value_is_invalid"]}),
        ({"status": ["given_up"]}, {"status": ["value_is_invalid"]}),
        ({"webhook_type": "a\0"}, {"webhook_type": ["value_is_invalid"]}),
        ({"webhook_endpoint_id": "zz", "object_id": 7}, {
            "webhook_endpoint_id": ["value_is_invalid"], "object_id": ["value_is_invalid"]}),
        ({"created_from": "soon"}, {"created_from": ["invalid_date"]}),
        ({"created_to": "9999-12-31T23:59:59-12:00"}, {"created_to": ["invalid_date"]}),
        ({"cursor": "x"}, {"cursor": ["value_is_invalid"]}),
        ({"limit": 0}, {"limit": ["value_is_out_of_range"]}),
        ({"limit": 1001}, {"limit": ["value_is_out_of_range"]}),
        ({"limit": 10**30}, {"limit": ["value_is_out_of_range"]}),
        ({"limit": "many"}, {"limit": ["value_is_invalid"]}),
        ({"limit": True}, {"limit": ["value_is_invalid"]}),
    ],
)  # fmt: skip
async def test_a_wish_that_cannot_be_read_is_named_and_nothing_is_sent(
    tenant: Tenant, five: list[RowKey], owner: asyncpg.Connection, wanted: Any, details: Any
) -> None:
    answer = await tenant.post(f"{PATH}/replay", {"webhook_deliveries": wanted})
    assert refusal(answer) == (422, details)
    assert await replayed(owner) == []
    assert (await tenant.post(f"{PATH}/replay", {})).status_code == 400
