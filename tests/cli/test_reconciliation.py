"""`recoup reconciliation` and `quarantine`, as an operator runs them."""

from __future__ import annotations

from recoup import clock
from recoup.rules.records.keys import RowKey
from tests.cli.conftest import Recoup
from tests.flows.conftest import psp, shop  # noqa: F401  fixtures
from tests.flows.test_reconcile_account import charge_behind_our_back, compare
from tests.shop import Shop


async def test_an_operator_finds_what_only_the_provider_knows_and_resolves_it(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    invoice = RowKey(shop.organization_id, clock.new_id())
    key = await charge_behind_our_back(shop, invoice)
    await compare(shop)
    whose = ("--organization", str(shop.organization_id))
    listed = (await recoup("reconciliation", "list", *whose, "--json")).json
    assert [one["state"] for one in listed["comparisons"]] == ["complete"]
    [found] = listed["findings"]
    assert (found["what"], found["detail"], found["there"]) == (
        "unknown_here", "invoice_unknown", "paid",
    )  # fmt: skip
    assert (found["idempotency_key"], found["invoice_id"]) == (key, str(invoice.id))
    words = ("reconciliation", "resolve", found["finding_id"], *whose, "--reason", "paid back")
    refused = await recoup(*words, "--by", " ")
    assert (refused.status, refused.err.split()[:2]) == (1, ["Refused:", "validation_errors"])
    resolved = (await recoup(*words, "--by", "ann", "--json")).json
    audited = await shop.owner.fetchval("SELECT id FROM audit_log WHERE actor = 'ann'")
    assert resolved["audit_id"] == str(audited)
    again = await recoup(*words, "--by", "ann")
    assert again.err.split()[:2] == ["Refused:", "reconciliation_finding_not_open"]
    assert (await recoup("reconciliation", "list", *whose, "--json")).json["findings"] == []


async def test_an_operator_asks_for_the_comparison_of_every_account_now(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    gone = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    account = RowKey(gone.organization_id, gone.account_id)
    await gone.change("provider_accounts", account, deleted_at=clock.now())
    asked = await recoup("reconciliation", "run", "--json")
    assert asked.json == {"promised": 2}
    promised = await shop.owner.fetch(
        "SELECT payload FROM pgqueuer WHERE entrypoint = 'reconcile_account'"
    )
    assert {job["payload"].decode() for job in promised} == {
        f"{one.organization_id}/{one.account_id}" for one in (shop, other)
    }
    again = await recoup("reconciliation", "run")
    assert (again.status, again.out) == (0, "promised: 2\n")


async def test_a_quarantine_that_would_begin_before_our_era_is_refused_in_a_sentence(
    recoup: Recoup,
) -> None:
    words = ("quarantine", "begin", "--by", "ann", "--reason", "an old backup")
    refused = await recoup(*words, "--since-hours", "100000000")
    assert (refused.status, refused.out) == (2, "")
    assert "--since-hours" in refused.err
    assert "Traceback" not in refused.err


async def test_who_begins_a_quarantine_says_who_they_are_and_why(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    words = ("quarantine", "begin", "--reason", "restored the backup of 02:00")
    assert (await recoup(*words)).status == 2  # an option is missing
    refused = await recoup(*words, "--by", "")
    assert (refused.status, refused.err.split()[:2]) == (1, ["Refused:", "validation_errors"])
    assert (await recoup(*words, "--by", "ann", "--json")).json["accounts"] == 1
    whose = ("--organization", str(shop.organization_id))
    [held] = (await recoup("quarantine", "status", *whose, "--json")).json["accounts"]
    assert (held["because"], held["last_comparison"]) == ("restored the backup of 02:00", None)
    entry = await shop.owner.fetchrow(
        "SELECT actor, action, object_id FROM audit_log WHERE actor = 'ann'"
    )
    assert tuple(entry) == ("ann", "quarantine.begun", shop.account_id)
