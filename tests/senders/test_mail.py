"""Mails as a real SMTP server gets them, and what its answers mean."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recoup.senders.mail import (
    Accepted,
    AnswerLost,
    Letter,
    MailSender,
    MailServer,
    NotTaken,
    Rejected,
)
from tests.mail_server import certificate, mail_server

FROM = "billing@recoup.test"
LETTER = Letter(
    id="m-1", sender_name="Acme Ltd", reply_to="sales@acme.example", recipients=["ada@c.example"],
    copies=["grace@c.example"], blind_copies=["books@c.example"], subject="Invoice ACM-1",
    text="Hello,\n\nZahlen Sie 5 €.\n", at=datetime(2027, 3, 1, 12, tzinfo=UTC),
)  # fmt: skip


def changed(**fields: Any) -> Letter:
    return msgspec.structs.replace(LETTER, **fields)


async def test_a_mail_arrives_as_it_was_written() -> None:
    async with mail_server() as box:
        assert await MailSender(box.server, sender=FROM).send(LETTER) == Accepted()
    [envelope], [message] = box.envelopes, box.messages
    assert envelope.mail_from == FROM
    assert envelope.rcpt_tos == ["ada@c.example", "grace@c.example", "books@c.example"]
    assert message["From"] == f"Acme Ltd <{FROM}>"
    assert message["To"] == "ada@c.example"
    assert message["Cc"] == "grace@c.example"
    assert message["Reply-To"] == "sales@acme.example"
    assert message["Subject"] == "Invoice ACM-1"
    assert message["Message-ID"] == "<m-1@recoup.test>"
    assert message["Date"] == "Mon, 01 Mar 2027 12:00:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().replace("\r\n", "\n") == LETTER.text
    assert b"books@c.example" not in envelope.content  # type: ignore[operator]


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\x0b", "\N{LINE SEPARATOR}", "\0"])
async def test_no_tenant_writes_a_header(line_break: str) -> None:
    evil = f"Acme{line_break}Bcc: thief@evil.example{line_break}{line_break}Pay me"
    letter = changed(sender_name=evil, subject=evil)
    async with mail_server() as box:
        assert await MailSender(box.server, sender=FROM).send(letter) == Accepted()
    [envelope], [message] = box.envelopes, box.messages
    assert "thief@evil.example" not in envelope.rcpt_tos
    assert message["Bcc"] is None
    assert message["Subject"] == "Acme Bcc: thief@evil.example Pay me"
    assert message["From"].addresses[0].addr_spec == FROM
    assert message.get_content().replace("\r\n", "\n") == LETTER.text


@pytest.mark.parametrize("opening", ["=?", "=\\?", '="?'])
async def test_no_tenant_spells_a_header(opening: str) -> None:
    spelled = f"{opening}utf-8?q?x=0D=0ABcc:_thief@evil.example=0D=0A=0D=0APay_me?="
    letter = changed(sender_name=spelled, subject=spelled)
    async with mail_server() as box:
        assert await MailSender(box.server, sender=FROM).send(letter) == Accepted()
    [message] = box.messages
    assert message["Bcc"] is None
    assert message["Subject"].replace("= ?", "=?") == spelled
    assert [one.addr_spec for one in message["From"].addresses] == [FROM]
    assert message.get_content().replace("\r\n", "\n") == LETTER.text


async def test_a_server_that_was_told_nothing_gets_seven_bits() -> None:
    """No `BODY=8BITMIME` was said, so an 8-bit byte may be stripped, or the mail refused."""
    async with mail_server() as box:
        await MailSender(box.server, sender=FROM).send(changed(sender_name="Bücher ÄG"))
    content = box.envelopes[0].content
    assert isinstance(content, bytes)
    assert content.isascii()
    [message] = box.messages
    assert message["From"].addresses[0].display_name == "Bücher ÄG"
    assert message.get_content().replace("\r\n", "\n") == LETTER.text


@pytest.mark.parametrize(
    "fields",
    [
        {"recipients": ["a@b.example\r\nBcc: thief@evil.example"]},
        {"reply_to": "a@b\nX: y"},
        {"recipients": ["=?utf-8?q??=@b.example"]},
        {"copies": ["=?utf-8?q?x=2C_thief=40evil.example?=@b.example"]},
        {"reply_to": "=?utf-8?q??=@b.example"},
    ],
)
async def test_an_address_that_no_header_can_hold_is_never_sent(fields: dict[str, Any]) -> None:
    async with mail_server() as box:
        answer = await MailSender(box.server, sender=FROM).send(changed(**fields))
    assert answer == Rejected("unwritable")
    assert box.envelopes == []


async def test_a_quoted_name_stays_a_name() -> None:
    letter = changed(sender_name='Acme" <thief@evil.example>, "x\\')
    async with mail_server() as box:
        await MailSender(box.server, sender=FROM).send(letter)
    [message] = box.messages
    assert [one.addr_spec for one in message["From"].addresses] == [FROM]


async def test_addresses_in_any_script_go_to_a_server_that_takes_them() -> None:
    letter = changed(recipients=["jörg@müller.example"], copies=(), blind_copies=())
    async with mail_server() as box:
        assert await MailSender(box.server, sender=FROM).send(letter) == Accepted()
    assert box.envelopes[0].rcpt_tos == ["jörg@müller.example"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"ada@c.example": "550 no such user"}, Accepted(("ada@c.example",))),
        (dict.fromkeys(["ada@c.example", "grace@c.example", "books@c.example"], "550 no"),
         Rejected("refused_550")),
        ({"ada@c.example": "450 later", "grace@c.example": "550 no"},
         Accepted(refused=("grace@c.example",), later=("ada@c.example",))),
        ({"ada@c.example": "550 no", "grace@c.example": "450 later", "books@c.example": "553 no"},
         NotTaken("refused_450")),
    ],
)  # fmt: skip
async def test_refused_recipients_keep_nobody_else(
    answers: dict[str, str], expected: object
) -> None:
    async with mail_server() as box:
        box.answers = answers
        assert await MailSender(box.server, sender=FROM).send(LETTER) == expected
    assert len(box.envelopes) == isinstance(expected, Accepted)


async def test_who_had_an_answer_is_named_and_not_asked_for_again() -> None:
    letter = changed(answered={"ada@c.example", "books@c.example"})
    async with mail_server() as box:
        assert await MailSender(box.server, sender=FROM).send(letter) == Accepted()
    assert box.envelopes[0].rcpt_tos == ["grace@c.example"]
    assert box.messages[0]["To"] == "ada@c.example"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("554 spam", Rejected("refused_554")), ("451 try later", NotTaken("refused_451"))],
)
async def test_a_no_to_the_mail_itself_is_a_no(answer: str, expected: object) -> None:
    async with mail_server() as box:
        box.data_answer = answer
        assert await MailSender(box.server, sender=FROM).send(LETTER) == expected


async def test_an_answer_that_is_lost_is_no_no() -> None:
    async with mail_server() as box:
        box.hangs_up_after_data = True
        answer = await MailSender(box.server, sender=FROM).send(LETTER)
    assert isinstance(answer, AnswerLost)
    assert len(box.envelopes) == 1


async def test_a_server_that_is_not_there_took_nothing() -> None:
    async with mail_server() as box:
        pass
    assert isinstance(await MailSender(box.server, sender=FROM).send(LETTER), NotTaken)


async def test_a_server_without_tls_gets_nothing_where_tls_is_wanted() -> None:
    async with mail_server() as box:
        server = msgspec.structs.replace(box.server, start_tls=True)
        assert isinstance(await MailSender(server, sender=FROM).send(LETTER), NotTaken)
    assert box.envelopes == []


async def test_a_mail_goes_by_tls_to_a_server_that_is_known(tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path)
    async with mail_server(tls_context=serving) as box:
        server = msgspec.structs.replace(
            box.server, start_tls=True, username="acme", password="right"
        )
        stranger = await MailSender(server, sender=FROM).send(LETTER)
        assert isinstance(stranger, NotTaken)  # its certificate is nobody's that we trust
        assert (box.envelopes, box.users) == ([], [])
        known = MailSender(server, sender=FROM, tls_context=trusting)
        assert await known.send(LETTER) == Accepted()
        wrong = MailSender(
            msgspec.structs.replace(server, password="wrong"), sender=FROM, tls_context=trusting
        )
        assert await wrong.send(LETTER) == NotTaken("refused_535")  # an operator can set it right
    assert box.were_encrypted == [True]
    assert set(box.users) == {"acme"}


async def test_mails_go_some_at_a_time() -> None:
    async with mail_server() as box:
        sender = MailSender(box.server, sender=FROM)
        letters = [changed(id=f"m-{number}") for number in range(12)]
        answers = await asyncio.gather(*map(sender.send, letters))
    assert answers == [Accepted()] * 12
    assert len({message["Message-ID"] for message in box.messages}) == 12


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtps://mail.example", ("mail.example", 465, None, None, True, False)),
        ("smtp://mail.example", ("mail.example", 587, None, None, False, True)),
        ("smtp://mail.example:25?starttls=no", ("mail.example", 25, None, None, False, False)),
        ("smtp://localhost:1025", ("localhost", 1025, None, None, False, False)),
        ("smtp://[::1]:25", ("::1", 25, None, None, False, False)),
        ("smtp://a%40b:p%2Fq@m.example", ("m.example", 587, "a@b", "p/q", False, True)),
    ],
)  # fmt: skip
def test_an_address_says_how_a_server_is_spoken_to(url: str, expected: tuple[Any, ...]) -> None:
    assert msgspec.structs.astuple(MailServer.from_url(url)) == expected


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "https://mail.example", "smtp://", "smtp://m.example:x",
     "smtp://u:p@m.example?starttls=no"],
)  # fmt: skip
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        MailServer.from_url(url)
