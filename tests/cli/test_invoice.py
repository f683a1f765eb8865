"""`recoup invoice held` and `release`, as an operator runs them."""

from __future__ import annotations

from tests.cli.conftest import Recoup
from tests.flows.conftest import psp, shop  # noqa: F401  fixtures
from tests.flows.test_release_invoice import contradicted
from tests.shop import Shop


async def test_an_operator_finds_a_held_invoice_and_lets_it_go(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    invoice, attempt = await contradicted(shop)
    whose = ("--organization", str(shop.organization_id))
    [held] = (await recoup("invoice", "held", *whose, "--json")).json["invoices"]
    assert (held["invoice_id"], held["held_because"]) == (str(invoice.id), "contradicted")
    [told] = held["told"]
    assert (told["payment_id"], told["was"], told["told"]) == (
        str(attempt.id),
        "failed",
        "succeeded",
    )
    words = ("invoice", "release", str(invoice.id), *whose, "--by", "ann", "--reason", "refunded")
    released = await recoup(*words, "--json")
    assert released.json["released"] is True
    audited = await shop.owner.fetchval("SELECT id FROM audit_log WHERE actor = 'ann'")
    assert released.json["audit_id"] == str(audited)
    assert (await recoup("invoice", "held", *whose, "--json")).json == {"invoices": []}
    again = await recoup(*words)
    assert (again.status, again.err.split()[:2]) == (1, ["Refused:", "invoice_not_held"])


async def test_a_tenants_text_is_printed_as_it_is(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    await shop.collect(await shop.sell("pm_sandbox_processing_ok"))
    for text in ("[/bold]", "[link=https://evil.test]pay[/link]", "\x1b[2J"):
        await shop.owner.execute("UPDATE customers SET external_id = $1", text)
        whose = ("--organization", str(shop.organization_id))
        listed = await recoup("payment", "list", *whose)
        assert (listed.status, listed.err) == (0, "")
        assert text.replace("\x1b", "\\u001b") in listed.out
    nobody = await recoup("payment", "list", "--organization", str(shop.entity_id))
    assert (nobody.status, nobody.err.split()[:2]) == (1, ["Refused:", "organization_not_found"])


async def test_an_account_for_an_organization_that_is_none_is_refused(recoup: Recoup) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    words = ("provider", "add", "sandbox", "--organization", nobody, "--code", "cards")
    ended = await recoup(*words)
    assert (ended.status, ended.err.split()[:2]) == (1, ["Refused:", "organization_not_found"])
