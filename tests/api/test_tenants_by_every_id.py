"""Whatever another tenant's rows are called by, put wherever a call may name one, names nothing.

Every place of the OpenAPI document that names a row is asked for every id, code and name that the
other tenant's rows have, of whatever table: thousands of calls, each answered byte for byte as for
a word that nobody has, and none of which changes a row of the other's. `test_tenants_apart` asks
each place for the one row that it is meant for, and says where a new place's words and bodies come
from; nothing is listed here.

And once more with the application's own filters switched off (`widened_filters`): then row-level
security alone stands between the two, and is seen to, since without it the same calls tell.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import asyncpg
import httpx
import msgspec
import pytest_asyncio

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge
from recoup.flows.open_provider import Providers
from recoup.store.db import Pool
from tests.api.conftest import BOX, Tenant
from tests.api.one_of_everything import Party, with_one_of_everything
from tests.api.place_tables import FIELDS, FIT, OWN_NAMES
from tests.api.places import (
    NAMES_A_ROW,
    Place,
    fields_of,
    filled,
    operations,
    places_in_paths,
    places_in_queries,
)
from tests.api.tenants_rows import Kept, Rows
from tests.api.test_tenants_apart import Ask, call, in_body, in_path, in_query, nobodys, shown
from tests.api.widened_filters import Widened

CALLS: Final = 5_000
OF_A_NEW_ID: Final = re.compile(r'(?<="document_number_prefix":")[^"]*')
UUID_WORD: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHORTEST_TELLING: Final = 6  # a shorter word may be in an answer by chance


class Swept(msgspec.Struct):
    """What came of a sweep: how many calls, what the other's words got, and what gave them away."""

    calls: int = 0
    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    told_apart: list[str] = msgspec.field(default_factory=list)


class World:
    """A tenant whose rows are asked for, and one who asks; there is nobody else."""

    def __init__(self, victim: Party, caller: Party, rows: Rows, document: Any) -> None:
        self.victim = victim
        self.caller = caller
        self.rows = rows
        self.document = document

    def asks(self) -> dict[Place, Ask]:
        """A way to ask for a word in every place that names a row."""
        return (
            {place: in_path(place, self.victim) for place in places_in_paths(self.document)}
            | {place: in_query(place) for place in places_in_queries(self.document)}
            | {place: in_body(place, body) for place, body in bodies(self.document).items()}
        )

    async def foreign_words(self) -> list[str]:
        """All that the victim's rows are called by and none of the caller's is, in one order."""
        theirs = await self.rows.words(self.victim.tenant.organization_id)
        ours = await self.rows.words(self.caller.tenant.organization_id)
        words = sorted(theirs - ours)
        return words + [word.upper() for word in words if UUID_WORD.fullmatch(word)]

    async def sweep(self, by: Party, kept: Kept) -> Swept:
        """Ask for every word in every place; the caller's own rows are put back as they were."""
        swept, words = Swept(), await self.foreign_words()
        long_enough = [word for word in words if len(word) >= SHORTEST_TELLING]
        for place, ask in self.asks().items():
            unknown: dict[str, Any] = {}
            for word in words:
                nobody = nobodys_like(word)
                if nobody not in unknown:
                    unknown[nobody] = seen(await self._answer(place, ask, by, nobody, kept), nobody)
                    swept.calls += 1
                answer = await self._answer(place, ask, by, word, kept)
                swept.calls += 1
                swept.statuses[answer.status_code] += 1
                real = seen(answer, word)
                told = [one for one in long_enough if one != word and one in real[2]]
                if real != unknown[nobody] or told:
                    swept.told_apart.append(
                        f"{place.entry} for {word}: {real}\n  but for {nobody}: {unknown[nobody]}"
                    )
        return swept

    async def _answer(
        self, place: Place, ask: Ask, by: Party, word: str, kept: Kept
    ) -> httpx.Response:
        answer = await ask(by, word)
        if answer.is_success and place.method != "GET":
            await kept.put_back()
        return answer

    async def lists_tell_of(self, by: Party) -> list[str]:
        """Read all that is read without naming a row of one's own, and say what is the victim's."""
        words = [word for word in await self.foreign_words() if len(word) >= SHORTEST_TELLING]
        found = []
        for method, path, _ in operations(self.document):
            if method == "GET":
                place = Place(method, path, "")
                answer = await call(by, place, filled(path, by.words))
                found += [f"{place.entry}: {word}" for word in words if word in answer.text]
        return found

    async def untold(self, by: Party) -> tuple[int, list[str]]:
        """How many paths read a row, and those that answer the victim's own like nobody's."""
        reads, found = 0, []
        for place in places_in_paths(self.document):
            if place.method == "GET":
                ask, word = in_path(place, self.victim), self.victim.words[place.name.split("/")[0]]
                nobody = nobodys_like(word)
                reads += 1
                if seen(await ask(by, word), word) == seen(await ask(by, nobody), nobody):
                    found.append(place.entry)
        return reads, found

    async def digest(self) -> Mapping[str, str]:
        return await self.rows.digest(self.victim.tenant.organization_id)


def nobodys_like(word: str) -> str:
    """A word as long as this one and of its kind, which names nothing."""
    return nobodys(word.lower()).upper() if word.isupper() else nobodys(word)


def seen(answer: httpx.Response, word: str) -> tuple[int, dict[str, str], str]:
    """All that an answer tells, but for the word, which may be part of an address there."""
    status, headers, text = shown(answer, word)
    return status, headers, OF_A_NEW_ID.sub("new", text.replace(quote(word, safe=""), "?"))


def bodies(document: Any) -> dict[Place, Any]:
    """A body for each place of a body that names a row, with `?` where its word goes."""
    found = {}
    for method, path, operation in operations(document):
        if "requestBody" not in operation:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for field in fields_of(schema, document):
            place = Place(method, path, field)
            if place.entry in FIELDS or place.entry in OWN_NAMES:
                found[place] = (FIELDS | OWN_NAMES)[place.entry][1]
            elif NAMES_A_ROW.search(field):
                found[place] = put(FIT.get(place.operation, {}), field.split("."), schema, document)
    return found


def put(body: Any, field: list[str], schema: Any, document: Any, value: Any = "?") -> Any:
    """The body with a value in this field, as its schema has it: in a list where it takes one."""
    if ref := schema.get("$ref"):
        schema = document["components"]["schemas"][ref.rpartition("/")[2]]
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    if kinds:
        return put(body, field, kinds[0], document, value)
    if schema.get("type") == "array":
        return [put({}, field, schema.get("items", {}), document, value)]
    if not field:
        return value
    held = body if isinstance(body, dict) else {}
    name, *rest = field
    inner = put(held.get(name), rest, schema["properties"][name], document, value)
    return {**held, name: inner}


@asynccontextmanager
async def served(pool: Any, scout: Pool) -> AsyncIterator[Any]:
    """The application on this pool. No provider answers: nothing is sent from here."""
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base="http://127.0.0.1:9")
        edge = Edge(
            pool, scout=scout, providers=providers, now=clock.now, new_id=clock.new_id,
            public_url="https://recoup.test",
        )  # fmt: skip
        yield make_app(edge, servers=["http://recoup.test"])


@pytest_asyncio.fixture
async def world(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> World:
    victim = await with_one_of_everything(tenant, pool, "victims")
    caller = await with_one_of_everything(other_tenant, pool, "caller")
    document = (await tenant.get("/openapi.json")).json()
    return World(victim, caller, await Rows.of(owner), document)


async def test_no_id_of_anothers_is_told_from_one_that_nobody_has(world: World) -> None:
    before = await world.digest()
    async with world.rows.kept(world.caller.tenant.organization_id) as kept:
        swept = await world.sweep(world.caller, kept)
    assert not swept.told_apart, "\n".join(swept.told_apart[:5])
    assert not await world.lists_tell_of(world.caller)
    assert await world.digest() == before
    assert swept.calls >= CALLS
    assert not [status for status in swept.statuses if status >= 500 or status == 403]


async def test_row_level_security_alone_keeps_every_id_from_telling(
    world: World, pool: Pool, scout: Pool, owner: asyncpg.Connection
) -> None:
    ours, theirs = world.caller.tenant.organization_id, world.victim.tenant.organization_id
    widened = Widened(pool, caller=ours, victim=theirs)
    async with served(widened, scout) as app, client(app, world.caller) as by:
        before = await world.digest()
        async with world.rows.kept(ours) as kept:
            swept = await world.sweep(by, kept)
            assert not swept.told_apart, "\n".join(swept.told_apart[:5])
            assert not await world.lists_tell_of(by)
            assert await world.digest() == before
            assert swept.calls >= CALLS
            # Without it the same calls tell, so it was nothing else.
            await _without_row_level_security(owner)
            assert await world.lists_tell_of(by)
            reads, untold = await world.untold(by)
            assert len(untold) < reads / 2, f"these are kept apart by something else: {untold}"
    assert not [one for one in widened.as_they_were if "INSERT INTO" not in one]


@asynccontextmanager
async def client(app: Any, party: Party) -> AsyncIterator[Party]:
    """The party, calling another application on the same database."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://recoup.test",
        headers=party.tenant.client.headers,
    ) as http:
        tenant = Tenant(party.tenant.organization_id, party.tenant.api_key, http)
        yield Party(tenant, party.words)


async def _without_row_level_security(owner: asyncpg.Connection) -> None:
    for row in await owner.fetch(
        "SELECT tablename AS name FROM pg_policies WHERE policyname = 'own_tenants'"
    ):
        await owner.execute(f"ALTER POLICY own_tenants ON {row['name']} USING (true)")
