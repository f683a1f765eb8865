"""`/webhook_endpoints` as a caller sees it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4  # noqa: TID251  a test's own ids

import asyncpg
import pytest

from recoup import clock
from recoup.flows.manage_webhook_endpoints import WebhookEndpointInput, create_webhook_endpoint
from recoup.rules.refusal import Refused
from recoup.store import db, events
from recoup.store.db import Conn, Pool
from recoup.store.events import Event
from tests.api.conftest import Tenant
from tests.conftest import eventually

HOOK = {"webhook_url": "https://example.com/hook"}
WIDE = "".join(map(chr, range(0x4E00, 0x4E00 + 1_000)))  # 3,000 bytes that no index packs smaller


async def added(tenant: Tenant, **fields: Any) -> Any:
    made = await tenant.post("/webhook_endpoints", {"webhook_endpoint": HOOK | fields})
    assert made.status_code == 200, made.text
    return made.json()["webhook_endpoint"]


async def test_an_endpoint_is_created_read_changed_and_deleted(tenant: Tenant) -> None:
    told = await added(tenant, name=5, event_types=["invoice.created"])
    assert list(told) == [
        "lago_id", "lago_organization_id", "webhook_url", "signature_algo", "name", "event_types",
        "created_at",
    ]  # fmt: skip
    assert told["lago_organization_id"] == str(tenant.organization_id)
    assert (told["signature_algo"], told["event_types"]) == ("jwt", ["invoice.created"])
    assert told["name"] == "5"
    where = f"/webhook_endpoints/{told['lago_id']}"
    assert (await tenant.get(where)).json()["webhook_endpoint"] == told
    change = {"webhook_url": "http://other.example:8080/x?y=z", "signature_algo": "hmac"}
    changed = await tenant.put(where, {"webhook_endpoint": change})
    assert changed.json()["webhook_endpoint"] == told | change
    nulls = {"name": None, "event_types": None, "signature_algo": None}
    changed = await tenant.put(where, {"webhook_endpoint": nulls})
    assert changed.json()["webhook_endpoint"] == told | change | {"name": None, "event_types": None}
    assert (await tenant.delete(where)).json() == changed.json()
    for gone in [
        tenant.get(where),
        tenant.delete(where),
        tenant.get("/webhook_endpoints/nonsense"),
    ]:
        answer = await gone
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_endpoint_not_found")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, None),
        (["*"], None),
        ([" * "], None),
        ([], []),
        ([" Invoice.Created ", "invoice.created", "payment.succeeded"],
         ["invoice.created", "payment.succeeded"]),
        (["credit_note.refund_failure", "credit_note.provider_refund_failure"],
         ["credit_note.refund_failure", "credit_note.provider_refund_failure"]),
    ],
)  # fmt: skip
async def test_event_types_are_tidied(tenant: Tenant, said: Any, kept: Any) -> None:
    told = await added(tenant, event_types=said)
    assert told["event_types"] == kept
    (listed,) = (await tenant.get("/webhook_endpoints")).json()["webhook_endpoints"]
    assert listed["event_types"] == kept


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"webhook_url": None}, {"webhook_url": ["value_is_mandatory"]}),
        ({"webhook_url": ""}, {"webhook_url": ["value_is_mandatory"]}),
        ({"webhook_url": "ftp://example.com"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "example.com/x"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "https://"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "https:///x"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "https://exa mple.com"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "https://example.com/\nx"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "https://example.com:port"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "https://[::1"}, {"webhook_url": ["url_is_invalid"]}),
        ({"webhook_url": "https://e.com/" + "x" * 2048}, {"webhook_url": ["value_is_too_long"]}),
        ({"webhook_url": "https://e.com/" + WIDE}, {"webhook_url": ["value_is_too_long"]}),
        ({"webhook_url": "https://example.com/taken"}, {"webhook_url": ["value_already_exist"]}),
        ({"webhook_url": 5}, {"webhook_url": ["url_is_invalid"]}),
        ({"name": "a\0b"}, {"name": ["value_is_invalid"]}),
        ({"signature_algo": "md5"}, {"signature_algo": ["value_is_invalid"]}),
        ({"event_types": "invoice.created"}, {"event_types": ["must_be_array"]}),
        ({"event_types": {"a": 1}}, {"event_types": ["must_be_array"]}),
        ({"event_types": ["x", "invoice.created", 5]},
         {"event_types": ['contains invalid types: ["x", "5"]']}),
        ({"event_types": ["*", "invoice.created"]},
         {"event_types": ['contains invalid types: ["*"]']}),
        ({"webhook_url": "x", "signature_algo": "y", "event_types": 0},
         {"webhook_url": ["url_is_invalid"], "signature_algo": ["value_is_invalid"],
          "event_types": ["must_be_array"]}),
    ],
)  # fmt: skip
async def test_broken_rules_are_named_by_field(
    tenant: Tenant, change: dict[str, Any], details: dict[str, list[str]]
) -> None:
    await added(tenant, webhook_url="https://example.com/taken")
    refused = await tenant.post("/webhook_endpoints", {"webhook_endpoint": HOOK | change})
    assert (refused.status_code, refused.json().get("error_details")) == (422, details)
    mine = await added(tenant)
    where = f"/webhook_endpoints/{mine['lago_id']}"
    refused = await tenant.put(where, {"webhook_endpoint": change})
    assert (refused.status_code, refused.json().get("error_details")) == (422, details)
    assert (await tenant.get(where)).json()["webhook_endpoint"] == mine
    assert (await tenant.get("/webhook_endpoints")).json()["meta"]["total_count"] == 2


async def test_an_organization_has_ten_at_most(tenant: Tenant, other_tenant: Tenant) -> None:
    for number in range(10):
        await added(tenant, webhook_url=f"https://example.com/{number}")
    refused = await tenant.post("/webhook_endpoints", {"webhook_endpoint": HOOK})
    assert refused.json()["error_details"] == {"base": ["exceeded_limit"]}
    listed = (await tenant.get("/webhook_endpoints", per_page=4)).json()
    assert listed["meta"]["total_count"] == 10
    times = [one["created_at"] for one in listed["webhook_endpoints"]]
    assert times == sorted(times, reverse=True)
    first = listed["webhook_endpoints"][0]
    unchanged = await tenant.put(
        f"/webhook_endpoints/{first['lago_id']}", {"webhook_endpoint": {"name": "still mine"}}
    )
    assert unchanged.status_code == 200
    await added(other_tenant)  # whose own ten are another matter


@pytest.mark.parametrize(
    ("there_are", "urls", "details"),
    [
        (9, ["https://example.com/a", "https://example.com/b"], {"base": ["exceeded_limit"]}),
        (0, ["https://example.com/a"] * 2, {"webhook_url": ["value_already_exist"]}),
    ],
)
async def test_the_second_of_two_at_once_sees_what_the_first_did(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection,
    there_are: int, urls: list[str], details: dict[str, list[str]],
) -> None:  # fmt: skip
    for number in range(there_are):
        await added(tenant, webhook_url=f"https://example.com/{number}")

    async def create(conn: Conn, url: str) -> None:
        asked = WebhookEndpointInput(webhook_url=url)
        await create_webhook_endpoint(
            conn, tenant.organization_id, asked, endpoint_id=uuid4(), now=clock.now()
        )

    async def second() -> None:
        async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
            await create(conn, urls[-1])

    async def second_waits() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return late.done() or await owner.fetchval(waiting) > 0

    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await create(conn, urls[0])
        late = asyncio.create_task(second())
        await eventually(second_waits, what="the second waits for the first")
    with pytest.raises(Refused) as refused:
        await late
    assert refused.value.refusal.details == details


async def test_deliveries_go_with_their_endpoint(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    goes = await added(tenant)
    stays = await added(tenant, webhook_url="https://example.com/stays")
    event = Event(tenant.organization_id, uuid4(), "invoice.created", uuid4(), "{}")
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        assert len(await events.insert(conn, [event], now=clock.now())) == 2
    deleted = await tenant.delete(f"/webhook_endpoints/{goes['lago_id']}")
    assert deleted.json()["webhook_endpoint"] == goes
    left = await owner.fetch("SELECT endpoint_id FROM webhook_deliveries")
    assert [row["endpoint_id"] for row in left] == [UUID(stays["lago_id"])]
    assert await owner.fetchval("SELECT count(*) FROM events") == 1


async def test_another_tenants_endpoint_is_not_found(tenant: Tenant, other_tenant: Tenant) -> None:
    theirs = await added(tenant)
    where = f"/webhook_endpoints/{theirs['lago_id']}"
    assert (await other_tenant.get(where)).status_code == 404
    refused = await other_tenant.put(where, {"webhook_endpoint": {"webhook_url": "https://e.com"}})
    assert refused.status_code == 404
    assert (await other_tenant.delete(where)).status_code == 404
    assert (await other_tenant.get("/webhook_endpoints")).json()["webhook_endpoints"] == []
    await added(other_tenant)  # the same URL is no duplicate there
    assert (await tenant.get(where)).json()["webhook_endpoint"] == theirs
