"""`recoup key create`, `list` and `revoke`, as an operator runs them."""

from __future__ import annotations

from uuid import UUID

import pytest

from recoup.store import db
from recoup.store.api_keys import digest, find_callers
from recoup.store.db import Pool
from tests.cli.conftest import Recoup


async def is_good(pool: Pool, key: str) -> bool:
    return await find_callers(pool, [digest(key)]) != [None]


async def test_a_key_is_shown_once_listed_by_its_end_and_revoked_once(
    recoup: Recoup, pool: Pool
) -> None:
    first = (await recoup("organization", "create", "Acme", "--json")).json
    whose = ("--organization", first["organization_id"], "--json")
    made = (await recoup("key", "create", *whose, "--name", "till", "--by", "ann")).json
    assert made["api_key"].startswith("recoup_")
    assert await is_good(pool, made["api_key"])

    listed = await recoup("key", "list", *whose)
    assert made["api_key"] not in listed.out
    assert [(one["name"], one["last4"]) for one in listed.json["keys"]] == [
        ("first", first["api_key"][-4:]), ("till", made["api_key"][-4:]),
    ]  # fmt: skip
    assert listed.json["keys"][1]["key_id"] == made["key_id"]

    revoked = await recoup("key", "revoke", made["key_id"], *whose)
    assert revoked.json == {"key_id": made["key_id"], "revoked": True}
    assert not await is_good(pool, made["api_key"])
    assert await is_good(pool, first["api_key"])
    again = await recoup("key", "revoke", made["key_id"], *whose)
    assert (again.status, again.out, again.err) == (1, "", "Refused: api_key_not_found {}\n")
    async with db.transaction(pool, tenants=[UUID(first["organization_id"])]) as conn:
        noted = await conn.fetch("SELECT actor, action FROM audit_log ORDER BY at, id")
    assert [tuple(entry) for entry in noted] == [
        ("ann", "api_key.created"), ("operator", "api_key.revoked"),
    ]  # fmt: skip
    kept = (await recoup("key", "list", *whose)).json["keys"]
    assert [one["revoked_at"] is None for one in kept] == [True, False]


async def test_a_key_ends_when_it_was_said_to(recoup: Recoup, pool: Pool) -> None:
    owner = (await recoup("organization", "create", "Acme", "--json")).json
    create = ("key", "create", "--organization", owner["organization_id"], "--json")
    made = (await recoup(*create, "--expires-at", "2999-12-31T23:59:59")).json
    assert made["expires_at"] == "2999-12-31T23:59:59+00:00"
    assert await is_good(pool, made["api_key"])
    past = await recoup(*create, "--expires-at", "2020-01-01")
    assert (past.status, past.out) == (1, "")
    assert "value_is_out_of_range" in past.err
    listed = await recoup("key", "list", *create[2:])
    assert [one["expires_at"] for one in listed.json["keys"]] == [None, made["expires_at"]]


@pytest.mark.parametrize("command", ["create", "list"])
async def test_an_organization_that_there_is_not_has_no_keys(recoup: Recoup, command: str) -> None:
    nobody = "00000000-0000-7000-8000-00000000abcd"
    ended = await recoup("key", command, "--organization", nobody)
    assert (ended.status, ended.err) == (1, "Refused: organization_not_found {}\n")


async def test_a_key_is_made_for_a_purpose_and_changed_by_what_is_said(
    recoup: Recoup, pool: Pool
) -> None:
    owner = (await recoup("organization", "create", "Acme", "--json")).json
    whose = ("--organization", owner["organization_id"], "--json")
    wanted = ("--permission", "invoice", "--permission", "payment:read")
    made = (await recoup("key", "create", *whose, "--name", "till", *wanted)).json
    [first, till] = (await recoup("key", "list", *whose)).json["keys"]
    assert first["permissions"] is None
    assert till["permissions"] == {"invoice": ["read", "write"], "payment": ["read"]}

    change = ("key", "change", made["key_id"], *whose, "--by", "ann")
    changed = (await recoup(*change, "--permission", "tax:read")).json
    assert changed.pop("audit_id")
    assert changed == till | {"permissions": {"tax": ["read"]}}
    [caller] = await find_callers(pool, [digest(made["api_key"])])
    assert caller is not None
    assert caller.permissions == {"tax:read"}

    ended = (await recoup(*change, "--expires-at", "2999-12-31", "--all-permissions")).json
    assert (ended["expires_at"], ended["permissions"]) == ("2999-12-31T00:00:00+00:00", None)
    endless = (await recoup(*change, "--never-expires", "--name", "kiosk")).json
    assert (endless["expires_at"], endless["name"]) == (None, "kiosk")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "value_is_mandatory"),
        (("--permission", "invoices"), "value_is_invalid: invoices"),
        (("--expires-at", "2020-01-01"), "value_is_out_of_range"),
        (("--expires-at", "2999-01-01", "--never-expires"), "contradict each other"),
        (("--permission", "tax", "--all-permissions"), "contradict each other"),
    ],
)
async def test_a_change_that_cannot_be_is_refused(
    recoup: Recoup, words: tuple[str, ...], said: str
) -> None:
    owner = (await recoup("organization", "create", "Acme", "--json")).json
    whose = ("--organization", owner["organization_id"])
    made = (await recoup("key", "create", *whose, "--json")).json
    refused = await recoup("key", "change", made["key_id"], *whose, "--by", "ann", *words)
    assert (refused.status, refused.out) == (1, "")
    assert said in refused.err
