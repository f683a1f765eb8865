"""Mails from the promise to the mail server: tried again, given up, and not sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.portal_links import FROM_A_MAIL, PortalLinks
from recoup.flows.send_mail import LEASE, send_mail
from recoup.flows.sweep import sweep
from recoup.rules.mail_schedule import WAITS
from recoup.rules.records.keys import RowKey
from recoup.senders.mail import MailSender
from recoup.store.db import Pool
from tests.flows.issuing import issue, stock
from tests.mail_server import Mailbox, mail_server
from tests.shop import BOX, Shop


class _DiedError(Exception):
    """The process is gone, with the server's answer in its hands."""


LINKS = PortalLinks(BOX, address="https://recoup.test")


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mail_server() as box:
        yield box


async def mailed(shop: Shop, email: str | None = "ada@c.example") -> RowKey:
    """Issue an invoice whose mail is wanted; answer the mail's key."""
    await stock(shop)
    await shop.owner.execute(
        "UPDATE billing_entities SET email_settings = '{invoice.finalized}', legal_name = 'Acme'"
    )
    customer = await shop.customer()
    await shop.owner.execute("UPDATE customers SET email = $1", email)
    await issue(shop, customer, cents=123_456)
    mail_id = await shop.owner.fetchval("SELECT id FROM mails")
    return RowKey(shop.organization_id, mail_id)


async def attempt(shop: Shop, key: RowKey, box: Mailbox | None) -> None:
    sender = box and MailSender(box.server, sender="billing@recoup.test")
    await send_mail(shop.pool, key, sender=sender, links=LINKS, now=shop.clock.now)


async def row(shop: Shop) -> asyncpg.Record:
    return await shop.owner.fetchrow("SELECT * FROM mails")


async def test_an_issued_invoice_is_mailed_once(
    shop: Shop, box: Mailbox, pool: Pool, scout: Pool
) -> None:
    key = await mailed(shop)
    assert (
        await shop.owner.fetchval(
            "SELECT count(*) FROM pgqueuer WHERE dedupe_key = $1", f"send_mail/{key}"
        )
        == 1
    )
    await attempt(shop, key, box)
    [message] = box.messages
    invoice = await shop.owner.fetchrow("SELECT * FROM invoices")
    assert message["Subject"] == f"Invoice {invoice['number']} from Acme"
    text = message.get_content()
    assert "1,234.56 EUR" in text
    assert str(invoice["payment_due_date"]) in text
    [url] = [line for line in text.splitlines() if line.startswith("https://")]
    token = url.rpartition("/")[2]
    now = shop.clock.now()
    customer = RowKey(shop.organization_id, invoice["customer_id"])
    assert LINKS.read(token, now=now + FROM_A_MAIL - timedelta(seconds=1)) == customer
    assert LINKS.read(token, now=now + FROM_A_MAIL) is None
    sent = await row(shop)
    assert (sent["state"], sent["error"], sent["send_at"]) == ("sent", None, None)
    shop.clock.advance(days=1)
    await attempt(shop, key, box)
    await sweep(pool, scout, new_id=clock.new_id, now=shop.clock.now())
    assert len(box.envelopes) == 1


async def test_two_workers_at_once_send_once(shop: Shop, box: Mailbox) -> None:
    key = await mailed(shop)
    await asyncio.gather(*(attempt(shop, key, box) for _ in range(4)))
    assert len(box.envelopes) == 1
    assert (await row(shop))["tries"] == 1


async def test_a_mail_that_is_not_taken_is_tried_again_as_planned(
    shop: Shop, box: Mailbox, pool: Pool, scout: Pool
) -> None:
    key = await mailed(shop)
    box.data_answer = "451 later"
    for tries, wait in enumerate(WAITS, 1):
        await attempt(shop, key, box)
        waiting = await row(shop)
        assert (waiting["state"], waiting["tries"]) == ("waiting", tries)
        assert waiting["error"] == "refused_451"
        assert waiting["send_at"] == shop.clock.now() + wait
        await attempt(shop, key, box)  # not due yet
        assert (await row(shop))["tries"] == tries
        shop.clock.at = waiting["send_at"]
        await shop.owner.execute("DELETE FROM pgqueuer")
        await sweep(pool, scout, new_id=clock.new_id, now=shop.clock.now())
        assert await shop.owner.fetchval("SELECT dedupe_key FROM pgqueuer") == f"send_mail/{key}"
    await attempt(shop, key, box)
    given_up = await row(shop)
    assert (given_up["state"], given_up["error"]) == ("given_up", "refused_451")
    assert given_up["ended_at"] == shop.clock.now()
    assert box.envelopes == []


async def test_a_definite_no_is_not_asked_again(shop: Shop, box: Mailbox) -> None:
    key = await mailed(shop)
    box.answers = {"ada@c.example": "550 no such user"}
    await attempt(shop, key, box)
    assert ((await row(shop))["state"], (await row(shop))["error"]) == ("given_up", "refused_550")


EVERYBODY = "ada@c.example, grace@c.example, joan@c.example"


async def test_who_is_put_off_gets_it_later_and_nobody_gets_it_twice(
    shop: Shop, box: Mailbox
) -> None:
    key = await mailed(shop, EVERYBODY)
    box.answers = {"ada@c.example": "450 greylisted", "joan@c.example": "550 no such user"}
    await attempt(shop, key, box)
    waiting = await row(shop)
    assert (waiting["state"], waiting["error"]) == ("waiting", "some_recipients_put_off")
    assert waiting["send_at"] == shop.clock.now() + WAITS[0]
    assert (waiting["taken_for"], waiting["refused_for"]) == (
        ["grace@c.example"],
        ["joan@c.example"],
    )
    box.answers = {}
    shop.clock.at = waiting["send_at"]
    await attempt(shop, key, box)
    assert [envelope.rcpt_tos for envelope in box.envelopes] == [
        ["grace@c.example"], ["ada@c.example"],
    ]  # fmt: skip
    first, second = box.messages
    assert (first["To"], first["Message-ID"]) == (second["To"], second["Message-ID"])
    sent = await row(shop)
    assert (sent["state"], sent["error"]) == ("sent", "some_recipients_refused")
    assert sorted(sent["taken_for"]) == ["ada@c.example", "grace@c.example"]


@pytest.mark.parametrize("last", ["450 still greylisted", "550 no such user"])
async def test_a_mail_that_reached_somebody_is_sent_when_the_others_are_given_up(
    shop: Shop, box: Mailbox, last: str
) -> None:
    key = await mailed(shop, EVERYBODY)
    box.answers = {"ada@c.example": "450 greylisted"}
    for _ in range(len(WAITS)):
        await attempt(shop, key, box)
        assert (await row(shop))["state"] == "waiting"
        shop.clock.at = (await row(shop))["send_at"]
    box.answers = {"ada@c.example": last}
    await attempt(shop, key, box)
    sent = await row(shop)
    assert (sent["state"], sent["error"]) == ("sent", "some_recipients_refused")
    assert sent["ended_at"] == shop.clock.now()
    assert len(box.envelopes) == 1


async def test_where_the_answer_is_lost_the_same_mail_goes_again(shop: Shop, box: Mailbox) -> None:
    key = await mailed(shop)
    box.hangs_up_after_data = True
    await attempt(shop, key, box)
    assert (await row(shop))["state"] == "waiting"
    box.hangs_up_after_data = False
    shop.clock.advance(minutes=1)
    await attempt(shop, key, box)
    first, second = box.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert (await row(shop))["state"] == "sent"


async def test_who_dies_with_a_mail_has_lost_it_minutes_later(shop: Shop, box: Mailbox) -> None:
    key = await mailed(shop)

    class Dies(MailSender):
        async def send(self, letter: Any) -> Any:
            await super().send(letter)
            raise _DiedError

    dying = Dies(box.server, sender="billing@recoup.test")
    with pytest.raises(_DiedError):
        await send_mail(shop.pool, key, sender=dying, links=LINKS, now=shop.clock.now)
    shop.clock.at += LEASE - timedelta(seconds=1)
    await attempt(shop, key, box)
    assert len(box.envelopes) == 1  # it may be at it still
    shop.clock.advance(seconds=1)
    await attempt(shop, key, box)
    assert len({message["Message-ID"] for message in box.messages}) == 1
    assert (await row(shop))["state"] == "sent"


async def test_without_a_mail_server_it_waits_and_says_why(shop: Shop, box: Mailbox) -> None:
    key = await mailed(shop)
    await attempt(shop, key, None)
    waiting = await row(shop)
    assert (waiting["state"], waiting["error"]) == ("waiting", "mail_not_configured")
    shop.clock.at = waiting["send_at"]
    await attempt(shop, key, box)  # somebody has named one
    assert (await row(shop))["state"] == "sent"


async def test_only_what_is_wanted_is_mailed(shop: Shop) -> None:
    await stock(shop)
    customer = await shop.customer()
    await shop.owner.execute("UPDATE customers SET email = 'ada@c.example'")
    await issue(shop, customer)  # nobody has asked for mails
    await shop.owner.execute("UPDATE billing_entities SET email_settings = '{credit_note.created}'")
    await issue(shop, customer)
    await shop.owner.execute("UPDATE billing_entities SET email_settings = '{invoice.finalized}'")
    await shop.owner.execute("UPDATE customers SET email = NULL")
    await issue(shop, customer)  # there is nobody to mail to
    await shop.owner.execute("UPDATE customers SET email = 'a@c.example', account_type = 'partner'")
    await issue(shop, customer)  # it is what we owe
    assert await shop.owner.fetchval("SELECT count(*) FROM mails") == 0
    await shop.owner.execute(
        "UPDATE customers SET email = 'a@c.example, b@c.example,a@c.example',"
        " account_type = 'customer'"
    )
    await issue(shop, customer)
    assert await shop.owner.fetchval("SELECT recipients FROM mails") == [
        "a@c.example", "b@c.example",
    ]  # fmt: skip


async def test_a_deleted_customer_is_mailed_no_link_to_a_page_that_is_gone(
    shop: Shop, box: Mailbox
) -> None:
    key = await mailed(shop)
    await shop.owner.execute("UPDATE customers SET deleted_at = now()")
    await attempt(shop, key, box)
    [message] = box.messages
    assert "1,234.56 EUR" in message.get_content()
    assert "http" not in message.get_content()


async def test_a_mail_about_what_is_gone_is_given_up(shop: Shop, box: Mailbox) -> None:
    key = await mailed(shop)
    await shop.owner.execute("UPDATE mails SET object_id = id")
    await attempt(shop, key, box)
    gone = await row(shop)
    assert (gone["state"], gone["error"]) == ("given_up", "nothing_to_tell")
    assert box.envelopes == []


async def test_a_mail_that_cannot_be_written_is_not_due_at_every_sweep(
    shop: Shop, box: Mailbox
) -> None:
    key = await mailed(shop)

    class Broken(PortalLinks):
        def url(self, customer: RowKey, *, until: datetime) -> str:
            raise _DiedError

    sender = MailSender(box.server, sender="billing@recoup.test")
    links = Broken(BOX, address="https://recoup.test")
    with pytest.raises(_DiedError):
        await send_mail(shop.pool, key, sender=sender, links=links, now=shop.clock.now)
    kept = await row(shop)
    assert (kept["tries"], kept["send_at"]) == (1, shop.clock.at + LEASE)
    shop.clock.at += LEASE
    await attempt(shop, key, box)
    assert len(box.envelopes) == 1
