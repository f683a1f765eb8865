"""`recoup webhook list` and `replay`, as an operator runs them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from recoup import clock
from recoup.store import db, events
from recoup.store.db import Pool
from recoup.store.events import Event
from tests.cli.conftest import Recoup


async def told(recoup: Recoup, pool: Pool, owner: asyncpg.Connection, count: int) -> list[Any]:
    """An organization's id, and the ids of so many deliveries that were given up, oldest first."""
    made = (await recoup("organization", "create", "Acme", "--json")).json
    whose = UUID(made["organization_id"])
    await owner.execute(
        "INSERT INTO webhook_endpoints (organization_id, id, webhook_url, created_at)"
        " VALUES ($1, $2, 'https://acme.example', now())",
        whose, clock.new_id(),
    )  # fmt: skip
    keys: list[Any] = []
    for _ in range(count):
        event = Event(whose, clock.new_id(), "invoice.voided", clock.new_id(), "{}")
        async with db.transaction(pool, tenants=[whose]) as conn:
            keys += await events.insert(conn, [event], now=clock.now())
    await owner.execute(
        "UPDATE webhook_deliveries SET state = 'given_up', deliver_at = NULL, ended_at = now(),"
        " tries = 13, http_status = 500, error = 'it answered 500'"
    )
    return [made["organization_id"], *(str(key.id) for key in keys)]


async def test_what_was_given_up_is_listed_and_all_of_it_is_sent_again(
    recoup: Recoup, pool: Pool, owner: asyncpg.Connection
) -> None:
    whose, first, second, third = await told(recoup, pool, owner, 3)
    words = ("--organization", whose, "--json")
    listed = (await recoup("webhook", "list", *words, "--most", "2")).json
    assert [one["delivery_id"] for one in listed["webhooks"]] == [third, second]
    assert listed["there_are_more"] is True
    shown = listed["webhooks"][0]
    assert (shown["status"], shown["tries"], shown["error"]) == ("given_up", 13, "it answered 500")
    read = (await recoup("webhook", "list", "--organization", whose)).out.splitlines()
    assert (read[0], read[4:]) == ("webhooks:", ["there_are_more: false"])
    assert [json.loads(row)["delivery_id"] for row in read[1:4]] == [third, second, first]

    assert (await recoup("webhook", "replay", first, *words)).json == {"replayed": 1}
    again = await recoup("webhook", "replay", first, *words)
    assert again.err == "Refused: webhook_delivery_is_waiting {}\n"
    rest = await recoup("webhook", "replay", *words, "--type", "invoice.voided")
    assert rest.json == {"replayed": 2}
    listed = (await recoup("webhook", "list", *words, "--status", "waiting")).json
    assert [one["replays"] for one in listed["webhooks"]] == [1, 1, 1]
    gone = await recoup("webhook", "replay", *words, "--status", "given_up")
    assert gone.json == {"replayed": 0}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Nothing is chosen"),
        (("--status", "waiting"), "sent by itself"),
        (("00000000-0000-7000-8000-00000000abcd", "--status", "given_up"), "chooses one"),
        (("--type", "invoice.lost"), "no event of type"),
        (("00000000-0000-7000-8000-00000000abcd",), "webhook_delivery_not_found"),
    ],
)
async def test_a_replay_that_chooses_nothing_or_too_much_is_refused(
    recoup: Recoup, words: tuple[str, ...], says: str
) -> None:
    made = (await recoup("organization", "create", "Acme", "--json")).json
    whose = ("--organization", made["organization_id"])
    ended = await recoup("webhook", "replay", *whose, *words)
    assert (ended.status, ended.out) == (1, "")
    assert says in ended.err
