"""`recoup payment list` and `settle`, as an operator runs them."""

from __future__ import annotations

from tests.cli.conftest import Recoup
from tests.flows.conftest import psp, shop  # noqa: F401  fixtures
from tests.flows.test_settle_by_hand import in_review
from tests.shop import Shop


async def test_an_operator_finds_what_needs_review_and_settles_it(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    invoice, attempt = await in_review(shop)
    whose = ("--organization", str(shop.organization_id))
    [listed] = (await recoup("payment", "list", "--needs-review", *whose, "--json")).json[
        "payments"
    ]
    assert (listed["payment_id"], listed["state"]) == (str(attempt.id), "needs_review")
    assert listed["invoice_ids"] == [str(invoice.id)]
    assert listed["idempotency_key"] == f"payment-{attempt.id}"
    words = ("payment", "settle", str(attempt.id), *whose, "--by", "ann", "--reason", "ticket 7")
    refused = await recoup(*words, "--outcome", "paid", "--json")
    assert (refused.status, refused.out) == (1, "")
    assert "provider_payment_id" in refused.err
    long = await recoup(*words, "--outcome", "paid", "--provider-payment-id", "c" * 3_000)
    assert (long.status, long.out) == (1, "")
    assert "provider_payment_id" in long.err
    assert "value_is_too_long" in long.err
    paid = await shop.row("payments", await shop.collect(await shop.sell("pm_sandbox_ok")))
    known = ("--provider-payment-id", paid["provider_payment_id"])
    for outcome in ("paid", "failed"):
        anothers = await recoup(*words, "--outcome", outcome, *known)
        assert (anothers.status, anothers.out) == (1, "")
        assert "value_already_exist" in anothers.err
    settled = await recoup(*words, "--outcome", "failed", "--json")
    assert settled.json["state"] == "failed"
    audited = await shop.owner.fetchval("SELECT id FROM audit_log WHERE actor = 'ann'")
    assert settled.json["audit_id"] == str(audited)
    again = await recoup(*words, "--outcome", "failed")
    assert (again.status, again.err.split()[:2]) == (1, ["Refused:", "payment_not_in_review"])
