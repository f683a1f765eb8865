"""Hand a mail to the operator's mail server, once, and say what became of it.

The server is the operator's (`RECOUP_SMTP_URL`), never a tenant's choice, so no address is judged
here. `smtps://` speaks TLS from the first byte. `smtp://` begins in plain and insists on STARTTLS,
but for a server on this very machine, or where the address ends in `?starttls=no`; a password never
goes over a line without TLS, but on this machine.

What would surprise you: a server that takes the mail and whose answer is lost (`AnswerLost`) may
have sent it. The same mail is tried again, under the same Message-ID, by which a mailbox can know
it. After an answer, yes or no, nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from ipaddress import ip_address
from typing import Final, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
import msgspec

TIMEOUT_SECONDS: Final = 30.0  # for each step
WHOLE_SECONDS: Final = 120.0
AT_ONCE: Final = 4  # connections of this process
# What the operator can set right: the key, the sender, and a server that greets with a no.
_OURS: Final = (
    aiosmtplib.SMTPAuthenticationError,
    aiosmtplib.SMTPSenderRefused,
    aiosmtplib.SMTPHeloError,
    aiosmtplib.SMTPConnectResponseError,
)
_PORTS: Final = {"smtp": 587, "smtps": 465}
_ENCODED: Final = "=?"  # so an encoded word begins (RFC 2047)
# No server has to take more, unless it has said so and was told (RFC 6152).
_SEVEN_BITS: Final = SMTP.clone(cte_type="7bit")


class MailServer(msgspec.Struct, frozen=True):
    """Where mail is handed over."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool  # from the first byte
    start_tls: bool

    @classmethod
    def from_url(cls, url: str) -> MailServer:
        """Read `smtps://user:password@host:465`, or `smtp://host:587`.

        :raises ValueError: it is something else, or would show a password to the network.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("it is no smtp:// or smtps:// address of a host")
        asked = parse_qs(parts.query).get("starttls", ["yes"])[-1]
        is_plain = asked == "no" or _is_this_machine(parts.hostname)
        if parts.scheme == "smtp" and parts.password and asked == "no":
            raise ValueError("it would send its password without TLS")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme == "smtps",
            start_tls=parts.scheme == "smtp" and not is_plain,
        )


class Attachment(msgspec.Struct, frozen=True):
    """A PDF that goes along."""

    name: str
    content: bytes


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One mail, addressed. `id` is the left half of its Message-ID: the same at every try."""

    id: str
    sender_name: str
    reply_to: str | None
    recipients: Sequence[str]
    copies: Sequence[str] = ()
    blind_copies: Sequence[str] = ()
    answered: Collection[str] = ()  # who has it, or never will: named, and not sent it again
    subject: str
    text: str
    at: datetime
    attachments: Sequence[Attachment] = ()


class Accepted(msgspec.Struct, frozen=True):
    """The server has taken it, but for whom it refused, and for whom it wants to be asked later.

    The latter may be too many at once, or somebody whom it does not know yet.
    """

    refused: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


class Rejected(msgspec.Struct, frozen=True):
    """The server will not take it, however often it is asked."""

    why: str


class NotTaken(msgspec.Struct, frozen=True):
    """The server did not take it this time; nothing was sent."""

    why: str


class AnswerLost(msgspec.Struct, frozen=True):
    """The server was given it and did not answer: it may have been sent."""

    why: str


Outcome: TypeAlias = Accepted | Rejected | NotTaken | AnswerLost


class MailSender:
    """Hands mails to one server, some at a time. `sender` is the address they come from."""

    def __init__(
        self, server: MailServer, *, sender: str, tls_context: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._sender = sender
        self._tls_context = tls_context
        self._places = asyncio.Semaphore(AT_ONCE)

    async def send(self, letter: Letter) -> Outcome:
        """Try once; never raises for what the server does."""
        try:
            message, is_utf8 = self._written(letter)
        except Exception:  # noqa: BLE001  whatever an address does to the library's parser
            return Rejected("unwritable")
        async with self._places:
            call = _Call(self._server, self._tls_context)
            try:
                async with asyncio.timeout(WHOLE_SECONDS):
                    return await call.hand_over(
                        self._sender,
                        asked_for(letter),
                        message,
                        is_utf8=is_utf8,
                    )
            except TimeoutError:
                return call.interrupted("timeout")
            finally:
                call.close()

    def _written(self, letter: Letter) -> tuple[bytes, bool]:
        """The message, and whether an address of it needs a server that takes UTF-8.

        The blind copies are in no header. The library refuses a header with a line break in it,
        but decodes one that is spelled in it (`=?utf-8?q?=0A?=`) and writes it out; what comes from
        tenants has lost both before that.

        :raises ValueError: an address would be read as something else.
        """
        addresses = [*letter.recipients, *letter.copies, *letter.blind_copies]
        if any(_ENCODED in one for one in (*addresses, letter.reply_to or "")):
            raise ValueError("an address is spelled in an encoded word")
        is_utf8 = not all(one.isascii() for one in (self._sender, *addresses))
        message = EmailMessage(policy=SMTPUTF8 if is_utf8 else _SEVEN_BITS)
        message["From"] = _named(letter.sender_name, self._sender)
        message["To"] = ", ".join(letter.recipients)
        if letter.copies:
            message["Cc"] = ", ".join(letter.copies)
        if letter.reply_to:
            message["Reply-To"] = letter.reply_to
        message["Subject"] = one_line(letter.subject)
        message["Date"] = format_datetime(letter.at)
        message["Message-ID"] = f"<{letter.id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        for one in letter.attachments:
            message.add_attachment(
                one.content, maintype="application", subtype="pdf", filename=one_line(one.name)
            )
        return message.as_bytes(), is_utf8


class _Call:
    """One connection, and how far it came."""

    def __init__(self, server: MailServer, tls_context: ssl.SSLContext | None) -> None:
        self._was_given = False
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls,
            start_tls=server.start_tls,
            tls_context=tls_context,
            timeout=TIMEOUT_SECONDS,
        )

    async def hand_over(
        self, sender: str, recipients: Sequence[str], message: bytes, *, is_utf8: bool
    ) -> Outcome:
        client = self._client
        try:
            await client.connect()
            if is_utf8:
                await client.ehlo()  # it says what it can
                if not client.supports_extension("smtputf8"):
                    return Rejected("no_smtputf8")
            encoding = "utf-8" if is_utf8 else "ascii"
            options = ["SMTPUTF8", "BODY=8BITMIME"] if is_utf8 else []
            await client.mail(sender, options=options, encoding=encoding)
            refused = await self._addressed(recipients, encoding=encoding)
            if len(refused) == len(recipients):
                return _no(max(refused.values(), key=lambda code: (code < 500, code)))
            self._was_given = True
            await client.data(message)
        except aiosmtplib.SMTPResponseException as error:  # it has said no
            return _no(error.code, is_ours=isinstance(error, _OURS))
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return self.interrupted(type(error).__name__)
        return Accepted(
            refused=tuple(one for one, code in refused.items() if code >= 500),
            later=tuple(one for one, code in refused.items() if code < 500),
        )

    async def _addressed(self, recipients: Sequence[str], *, encoding: str) -> dict[str, int]:
        """Name the recipients, and answer who is not taken, by which code."""
        refused: dict[str, int] = {}
        for recipient in recipients:
            try:
                await self._client.rcpt(recipient, encoding=encoding)
            except aiosmtplib.SMTPRecipientRefused as error:
                refused[recipient] = error.code
        return refused

    def interrupted(self, why: str) -> NotTaken | AnswerLost:
        """What it means that no answer came."""
        return AnswerLost(why) if self._was_given else NotTaken(why)

    def close(self) -> None:
        """Hang up: after an answer a goodbye changes nothing, and costs a round trip."""
        self._client.close()


def asked_for(letter: Letter) -> list[str]:
    """Whom the server is asked to take it for."""
    everybody = dict.fromkeys([*letter.recipients, *letter.copies, *letter.blind_copies])
    return [one for one in everybody if one not in letter.answered]


def one_line(text: str) -> str:
    """A text that fits a header: without line breaks, other control characters or encoded words."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line.replace(_ENCODED, "= ?")


def _named(name: str, address: str) -> str:
    """`"Acme Ltd" <billing@acme.example>`."""
    quoted = one_line(name.replace("\\", "").replace('"', ""))
    return f'"{quoted}" <{address}>' if quoted else address


def _no(code: int, *, is_ours: bool = False) -> Rejected | NotTaken:
    """A no is for good from 500 on, but where it is about us."""
    why = f"refused_{code}"
    return Rejected(why) if code >= 500 and not is_ours else NotTaken(why)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
