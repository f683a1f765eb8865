"""`recoup mail list`, as an operator runs it."""

from __future__ import annotations

from recoup.flows.portal_links import PortalLinks
from recoup.flows.send_mail import send_mail
from tests.cli.conftest import Recoup
from tests.flows.conftest import psp, shop  # noqa: F401  fixtures
from tests.flows.test_send_mail import mailed
from tests.shop import BOX, Shop


async def test_an_operator_sees_why_a_mail_was_not_sent(
    recoup: Recoup,
    shop: Shop,  # noqa: F811
) -> None:
    whose = ("--organization", str(shop.organization_id))
    assert (await recoup("mail", "list", *whose, "--json")).json == {"mails": []}
    key = await mailed(shop)
    links = PortalLinks(BOX, address="https://recoup.test")
    await send_mail(shop.pool, key, sender=None, links=links, now=shop.clock.now)
    [one] = (await recoup("mail", "list", *whose, "--json")).json["mails"]
    assert (one["mail_id"], one["error"]) == (str(key.id), "mail_not_configured")
    assert (one["state"], one["recipients"]) == ("waiting", ["ada@c.example"])
    await shop.owner.execute("UPDATE mails SET state = 'sent', send_at = NULL")
    assert (await recoup("mail", "list", *whose, "--json")).json == {"mails": []}
    nobody = await recoup("mail", "list", "--organization", str(shop.entity_id))
    assert (nobody.status, nobody.err.split()[:2]) == (1, ["Refused:", "organization_not_found"])
