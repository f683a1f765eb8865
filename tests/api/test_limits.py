"""How much a caller may ask for: calls, and bytes. What is above it is refused by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import aiohttp
import asyncpg
import httpx
import pytest
import pytest_asyncio

from recoup import clock
from recoup.api.app import make_app
from recoup.api.callers import MOST_STRANGERS, Callers, TooManyStrangersError
from recoup.api.edge import Edge
from recoup.api.front import DEEPEST, MOST_HEAD_BYTES, MOST_QUERY_BYTES
from recoup.api.limits import MOST_KEYS, Limits, Paces
from recoup.api.retry_payments import MOST_IN_BULK
from recoup.flows.open_provider import Providers
from recoup.rules.call_pace import CallLimit
from recoup.rules.records.keys import RowKey
from recoup.store.api_keys import Caller
from recoup.store.db import Pool
from tests.api.conftest import BOX, Tenant, new_tenant
from tests.api.test_metrics import scraped
from tests.shop import MovableClock

TOO_OFTEN = {"status": 429, "error": "Too Many Requests", "code": "too_many_requests"}
TOO_LARGE = {"status": 413, "error": "Request Entity Too Large", "code": "request_too_large"}
TAX = {"tax": {"name": "VAT", "code": "vat", "rate": 20}}


class Place:
    """An API process with limits, whose clock stands still, and tenants that call it."""

    def __init__(self, pool: Pool, scout: Pool, providers: Providers) -> None:
        self._pool, self._scout, self._providers = pool, scout, providers
        self.clock = MovableClock()
        self._tenants = AsyncExitStack()

    def process(self, **limits: Any) -> Any:
        edge = Edge(
            self._pool, scout=self._scout, providers=self._providers, now=self.clock.now,
            new_id=clock.new_id, limits=Limits(**limits),
        )  # fmt: skip
        return make_app(edge, servers=[])

    async def tenant(self, app: Any, name: str = "Acme Ltd") -> Tenant:
        made = await new_tenant(self._pool, app, name)
        self._tenants.push_async_callback(made.client.aclose)
        return made

    async def close(self) -> None:
        await self._tenants.aclose()


@pytest_asyncio.fixture
async def place(pool: Pool, scout: Pool) -> AsyncIterator[Place]:
    async with aiohttp.ClientSession() as http:
        made = Place(pool, scout, Providers(http, BOX, sandbox_base="http://127.0.0.1:9"))
        yield made
        await made.close()


def told(answer: httpx.Response) -> tuple[str | None, ...]:
    """What Lago's clients read of an answer, and what all others do."""
    names = ("limit", "remaining", "reset")
    return (
        *(answer.headers.get(f"x-ratelimit-{name}") for name in names),
        answer.headers.get("retry-after"),
    )


# Calls


async def test_a_key_calls_as_often_as_it_may_and_is_told_when_it_may_again(place: Place) -> None:
    caller = await place.tenant(place.process(calls=CallLimit(per_second=0.5, at_once=3)))
    for left, reset in (("2", "2"), ("1", "4"), ("0", "6")):
        answer = await caller.get("/taxes")
        assert (answer.status_code, told(answer)) == (200, ("3", left, reset, None))
    refused = await caller.post("/taxes", TAX)
    assert (refused.status_code, refused.json()) == (429, TOO_OFTEN)
    assert told(refused) == ("3", "0", "2", "2")
    place.clock.advance(seconds=1.9)
    assert (await caller.get("/taxes")).status_code == 429
    place.clock.advance(seconds=0.1)
    listed = await caller.get("/taxes")
    assert listed.json()["taxes"] == [], "what was refused has done nothing"
    read = await scraped(caller.client)
    assert read["recoup_calls_turned_away_total", "rate"] == 2
    assert read["recoup_calls_turned_away_total", "body"] == 0


async def test_who_is_held_up_by_a_provider_is_told_its_time_and_not_their_keys(
    place: Place, owner: asyncpg.Connection
) -> None:
    tenant = await place.tenant(place.process(calls=CallLimit(1, 10)))
    account = {"provider_type": "sandbox", "code": "cards", "name": "Cards", "secrets": {}}
    assert (await tenant.post("/payment_providers", {"payment_provider": account})).is_success
    link = {"payment_provider": "sandbox", "provider_customer_id": "cus_1"}
    ada = {"external_id": "ada", "billing_configuration": link}
    assert (await tenant.post("/customers", {"customer": ada})).is_success
    await owner.execute(
        "INSERT INTO provider_health (organization_id, provider_account_id, times_throttled,"
        " paused_until, slow_until) SELECT organization_id, id, 1, $1, $1 FROM provider_accounts",
        place.clock.now() + timedelta(seconds=90),
    )
    answer = await tenant.post("/customers/ada/checkout_url")
    assert answer.json()["code"] == "too_many_provider_requests"
    assert answer.headers.get_list("x-ratelimit-reset") == ["90"]
    assert told(answer) == ("10", "0", "90", "90")


async def test_without_a_limit_nothing_is_counted_and_nothing_told(tenant: Tenant) -> None:
    for _ in range(20):
        answer = await tenant.get("/taxes")
        assert (answer.status_code, told(answer)) == (200, (None,) * 4)


async def test_nobody_pays_for_another_keys_calls(place: Place) -> None:
    app = place.process(calls=CallLimit(per_second=1, at_once=2))
    ours, theirs = await place.tenant(app), await place.tenant(app, "Other GmbH")
    for expected in (200, 200, 429):
        assert (await ours.get("/taxes")).status_code == expected
    for expected in (200, 200, 429):
        assert (await theirs.get("/taxes")).status_code == expected


async def test_a_call_of_nobody_counts_for_nobody(place: Place) -> None:
    caller = await place.tenant(place.process(calls=CallLimit(per_second=1, at_once=1)))
    headers = {"Authorization": "Bearer nobody"}
    for _ in range(5):
        stranger = await caller.client.get("/api/v1/taxes", headers=headers)
        assert (stranger.status_code, told(stranger)) == (401, (None,) * 4)
    assert (await caller.get("/taxes")).status_code == 200


async def test_a_bulk_call_weighs_what_it_asks_for(place: Place) -> None:
    caller = await place.tenant(place.process(calls=CallLimit(per_second=1, at_once=10)))
    many = {"invoice_ids": [str(clock.new_id()) for _ in range(8)]}
    first = await caller.post("/invoices/retry_payments", many)
    assert (first.status_code, told(first)) == (200, ("10", "2", "8", None))
    second = await caller.post("/invoices/retry_payments", many)
    assert (second.status_code, told(second)) == (429, ("10", "2", "6", "6"))
    assert (await caller.get("/taxes")).status_code == 200, "a lighter one finds its place"
    place.clock.advance(seconds=60)
    more = {"invoice_ids": [str(clock.new_id()) for _ in range(40)]}
    assert (await caller.post("/invoices/retry_payments", more)).status_code == 200
    place.clock.advance(seconds=30)
    assert (await caller.get("/taxes")).status_code == 429, "it is paid off afterwards"
    place.clock.advance(seconds=1)
    assert (await caller.get("/taxes")).status_code == 200
    for odd in ("x", {"a": 1}, None, 5):  # what is no list weighs one, and is refused as ever
        place.clock.advance(seconds=60)
        answer = await caller.post("/invoices/retry_payments", {"invoice_ids": odd})
        assert (answer.status_code, told(answer)[1]) == (422, "9")


async def test_a_bulk_call_that_is_too_long_weighs_as_a_call_that_is_refused(
    place: Place,
) -> None:
    """Or else one mistake of a client keeps its key out for hours."""
    caller = await place.tenant(place.process(calls=CallLimit(per_second=1, at_once=10)))
    many = {"invoice_ids": ["x"] * (MOST_IN_BULK + 1)}
    refused = await caller.post("/invoices/retry_payments", many)
    assert (refused.status_code, told(refused)[1]) == (422, "9")
    longest = {"invoice_ids": ["x"] * MOST_IN_BULK}
    place.clock.advance(seconds=1)
    assert (await caller.post("/invoices/retry_payments", longest)).status_code == 200
    place.clock.advance(seconds=MOST_IN_BULK - 10)
    assert (await caller.get("/taxes")).status_code == 429, "what is served is paid for"


def test_the_counts_of_keys_do_not_pile_up() -> None:
    paces, now = Paces(CallLimit(1, 5)), MovableClock().now()
    keys = [RowKey(clock.new_id(), clock.new_id()) for _ in range(MOST_KEYS + 1)]
    for key in keys:
        paces.take(key, 1, now=now)
    assert len(paces._buckets) == MOST_KEYS
    assert paces.take(keys[-1], 1, now=now).left == 3
    assert paces.take(keys[0], 1, now=now).left == 4, "who has not called longest begins anew"


# Keys that nobody knows


class Keys:
    """Good keys, and how they were asked for."""

    def __init__(self, *good: str) -> None:
        self.good = {one: Caller(clock.new_id(), clock.new_id()) for one in good}
        self.asked: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def find(self, digests: Sequence[str]) -> list[Caller | None]:
        self.asked.append([*digests])
        if not all(one in self.good for one in digests):  # those of strangers hang at the database
            await self.open.wait()
        return [self.good.get(one) for one in digests]


async def test_a_flood_of_made_up_keys_waits_behind_itself_and_is_bounded() -> None:
    keys = Keys("ann", "bob")
    callers = Callers(keys.find)
    assert await callers.ask("ann") == keys.good["ann"]
    keys.open.clear()
    flood = [asyncio.create_task(callers.ask(f"made-up-{n}")) for n in range(MOST_STRANGERS)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):  # a caller that we know waits for no flood
        assert await callers.ask("ann") == keys.good["ann"]
    with pytest.raises(TooManyStrangersError):
        await callers.ask("bob")
    keys.open.set()
    assert await asyncio.gather(*flood) == [None] * MOST_STRANGERS
    assert await callers.ask("bob") == keys.good["bob"], "who comes for the first time comes again"
    assert max(map(len, keys.asked)) <= 200
    assert set(callers._good) == {"ann", "bob"}, "what nobody knows is not remembered"


async def test_a_key_that_was_good_is_asked_for_at_every_call() -> None:
    keys = Keys("ann")
    callers = Callers(keys.find)
    assert await callers.ask("ann") == keys.good["ann"]
    del keys.good["ann"]
    for _ in range(2):
        assert await callers.ask("ann") is None
    assert keys.asked == [["ann"]] * 3


async def test_known_keys_do_not_pile_up() -> None:
    keys = Keys(*"abcde")
    callers = Callers(keys.find, most_known=3)
    for one in "abcdea":
        assert await callers.ask(one) == keys.good[one]
    assert list(callers._good) == ["d", "e", "a"]


async def test_strangers_that_are_too_many_are_told_to_come_again(place: Place) -> None:
    caller = await place.tenant(place.process(most_strangers=0))
    refused = await caller.get("/taxes")
    assert (refused.status_code, refused.json()) == (429, TOO_OFTEN)
    assert told(refused) == (None, None, "1", "1")
    read = await scraped(caller.client)
    assert read["recoup_calls_turned_away_total", "strangers"] == 1


# Bytes


def padded(size: int) -> bytes:
    """A body of this size that creates a tax."""
    body = b'{"tax": {"name": "VAT", "code": "vat", "rate": 20}, "more": "%s"}'
    return body % (b"x" * (size - len(body) + 2))


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """The same without a length: chunked."""
    for start in range(0, len(body), 1_000):
        yield body[start : start + 1_000]


@pytest.mark.parametrize("send", [bytes, pieces])
async def test_a_body_is_read_up_to_its_cap(place: Place, send: Callable[[bytes], Any]) -> None:
    caller = await place.tenant(place.process(most_body_bytes=20_000))
    over = await caller.client.post("/api/v1/taxes", content=send(padded(20_001)))
    assert (over.status_code, over.json()) == (413, TOO_LARGE)
    fits = await caller.client.post("/api/v1/taxes", content=send(padded(20_000)))
    assert fits.status_code == 200
    read = await scraped(caller.client)
    assert read["recoup_calls_turned_away_total", "body"] == 1


async def test_a_body_that_says_how_large_it_is_is_not_read_at_all(place: Place) -> None:
    app, sent = place.process(most_body_bytes=20_000), []

    async def receive() -> Any:
        raise AssertionError("somebody has read it")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/taxes", "raw_path": b"/api/v1/taxes",
        "query_string": b"", "http_version": "1.1", "headers": [(b"content-length", b"20001")],
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 413


async def test_a_body_without_an_end_is_read_no_further_than_the_cap(place: Place) -> None:
    app, sent, read = place.process(most_body_bytes=20_000), [], 0

    async def receive() -> Any:
        nonlocal read
        read += 1_000
        return {"type": "http.request", "body": b"x" * 1_000, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/taxes", "raw_path": b"/api/v1/taxes",
        "query_string": b"", "http_version": "1.1", "headers": [],
    }  # fmt: skip
    await app(scope, receive, send)
    assert (sent[0]["status"], read) == (413, 21_000)


async def test_providers_have_a_cap_of_their_own(place: Place) -> None:
    app = place.process(most_body_bytes=20_000, most_webhook_body_bytes=40_000)
    caller = await place.tenant(app)
    path = f"/webhooks/sandbox/{caller.organization_id}?code=cards"
    for size, status in ((40_000, 400), (40_001, 413)):  # 400: it is not genuine, but it was read
        assert (await caller.client.post(path, content=b"x" * size)).status_code == status
    below = "/api/v1/webhooks/json_public_key"
    odd = await caller.client.request("GET", below, content=padded(30_000))
    assert odd.status_code == 413, "what only looks like it is the API's"


async def test_a_head_larger_than_anybody_needs_is_refused(place: Place) -> None:
    caller = await place.tenant(place.process())
    long = await caller.get("/taxes", code="x" * MOST_QUERY_BYTES)
    assert (long.status_code, long.json()) == (414, {"status": 414, "error": "URI Too Long"})
    headers = {"X-Long": "x" * MOST_HEAD_BYTES}
    wide = await caller.client.get("/api/v1/taxes", headers=headers)
    assert wide.json() == {"status": 431, "error": "Request Header Fields Too Large"}
    assert wide.status_code == 431
    read = await scraped(caller.client)
    assert read["recoup_calls_turned_away_total", "head"] == 2


@pytest.mark.parametrize(
    ("open_", "close"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")], ids=["[", "{", "[{"]
)
async def test_what_nests_deeper_than_anybody_needs_is_unreadable(
    tenant: Tenant, open_: str, close: str
) -> None:
    each = open_.count("[") + open_.count("{")
    for depth, status in ((DEEPEST, 200), (DEEPEST + each, 400)):
        times = (depth - 1) // each  # within the outermost
        nested = f"{open_ * times}1{close * times}"
        start = json.dumps({"tax": {"name": "VAT", "code": f"c{depth}", "rate": 20}})
        body = f'{start[:-1]}, "more": {nested}}}'
        answer = await tenant.client.post("/api/v1/taxes", content=body)
        assert answer.status_code == status, depth
    wide = await tenant.post("/taxes", TAX | {"more": [{}] * 500})
    assert wide.status_code == 200, "many beside each other are not deep"
