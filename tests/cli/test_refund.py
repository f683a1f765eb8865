"""`recoup refund list` and `settle`, as an operator runs them."""

from __future__ import annotations

from datetime import timedelta

from recoup import clock
from recoup.rules.records.keys import RowKey
from tests.cli.conftest import Recoup
from tests.flows.conftest import psp, shop  # noqa: F401  fixtures
from tests.flows.test_settle_refund import refund_sent
from tests.shop import Shop


async def test_an_operator_finds_a_silent_refund_and_settles_it(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    refund = await refund_sent(shop, at=clock.now() - timedelta(hours=25))
    await shop.change("refunds", refund, state="processing", look_up_at=None)
    whose = ("--organization", str(shop.organization_id))
    [listed] = (await recoup("refund", "list", "--needs-review", *whose, "--json")).json["refunds"]
    assert (listed["refund_id"], listed["state"]) == (str(refund.id), "processing")
    assert (listed["amount_cents"], listed["provider_payment_id"]) == (1_000, "ch_2")
    assert listed["idempotency_key"] == f"refund-{refund.id}"
    words = ("refund", "settle", str(refund.id), *whose, "--by", "ann", "--reason", "ticket 7")
    refused = await recoup(*words, "--outcome", "refunded", "--json")
    assert (refused.status, refused.out) == (1, "")
    assert "provider_refund_id" in refused.err
    long = await recoup(*words, "--outcome", "refunded", "--provider-refund-id", "r" * 3_000)
    assert (long.status, long.out) == (1, "")
    assert long.err == 'Refused: validation_errors {"provider_refund_id": ["value_is_too_long"]}\n'
    settled = await recoup(
        *words, "--outcome", "refunded", "--provider-refund-id", "re_7", "--json"
    )
    assert settled.json["state"] == "succeeded"
    audited = await shop.owner.fetchval("SELECT id FROM audit_log WHERE actor = 'ann'")
    assert settled.json["audit_id"] == str(audited)
    assert (await recoup("refund", "list", *whose, "--json")).json == {"refunds": []}
    again = await recoup(*words, "--outcome", "failed")
    assert (again.status, again.err.split()[:2]) == (1, ["Refused:", "refund_not_in_review"])


async def test_a_refund_under_way_is_listed_and_not_yet_a_persons(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    refund: RowKey = await refund_sent(shop, at=clock.now() - timedelta(hours=1))
    whose = ("--organization", str(shop.organization_id))
    [listed] = (await recoup("refund", "list", *whose, "--json")).json["refunds"]
    assert listed["refund_id"] == str(refund.id)
    waiting = await recoup("refund", "list", "--needs-review", *whose, "--json")
    assert waiting.json == {"refunds": []}
    nobody = await recoup("refund", "list", "--organization", str(shop.entity_id))
    assert (nobody.status, nobody.err.split()[:2]) == (1, ["Refused:", "organization_not_found"])
