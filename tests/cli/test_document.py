"""`recoup document`, as an operator runs it."""

from __future__ import annotations

from recoup import clock
from recoup.rules.records.keys import RowKey
from tests.cli.conftest import Recoup
from tests.flows.conftest import psp, shop  # noqa: F401  fixtures
from tests.flows.issuing import issue, stock
from tests.shop import Shop


async def _issued(shop: Shop) -> RowKey:  # noqa: F811
    """An invoice, and its document's key."""
    await stock(shop)
    await issue(shop, await shop.customer(linked=False))
    row = await shop.owner.fetchrow("SELECT organization_id, id FROM documents")
    return RowKey(row["organization_id"], row["id"])


async def test_an_operator_finds_what_was_given_up_and_has_it_made_again(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    key = await _issued(shop)
    whose = ("--organization", str(shop.organization_id))
    assert (await recoup("document", "list", *whose, "--json")).json == {"documents": []}
    await shop.owner.execute(
        "UPDATE documents SET make_at = NULL, given_up_at = now(), tries = 5, typeset_tries = 5,"
        " failed_because = 'not typeset: it took more than 20 s'"
    )
    await shop.owner.execute("DELETE FROM pgqueuer")
    [listed] = (await recoup("document", "list", *whose, "--json")).json["documents"]
    assert (listed["document_id"], listed["kind"], listed["tries"]) == (str(key.id), "invoice", 5)
    assert listed["failed_because"] == "not typeset: it took more than 20 s"
    made = await recoup("document", "again", str(key.id), *whose, "--json")
    assert made.json == {"document_id": str(key.id), "is_being_made": True}
    assert (await recoup("document", "list", *whose, "--json")).json == {"documents": []}
    jobs = await shop.owner.fetch("SELECT entrypoint, payload FROM pgqueuer")
    assert [(job["entrypoint"], job["payload"].decode()) for job in jobs] == [
        ("make_document", str(key))
    ]


async def test_another_organizations_document_is_not_found(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    key = await _issued(shop)
    other = await Shop(shop.pool, shop.owner, shop.providers, shop.clock).open()
    for whose, which in ((other.organization_id, key.id), (shop.organization_id, clock.new_id())):
        refused = await recoup("document", "again", str(which), "--organization", str(whose))
        assert (refused.status, refused.err.split()[:2]) == (1, ["Refused:", "document_not_found"])
