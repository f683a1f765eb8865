"""Every field and parameter of the API is sent what nobody should send, and says no in JSON.

Chance does not meet a NUL in every field, so this goes through all that the OpenAPI document names:
each place of a path, each parameter and each field of a body, with every awkward value. What comes
back is an answer that the document describes, never an error of ours. `test_openapi_fuzzed` draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from recoup.store.db import Pool
from tests.api.conftest import Tenant
from tests.api.one_of_everything import with_one_of_everything
from tests.api.place_tables import FIELDS, FIT, OWN_NAMES
from tests.api.places import Place, fields_of, filled, operations, places_in_paths
from tests.api.test_tenants_apart import call, in_path
from tests.api.test_tenants_by_every_id import put

TEXTS: Final = (
    "\0", "a\0b", "", " ", "\x7f", "é" * 300, "x" * 70_000, "'; --", "%00", "..", "\N{PILE OF POO}",
    "00000000-0000-0000-0000-00000000000g", "9" * 40, "-1", "1e999", "NaN", "2026-02-30", "\u202e",
)  # fmt: skip
OTHERS: Final = (None, True, 0, -1, 2**31, 2**63, 10**40, 1e308, -0.0, [], [[]], {}, {"a": None})
LONE_SURROGATE: Final = '"\\ud800"'  # JSON that is no text
CALLS: Final = 5_000

Sent = tuple[str, Place, httpx.Response]  # what, where, and the answer


async def in_paths(party: Any, document: Any) -> list[Sent]:
    found = []
    for place in places_in_paths(document):
        ask = in_path(place, party)
        for text in TEXTS:
            if text not in {"", ".."}:  # no text at all is another path
                word = quote(text, safe="")
                found.append((text, place, await ask(party, word[:60_000])))
    return found


async def in_queries(party: Any, document: Any) -> list[Sent]:
    found = []
    for method, path, operation in operations(document):
        for one in operation.get("parameters", []):
            place = Place(method, path, one["name"])
            if one["in"] == "query":
                for text in TEXTS:
                    query = {one["name"]: text[:20_000]}
                    answer = await call(party, place, filled(path, party.words), params=query)
                    found.append((text, place, answer))
    return found


async def in_bodies(party: Any, document: Any) -> list[Sent]:
    found = []
    for method, path, operation in operations(document):
        if "requestBody" not in operation:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for field in fields_of(schema, document):
            place = Place(method, path, field)
            for sent in awkward_bodies(place, schema, document, party):
                answer = await call(party, place, filled(path, party.words), content=sent)
                found.append((sent, place, answer))
    return found


def awkward_bodies(place: Place, schema: Any, document: Any, party: Any) -> Iterator[bytes]:
    """Bodies that are fit to be taken but for one field, where somebody has said what is fit."""
    known = {entry.rpartition(" ")[0]: body for entry, (_, body) in (FIELDS | OWN_NAMES).items()}
    fit = FIT.get(place.operation) or known.get(place.operation, {})
    for value in (*TEXTS, *OTHERS, LONE_SURROGATE):
        text = json.dumps(put(fit, place.name.split("."), schema, document, value))
        for resource, own in party.words.items():
            text = text.replace(f'"${resource}"', json.dumps(own))
        yield text.replace(json.dumps(LONE_SURROGATE), LONE_SURROGATE).encode()


async def test_what_nobody_should_send_is_refused_in_json(tenant: Tenant, pool: Pool) -> None:
    party = await with_one_of_everything(tenant, pool, "awkward")
    document = (await tenant.get("/openapi.json")).json()
    sent = [
        *await in_paths(party, document),
        *await in_queries(party, document),
        *await in_bodies(party, document),
    ]
    wrong = []
    for value, place, answer in sent:
        responses = document["paths"][f"/api/v1{place.path}"][place.method.lower()]["responses"]
        told = f"{place.entry} with {value[:80]!r}: {answer.status_code} {answer.text[:200]}"
        is_told = answer.is_success or answer.json()["status"] == answer.status_code
        if str(answer.status_code) not in responses or not is_told:
            wrong.append(told)
    assert not wrong, "\n".join([f"{len(wrong)} answers are not described:", *wrong[:20]])
    assert len(sent) >= CALLS


@pytest.mark.parametrize("body", ["", "null", "[]", "1", '"x"', "{", "{}", '{"x":1}', "\ufeff{}"])
async def test_a_body_that_is_no_object_is_refused_in_json(
    body: str, tenant: Tenant, pool: Pool
) -> None:
    party = await with_one_of_everything(tenant, pool, "awkward")
    document = (await tenant.get("/openapi.json")).json()
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            place = Place(method, path, "")
            answer = await call(party, place, filled(path, party.words), content=body.encode())
            assert str(answer.status_code) in operation["responses"], f"{place.entry}: {body}"
