"""What waits for a person, over the API: an attempt of which nobody tells, and money of nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from recoup import clock
from recoup.flows.reports import Report, Source
from recoup.flows.settle_attempt import settle_attempts
from recoup.providers.protocol import Paid
from recoup.rules.records.keys import RowKey
from recoup.store import contradictions, db
from recoup.store.contradictions import Contradiction
from recoup.store.db import Pool
from tests.api.billing import has_method, issue, pay, refusal, sells
from tests.api.conftest import Tenant

LONG = "é" * 256
PAID = {"outcome": "paid", "by": "ann", "reason": "ticket 7", "provider_payment_id": "ch_7"}


async def sent(tenant: Tenant, pool: Pool, owner: asyncpg.Connection, **fields: Any) -> RowKey:
    """An attempt that was sent; `fields` are further columns of its row."""
    await sells(tenant)
    await has_method(tenant, pool)
    return await sent_one_more(tenant, owner, **fields)


async def sent_one_more(tenant: Tenant, owner: asyncpg.Connection, **fields: Any) -> RowKey:
    invoice = await issue(tenant)
    answer = await tenant.post(f"/invoices/{invoice['lago_id']}/retry_payment")
    attempt = answer.headers["Recoup-Payment-Id"]
    row = {"state": "sent", "sent_at": clock.now(), "look_up_at": clock.now(), "request": "{}"}
    for columns in (row, fields):
        if columns:
            sets = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 2))
            await owner.execute(
                f"UPDATE payments SET {sets} WHERE id = $1", attempt, *columns.values()
            )
    return RowKey(tenant.organization_id, UUID(attempt))


async def second_charge(tenant: Tenant, pool: Pool, owner: asyncpg.Connection) -> str:
    """Money that was charged twice; answers the contradiction's id."""
    attempt = await sent(tenant, pool, owner)
    for charge in ("ch_1", "ch_2"):
        paid = Paid(charge, "succeeded", 1_000, "EUR")
        await settle_attempts(pool, [Report(attempt, paid, Source.EVENT)], now=clock.now())
    [surprise] = (await tenant.get("/contradictions")).json()["contradictions"]
    assert surprise["lago_payment_id"] == str(attempt.id)
    assert (surprise["reason"], surprise["unapplied_amount_cents"]) == ("a_second_charge", 1_000)
    return str(surprise["lago_id"])


async def test_a_person_settles_over_the_api_and_once(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    attempt = await sent(tenant, pool, owner)
    await owner.execute("UPDATE payments SET state = 'unknown' WHERE id = $1", attempt.id)
    await owner.execute(
        "UPDATE payments SET state = 'needs_review', look_up_at = NULL WHERE id = $1", attempt.id
    )
    path = f"/payments/{attempt.id}/settle"
    once = {"Idempotency-Key": "settle"}
    answers = [await tenant.post(path, {"payment": PAID}, **once) for _ in range(2)]
    assert [answer.json()["payment"]["payment_status"] for answer in answers] == ["succeeded"] * 2
    assert answers[0].json()["payment"]["provider_payment_id"] == "ch_7"
    kept = await owner.fetchrow(
        "SELECT actor, action, object_id FROM audit_log WHERE actor <> 'operator'"
    )
    assert tuple(kept) == ("ann", "payment.settled_by_hand", attempt.id)
    again = await tenant.post(path, {"payment": PAID})
    assert refusal(again) == (405, "payment_not_in_review")


async def test_a_charge_that_is_known_to_be_anothers_is_refused_and_a_mistake_is_shown(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    other = await sent(tenant, pool, owner)
    late = await sent_one_more(tenant, owner)
    attempt = await sent_one_more(tenant, owner)
    await owner.execute("UPDATE payments SET state = 'unknown' WHERE id = $1", attempt.id)
    await owner.execute("UPDATE payments SET state = 'needs_review' WHERE id = $1", attempt.id)
    paid = Paid("ch_7", "succeeded", 1_000, "EUR")
    await settle_attempts(pool, [Report(other, paid, Source.EVENT)], now=clock.now())
    path = f"/payments/{attempt.id}/settle"
    refused = await tenant.post(path, {"payment": PAID})
    assert refused.status_code == 422
    assert refused.json()["error_details"] == {"provider_payment_id": ["value_already_exist"]}
    settled = await tenant.post(path, {"payment": PAID | {"provider_payment_id": "ch_8"}})
    assert settled.status_code == 200
    paid = Paid("ch_8", "succeeded", 1_000, "EUR")
    await settle_attempts(pool, [Report(late, paid, Source.EVENT)], now=clock.now())
    [mistake] = (await tenant.get("/contradictions")).json()["contradictions"]
    assert (mistake["lago_payment_id"], mistake["reason"], mistake["provider_payment_id"]) == (
        str(attempt.id), "another_payment_has_this_id", "ch_8",
    )  # fmt: skip
    refund = await tenant.post(f"/contradictions/{mistake['lago_id']}/refund")
    assert refusal(refund) == (405, "nothing_to_refund")
    shown = (await tenant.get(f"/payments/{late.id}")).json()["payment"]
    assert (shown["payment_status"], shown["provider_payment_id"]) == ("succeeded", "ch_8")


@pytest.mark.parametrize(
    ("said", "details"),
    [
        ({**PAID, "outcome": "lost"}, {"outcome": ["value_is_invalid"]}),
        ({"by": "ann", "reason": "x"}, {"outcome": ["value_is_invalid"]}),
        ({**PAID, "by": " "}, {"by": ["value_is_mandatory"]}),
        ({**PAID, "reason": "a\0b"}, {"reason": ["value_is_invalid"]}),
        ({**PAID, "provider_payment_id": "\0"}, {"provider_payment_id": ["value_is_invalid"]}),
        ({**PAID, "provider_payment_id": LONG}, {"provider_payment_id": ["value_is_too_long"]}),
        ({"outcome": "failed"}, {"by": ["value_is_mandatory"], "reason": ["value_is_mandatory"]}),
    ],
)
async def test_a_word_that_says_too_little_is_refused(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection, said: Any, details: Any
) -> None:
    attempt = await sent(tenant, pool, owner)
    answer = await tenant.post(f"/payments/{attempt.id}/settle", {"payment": said})
    assert answer.status_code == 422
    assert answer.json()["error_details"] == details
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE actor <> 'operator'") == 0


async def test_what_the_provider_may_still_tell_is_not_a_persons_to_say(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    attempt = await sent(tenant, pool, owner)
    answer = await tenant.post(f"/payments/{attempt.id}/settle", {"payment": PAID})
    assert refusal(answer) == (405, "payment_not_in_review")


async def test_money_of_nobody_is_paid_back_once(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    surprise = await second_charge(tenant, pool, owner)
    answer = await tenant.post(f"/contradictions/{surprise}/refund")
    refund = answer.json()["refund"]
    assert (refund["status"], refund["amount_cents"], refund["provider_payment_id"]) == (
        "ready", 1_000, "ch_2",
    )  # fmt: skip
    again = await tenant.post(f"/contradictions/{surprise}/refund")
    assert refusal(again) == (405, "nothing_to_refund")
    listed = (await tenant.get("/refunds")).json()
    assert [one["lago_id"] for one in listed["refunds"]] == [refund["lago_id"]]
    assert (await tenant.get(f"/refunds/{refund['lago_id']}")).json()["refund"] == refund
    jobs = await owner.fetch("SELECT entrypoint FROM pgqueuer WHERE entrypoint = 'submit_refund'")
    assert len(jobs) == 1


async def test_money_that_its_provider_cannot_express_is_refused_by_name(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    surprise = await second_charge(tenant, pool, owner)
    await owner.execute("UPDATE provider_accounts SET kind = 'stripe'")
    await owner.execute("UPDATE contradictions SET currency = 'KWD', unapplied_cents = 1234")
    answer = await tenant.post(f"/contradictions/{surprise}/refund")
    assert answer.status_code == 422
    assert answer.json()["error_details"] == {
        "unapplied_amount_cents": ["amount_not_representable"]
    }
    assert (await tenant.get("/refunds")).json()["refunds"] == []


async def test_a_refund_that_failed_may_be_asked_for_anew(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    surprise = await second_charge(tenant, pool, owner)
    first = (await tenant.post(f"/contradictions/{surprise}/refund")).json()["refund"]
    later = clock.now() + timedelta(minutes=1)
    await owner.execute(
        "UPDATE refunds SET state = 'sent', sent_at = $2, request = '{}' WHERE id = $1",
        first["lago_id"], later,
    )  # fmt: skip
    await owner.execute(
        "UPDATE refunds SET state = 'failed', ended_at = $2 WHERE id = $1", first["lago_id"], later
    )
    second = (await tenant.post(f"/contradictions/{surprise}/refund")).json()["refund"]
    assert second["lago_id"] != first["lago_id"]


BACK = {"outcome": "refunded", "by": "ann", "reason": "ticket 8", "provider_refund_id": "re_8"}


async def silent_refund(tenant: Tenant, pool: Pool, owner: asyncpg.Connection) -> str:
    """A refund of which the provider told nothing for as long as it is asked; answers its id."""
    surprise = await second_charge(tenant, pool, owner)
    refund = (await tenant.post(f"/contradictions/{surprise}/refund")).json()["refund"]["lago_id"]
    await owner.execute(
        "UPDATE refunds SET state = 'sent', sent_at = now(), request = '{}' WHERE id = $1", refund
    )
    for state in ("unknown", "needs_review"):
        await owner.execute("UPDATE refunds SET state = $2 WHERE id = $1", refund, state)
    return str(refund)


async def test_refunds_that_a_person_may_settle_are_listed_apart(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    refund = await silent_refund(tenant, pool, owner)
    for flag, shown in [("true", [refund]), ("false", [refund]), ("", [refund])]:
        listed = (await tenant.get("/refunds", needs_review=flag)).json()
        assert [one["lago_id"] for one in listed["refunds"]] == shown
        assert listed["meta"]["total_count"] == len(shown)
    assert (await tenant.get("/refunds", needs_review="maybe")).status_code == 422
    await tenant.post(f"/refunds/{refund}/settle", {"refund": BACK})
    for flag, count in [("true", 0), ("false", 1)]:
        listed = (await tenant.get("/refunds", needs_review=flag)).json()
        assert (len(listed["refunds"]), listed["meta"]["total_count"]) == (count, count)


async def test_a_person_settles_a_refund_once_and_the_books_agree(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    refund = await silent_refund(tenant, pool, owner)
    before = await owner.fetchval("SELECT count(*) FROM ledger_entries")
    path, once = f"/refunds/{refund}/settle", {"Idempotency-Key": "settle"}
    answers = [await tenant.post(path, {"refund": BACK}, **once) for _ in range(2)]
    assert answers[0].content == answers[1].content
    settled = answers[0].json()["refund"]
    assert (settled["status"], settled["provider_refund_id"]) == ("succeeded", "re_8")
    assert settled["ended_at"]
    kept = await owner.fetchrow(
        "SELECT actor, action, object_id FROM audit_log WHERE actor <> 'operator'"
    )
    assert tuple(kept) == ("ann", "refund.settled_by_hand", UUID(refund))
    assert await owner.fetchval("SELECT count(*) FROM ledger_entries") == before + 2
    assert await owner.fetchval("SELECT sum(amount_cents) FROM ledger_entries") == 0
    assert refusal(await tenant.post(path, {"refund": BACK})) == (405, "refund_not_in_review")


async def test_two_refunds_are_not_one_at_the_provider(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    refund = await silent_refund(tenant, pool, owner)
    await owner.execute(
        """INSERT INTO refunds (organization_id, id, payment_id, contradiction_id, state,
                  amount_cents, currency, asked_by, provider_account_id, provider_payment_id,
                  request, provider_refund_id, created_at, sent_at, ended_at)
           SELECT organization_id, $2, payment_id, contradiction_id, 'failed', amount_cents,
                  currency, asked_by, provider_account_id, provider_payment_id, request, 're_8',
                  created_at, sent_at, now()
             FROM refunds WHERE id = $1""",
        refund, clock.new_id(),
    )  # fmt: skip
    answer = await tenant.post(f"/refunds/{refund}/settle", {"refund": BACK})
    assert answer.json()["error_details"] == {"provider_refund_id": ["value_already_exist"]}
    assert (await tenant.get(f"/refunds/{refund}")).json()["refund"]["status"] == "needs_review"


async def test_a_refund_that_a_person_calls_failed_may_be_asked_for_anew(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    refund = await silent_refund(tenant, pool, owner)
    said = {"outcome": "failed", "by": "ann", "reason": "not in their books"}
    answer = await tenant.post(f"/refunds/{refund}/settle", {"refund": said})
    assert answer.json()["refund"]["status"] == "failed"
    [surprise] = (await tenant.get("/contradictions")).json()["contradictions"]
    again = await tenant.post(f"/contradictions/{surprise['lago_id']}/refund")
    assert again.json()["refund"]["lago_id"] != refund


@pytest.mark.parametrize(
    ("said", "details"),
    [
        ({**BACK, "outcome": "paid"}, {"outcome": ["value_is_invalid"]}),
        ({**BACK, "reason": ""}, {"reason": ["value_is_mandatory"]}),
        ({**BACK, "provider_refund_id": None}, {"provider_refund_id": ["value_is_mandatory"]}),
        ({**BACK, "provider_refund_id": "re\0"}, {"provider_refund_id": ["value_is_invalid"]}),
        ({**BACK, "provider_refund_id": LONG}, {"provider_refund_id": ["value_is_too_long"]}),
    ],
)
async def test_a_word_about_a_refund_that_says_too_little_is_refused(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection, said: Any, details: Any
) -> None:
    refund = await silent_refund(tenant, pool, owner)
    answer = await tenant.post(f"/refunds/{refund}/settle", {"refund": said})
    assert (answer.status_code, answer.json()["error_details"]) == (422, details)
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE actor <> 'operator'") == 0


async def test_a_refund_under_way_or_of_others_is_not_a_persons_to_settle(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    surprise = await second_charge(tenant, pool, owner)
    refund = (await tenant.post(f"/contradictions/{surprise}/refund")).json()["refund"]["lago_id"]
    path = f"/refunds/{refund}/settle"
    assert refusal(await tenant.post(path, {"refund": BACK})) == (405, "refund_not_in_review")
    theirs = await other_tenant.post(path, {"refund": BACK})
    assert refusal(theirs) == (404, "refund_not_found")
    nothing = await tenant.post("/refunds/nothing/settle", {"refund": BACK})
    assert refusal(nothing) == (404, "refund_not_found")


async def test_money_of_a_payment_made_by_hand_goes_back_by_hand(
    tenant: Tenant, pool: Pool
) -> None:
    await sells(tenant)
    paid = (await pay(tenant, await issue(tenant), 100)).json()["payment"]
    surprise = Contradiction(
        payment=RowKey(tenant.organization_id, UUID(paid["lago_id"])), id=clock.new_id(),
        was="succeeded", told="succeeded", reason="a_second_charge", amount_cents=100,
        currency="EUR", provider_payment_id="ch_2", unapplied_cents=100,
    )  # fmt: skip
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        await contradictions.insert(conn, [surprise], now=clock.now())
    refused = await tenant.post(f"/contradictions/{surprise.id}/refund")
    assert refusal(refused) == (405, "nothing_to_refund")
