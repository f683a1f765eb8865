"""A mail server that takes what it is given, or says no as a test wants it: by aiosmtpd."""

from __future__ import annotations

import asyncio
import datetime
import email
import email.policy
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from recoup.senders.mail import MailServer

OK = "250 taken"


class Mailbox:
    """What a server was given, and what it answers."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, str] = {}  # by recipient
        self.data_answer = OK
        self.hangs_up_after_data = False
        self.were_encrypted: list[bool] = []
        self.users: list[str] = []
        self.port = 0

    @property
    def server(self) -> MailServer:
        return MailServer.from_url(f"smtp://127.0.0.1:{self.port}")

    @property
    def messages(self) -> list[EmailMessage]:
        """The mails, read as a mailbox reads them."""
        found = []
        for envelope in self.envelopes:
            content = envelope.content
            assert isinstance(content, bytes)
            message = email.message_from_bytes(content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            found.append(message)
        return found

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.get(address, OK)
        if answer is OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.data_answer is OK:
            self.envelopes.append(envelope)
            self.were_encrypted.append(session.ssl is not None)
        if self.hangs_up_after_data:
            assert server.transport is not None
            server.transport.abort()
        return self.data_answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        self.users.append(given.login.decode())
        return AuthResult(success=given.password == b"right", handled=False)


@asynccontextmanager
async def mail_server(**more: Any) -> AsyncIterator[Mailbox]:
    """Run one on a free port of the loopback; `more` goes to aiosmtpd."""
    box = Mailbox()

    def connected() -> SMTP:
        return SMTP(
            box, enable_SMTPUTF8=True, authenticator=box.authenticate,
            loop=asyncio.get_running_loop(), **more,
        )  # fmt: skip

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The TLS contexts of a server at 127.0.0.1, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begins = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(path)
    return serving, ssl.create_default_context(cafile=str(path))
