"""What a comparison found, over the API, and in what operators watch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.notice_restore import hold_all_back
from recoup.rules.reconciliation import What
from recoup.rules.records.keys import RowKey
from recoup.store import db, findings, provider_accounts
from recoup.store.db import Pool
from recoup.store.findings import Finding
from tests.api.billing import has_method, refusal, sells
from tests.api.conftest import Tenant
from tests.conftest import eventually

PATH = "/reconciliation_findings"
DONE = {"reconciliation_finding": {"by": "ann", "reason": "paid back at the provider"}}
INVOICE = UUID(int=7)
CHARGE = Finding(
    what=What.UNKNOWN_HERE, idempotency_key="payment-1", charge_known_as="ch_1",
    amount_cents=1_000, currency="EUR", there="paid", invoice_id=INVOICE, detail="invoice_unknown",
)  # fmt: skip
AMOUNT = Finding(
    what=What.DIFFERS, idempotency_key="payment-2", charge_known_as="ch_2", amount_cents=900,
    currency="EUR", here="succeeded", there="paid", here_cents=1_000, detail="amount",
)  # fmt: skip
NO_LIST = Finding(what=What.CANNOT_LIST, idempotency_key="quarantine-1")


@pytest_asyncio.fixture
async def account(tenant: Tenant, pool: Pool) -> RowKey:
    return await account_of(tenant, pool)


async def account_of(tenant: Tenant, pool: Pool) -> RowKey:
    await sells(tenant)
    await has_method(tenant, pool)
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        [account, *_] = await provider_accounts.live(conn, tenant.organization_id)
    return account.key


async def keep(pool: Pool, account: RowKey, found: Sequence[Finding], *, minutes: int = 0) -> None:
    at = clock.now() + timedelta(minutes=minutes)
    async with db.transaction(pool, tenants=[account.organization_id]) as conn:
        await findings.find(conn, account, found, now=at)


async def listed(tenant: Tenant, **query: Any) -> Any:
    answer = await tenant.get(PATH, **query)
    assert answer.status_code == 200
    return answer.json()


async def test_they_are_listed_newest_first_page_by_page(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, account: RowKey
) -> None:
    for minutes, one in enumerate((CHARGE, AMOUNT, NO_LIST)):
        await keep(pool, account, [one], minutes=minutes)
    first = await listed(tenant, per_page=2)
    assert [one["what"] for one in first["reconciliation_findings"]] == ["cannot_list", "differs"]
    assert (first["meta"]["total_count"], first["meta"]["next_page"]) == (3, 2)
    [charge] = (await listed(tenant, per_page=2, page=2))["reconciliation_findings"]
    assert charge == {
        "lago_id": str(CHARGE.id_in(account)),
        "lago_provider_account_id": str(account.id),
        "what": "unknown_here",
        "detail": "invoice_unknown",
        "status": "open",
        "idempotency_key": "payment-1",
        "provider_id": "ch_1",
        "lago_invoice_id": str(INVOICE),
        "amount_cents": 1_000,
        "amount_currency": "EUR",
        "amount_here_cents": None,
        "status_here": None,
        "status_there": "paid",
        "found_at": charge["found_at"],
        "last_found_at": charge["found_at"],
        "resolved_at": None,
        "resolved_because": None,
        "resolved_by": None,
    }
    assert (await listed(other_tenant))["reconciliation_findings"] == []


async def test_one_is_resolved_once_and_the_open_ones_are_left(
    tenant: Tenant, pool: Pool, account: RowKey, owner: asyncpg.Connection
) -> None:
    await keep(pool, account, [CHARGE, AMOUNT])
    one = f"{PATH}/{AMOUNT.id_in(account)}"
    once = {"Idempotency-Key": "resolve"}
    answers = [await tenant.post(f"{one}/resolve", DONE, **once) for _ in range(2)]
    assert answers[0].content == answers[1].content
    resolved = answers[0].json()["reconciliation_finding"]
    assert (resolved["status"], resolved["resolved_by"]) == ("resolved", "ann")
    assert (await tenant.get(one)).json()["reconciliation_finding"] == resolved
    again = await tenant.post(f"{one}/resolve", DONE)
    assert refusal(again) == (405, "reconciliation_finding_not_open")
    for is_open, what in (("true", "unknown_here"), ("false", "differs")):
        [left] = (await listed(tenant, open=is_open))["reconciliation_findings"]
        assert left["what"] == what
    assert (await tenant.get(PATH, open="perhaps")).status_code == 422
    [kept] = await owner.fetch("SELECT actor, action, object_id FROM audit_log WHERE actor = 'ann'")
    assert tuple(kept) == ("ann", "reconciliation_finding.resolved", AMOUNT.id_in(account))


@pytest.mark.parametrize(
    ("said", "details"),
    [
        ({"by": "ann"}, {"reason": ["value_is_mandatory"]}),
        ({"by": " ", "reason": "x"}, {"by": ["value_is_mandatory"]}),
        ({"by": "a\0", "reason": "x"}, {"by": ["value_is_invalid"]}),
    ],
)
async def test_a_word_that_does_not_say_who_and_why_is_refused(
    tenant: Tenant, pool: Pool, account: RowKey, said: Any, details: Any
) -> None:
    await keep(pool, account, [CHARGE])
    path = f"{PATH}/{CHARGE.id_in(account)}/resolve"
    answer = await tenant.post(path, {"reconciliation_finding": said})
    assert (answer.status_code, answer.json()["error_details"]) == (422, details)
    assert (await listed(tenant, open="true"))["meta"]["total_count"] == 1


async def test_one_of_others_or_of_nobody_is_not_found(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, account: RowKey
) -> None:
    await keep(pool, account, [CHARGE])
    for by, name in ((other_tenant, CHARGE.id_in(account)), (tenant, clock.new_id()),
                     (tenant, "nothing")):  # fmt: skip
        for answer in (await by.get(f"{PATH}/{name}"),
                       await by.post(f"{PATH}/{name}/resolve", DONE)):  # fmt: skip
            assert refusal(answer) == (404, "reconciliation_finding_not_found")


async def health(tenant: Tenant) -> str:
    """What `/health` has to tell.

    It gives up on a database after two seconds, and the first look opens a connection: on a machine
    that is busy with other things that may take longer, and 500 is the right answer.
    """
    told: list[httpx.Response] = []

    async def answers() -> bool:
        told.append(await tenant.client.get("/health"))
        return told[-1].status_code == 200

    await eventually(answers, what="the database answers in time")
    details: str = told[-1].json().get("details", "")
    return details


async def test_operators_are_told_how_many_wait_and_of_what_kind(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, scout: Pool, account: RowKey
) -> None:
    assert await health(tenant) == ""
    theirs = await account_of(other_tenant, pool)
    await keep(pool, account, [CHARGE, AMOUNT])
    await keep(pool, theirs, [CHARGE])
    assert await health(tenant) == "3 differences from providers' lists wait for a person."
    await hold_all_back(
        pool, scout, because="a drill", by="ann", since=clock.now(), new_id=clock.new_id,
        now=clock.now(),
    )  # fmt: skip
    await keep(pool, account, [NO_LIST])
    told = await health(tenant)
    assert "After a restore: 2 provider accounts are not charged." in told
    assert "1 of them have no list to compare: a person must say so." in told
    text = (await tenant.client.get("/metrics")).text
    for what, count in {"unknown_here": 2, "differs": 1, "cannot_list": 1, "unreadable": 0}.items():
        assert f'recoup_reconciliation_findings{{what="{what}"}} {count}.0' in text
    await tenant.post(f"{PATH}/{CHARGE.id_in(account)}/resolve", DONE)
    assert "2 differences from providers' lists" in await health(tenant)
