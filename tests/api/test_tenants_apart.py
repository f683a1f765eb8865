"""Another tenant's ids and codes answer exactly like unknown ones, wherever a call may name one.

The calls are made from the OpenAPI document that the application serves: whatever in it names a
row, in a path, a query or a body, is asked for by another tenant, and so is a word that nobody has.
What is new in the document fails here until it is in `place_tables`. Providers' webhooks, which
come without a key, are in `test_provider_webhooks`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import httpx
import pytest
import pytest_asyncio
from litestar import Litestar

from recoup.store.db import Pool
from tests.api.conftest import Tenant
from tests.api.one_of_everything import Party, with_one_of_everything
from tests.api.place_tables import FIELDS, FILTERS, FIT, OUTRANKED, OWN_NAMES
from tests.api.places import (
    Place,
    filled,
    places_in_bodies,
    places_in_paths,
    places_in_queries,
)

NOBODYS: Final = "00000000-0000-7000-8000-00000000abcd"
Ask = Callable[[Party, str], Awaitable[httpx.Response]]  # who asks, and the word that is asked for


class World:
    """Two tenants: B does not find out what A has."""

    def __init__(self, a: Party, b: Party, owner: asyncpg.Connection) -> None:
        self.a = a
        self.b = b
        self._owner = owner

    async def b_cannot_tell(self, place: Place, resource: str, ask: Ask) -> httpx.Response:
        """Ask for A's and for nobody's: one answer, which is returned, and A's rows as before."""
        word = self.a.words[resource]
        before = await self.rows_of_a()
        real, unknown = await ask(self.b, word), await ask(self.b, nobodys(word))
        assert shown(real, word) == shown(unknown, nobodys(word)), place.entry
        told = set(_UUID.findall(real.text)) - {word}
        assert not any(one in rows for one in told for rows in before.values()), place.entry
        assert await self.rows_of_a() == before, place.entry
        return unknown

    async def a_can_tell(self, place: Place, resource: str, ask: Ask) -> None:
        """The same is another matter for A: what B was asking for is really there."""
        word = self.a.words[resource]
        real, unknown = await ask(self.a, word), await ask(self.a, nobodys(word))
        assert real.is_success, f"{place.entry}: {real.text}"
        assert shown(real, word) != shown(unknown, nobodys(word)), place.entry

    async def rows_of_a(self) -> dict[str, str]:
        """All that A has, by table, and what is promised for it."""
        tables = await self._owner.fetch(
            """SELECT table_name AS name, column_name AS tenant FROM information_schema.columns
                WHERE table_schema = 'public'
                  AND (column_name = 'organization_id'
                       OR (table_name, column_name) = ('organizations', 'id'))"""
        )
        asks = [
            f"SELECT '{table['name']}' AS name, string_agg(t::text, ';' ORDER BY t::text) AS rows"
            f" FROM {table['name']} t WHERE {table['tenant']} = $1"
            for table in tables
        ]
        asks.append(
            "SELECT 'jobs', string_agg(j::text, ';' ORDER BY id) FROM pgqueuer j"
            " WHERE starts_with(convert_from(payload, 'UTF8'), $1::text)"
        )
        found = await self._owner.fetch(" UNION ALL ".join(asks), self.a.tenant.organization_id)
        return {row["name"]: row["rows"] or "" for row in found}


_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_COUNTED: Final = re.compile(r'(?<="sequential_id":)\d+|(?<=-)\d{3}(?=")')  # invoices' numbers


def nobodys(word: str) -> str:
    """A word as long as this one, which names nothing."""
    return NOBODYS if _UUID.fullmatch(word) else f"x{word[1:]}"


def shown(answer: httpx.Response, word: str) -> tuple[int, dict[str, str], str]:
    """All that an answer tells, but for the word asked for, and what is new with every call."""
    text = answer.text.replace(word, "?")
    for new in (_UUID, _INSTANT, _COUNTED):
        text = new.sub("new", text)
    headers = {name: _UUID.sub("new", said) for name, said in answer.headers.items()}
    return answer.status_code, headers, text


@pytest_asyncio.fixture
async def world(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> World:
    a = await with_one_of_everything(tenant, pool, "a")
    b = await with_one_of_everything(other_tenant, pool, "b")
    return World(a, b, owner)


@pytest_asyncio.fixture
async def document(tenant: Tenant) -> Any:
    """The OpenAPI document, as it is served."""
    return (await tenant.get("/openapi.json")).json()


async def call(by: Party, place: Place, path: str, **more: Any) -> httpx.Response:
    return await by.tenant.client.request(place.method, f"/api/v1{path}", **more)


def in_path(place: Place, owner: Party) -> Ask:
    """Ask for a word in one place of the path.

    The places before it are the asker's own, or the call would be refused for them; those after it
    are `owner`'s, as where somebody has guessed the whole path.
    """
    before, found, after = place.path.partition(place.name)
    assert found

    async def ask(by: Party, word: str) -> httpx.Response:
        resource = place.name.partition("/")[0]
        path = f"{filled(before, by.words)}{resource}/{word}{filled(after, owner.words)}"
        return await call(by, place, path, json=FIT.get(place.operation))

    return ask


def in_query(place: Place) -> Ask:
    async def ask(by: Party, word: str) -> httpx.Response:
        return await call(by, place, filled(place.path, by.words), params={place.name: word})

    return ask


def in_body(place: Place, body: Any) -> Ask:
    async def ask(by: Party, word: str) -> httpx.Response:
        text = json.dumps(body).replace('"?"', json.dumps(word))
        for resource, own in by.words.items():
            text = text.replace(f'"${resource}"', json.dumps(own))
        return await call(by, place, filled(place.path, by.words), content=text)

    return ask


async def test_the_tables_hold_every_place_that_names_a_row(app: Any, document: Any) -> None:
    assert {place.entry for place in places_in_queries(document)} == set(FILTERS)
    assert {place.entry for place in places_in_bodies(document)} == {*FIELDS, *OWN_NAMES}
    served = app
    while not isinstance(served, Litestar):  # it is within what counts the calls and reads them
        served = served._app
    with_places = {route.path_format for route in served.routes if "{" in route.path_format}
    described = {f"/api/v1{place.path}" for place in places_in_paths(document)}
    assert with_places - described == {
        "/webhooks/{provider}/{organization_id}",
        "/documents/{organization_id}/{document_id}",  # signed: tests/api/test_documents.py
    }


async def test_a_path_to_anothers_is_a_path_to_nothing(world: World, document: Any) -> None:
    places = places_in_paths(document)
    assert places, "what names nothing proves nothing"
    for place in places:
        resource = place.name.partition("/")[0]
        ask = in_path(place, world.a)
        refused = await world.b_cannot_tell(place, resource, ask)
        assert refused.status_code == 404, f"{place.entry}: {refused.text}"
        if place.method == "GET":
            await world.a_can_tell(place, resource, ask)


async def test_a_filter_by_anothers_finds_nothing(world: World, document: Any) -> None:
    places = places_in_queries(document)
    assert places, "what filters by nothing proves nothing"
    for place in places:
        resource, ask = FILTERS[place.entry], in_query(place)
        await world.b_cannot_tell(place, resource, ask)
        if place.entry not in OUTRANKED:
            await world.a_can_tell(place, resource, ask)


@pytest.mark.parametrize("entry", FIELDS)
async def test_a_field_that_names_anothers_names_nothing(
    entry: str, world: World, document: Any
) -> None:
    resource, body = FIELDS[entry]
    places = [place for place in places_in_bodies(document) if place.entry == entry]
    assert places, "what names nothing proves nothing"
    for place in places:
        await world.b_cannot_tell(place, resource, in_body(place, body))
    await world.a_can_tell(places[0], resource, in_body(places[0], body))


async def test_a_name_that_another_has_given_is_free(world: World, document: Any) -> None:
    places = [place for place in places_in_bodies(document) if place.entry in OWN_NAMES]
    assert {place.entry for place in places} == {*OWN_NAMES}
    for place in places:
        resource, body = OWN_NAMES[place.entry]
        root, field = place.name.split(".")
        before = await world.rows_of_a()
        word = world.a.words[resource]
        answer = await in_body(place, body)(world.b, word)
        assert answer.is_success, f"{place.entry}: {answer.text}"
        assert answer.json()[root][field] == word, place.entry
        assert await world.rows_of_a() == before, place.entry
        # Or else it would be taken when the next place is tried.
        if "{" in place.path:
            own = {root: {field: world.b.words[resource]}}
            await world.b.tenant.put(f"/{resource}/{word}", own)
        else:
            await world.b.tenant.delete(f"/{resource}/{word}")


async def test_an_idempotency_key_of_anothers_is_a_new_one(world: World) -> None:
    tax = {"tax": {"name": "X", "code": "new", "rate": 1}}
    once = {"Idempotency-Key": "once"}
    first, theirs = [await by.tenant.post("/taxes", tax, **once) for by in (world.a, world.b)]
    assert theirs.is_success
    assert "idempotent-replayed" not in theirs.headers
    assert theirs.json()["tax"]["lago_id"] != first.json()["tax"]["lago_id"]
