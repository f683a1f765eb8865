"""Webhooks against real sockets: strangers' receivers, and inner ones that must see nothing."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.senders.addresses import Address, Resolve
from recoup.senders.webhooks import Delivered, NotDelivered, WebhookRequest, WebhookSender

NOW = datetime.fromtimestamp(1_772_820_000, UTC)
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
BODY = b'{"webhook_type":"payment.succeeded"}'
HEADERS = {"Content-Type": "application/json", "webhook-id": "1"}
Answer = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Receiver:
    """A server that takes one request per connection, and keeps it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.port = 0
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1])
                for line in head.splitlines()
                if line.lower().startswith("content-length:")
            )
            self.heads.append(head)
            self.bodies.append(await reader.readexactly(length))
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                await self.answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # cut off, as some of these deserve
        finally:
            writer.close()

    def header(self, name: str) -> str | None:
        lines = [line.partition(": ") for line in self.heads[-1].splitlines()]
        return next((value for key, _, value in lines if key.lower() == name), None)


@asynccontextmanager
async def _receiver(
    answer: Answer = OK, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
        async with asyncio.timeout(5):
            await asyncio.gather(*receiver.serving)  # all of them have been cut off by now


def _resolves_to(*found: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [ip_address(address) for address in found]

    return resolve


async def _send(
    url: str, *, sender: WebhookSender | None = None, resolve: Resolve | None = None
) -> Delivered | NotDelivered:
    request = WebhookRequest(url, HEADERS, BODY)
    if sender is not None:
        return await sender.send(request, now=NOW)
    async with WebhookSender(allowed=LOOPBACK, resolve=resolve, deadline_seconds=5) as own:
        return await own.send(request, now=NOW)


# What is delivered


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_receiver_on_an_allowed_network_gets_these_bytes(status: int) -> None:
    answer = f"HTTP/1.1 {status} Fine\r\nContent-Length: 0\r\n\r\n".encode()
    async with _receiver(answer) as receiver:
        assert await _send(f"http://127.0.0.1:{receiver.port}/a%2Fb?c=d") == Delivered(status)
    assert receiver.bodies == [BODY]
    assert receiver.heads[0].startswith("POST /a%2Fb?c=d HTTP/1.1\r\n")
    assert receiver.header("content-type") == "application/json"
    assert receiver.header("webhook-id") == "1"
    assert receiver.header("accept-encoding") is None


@pytest.mark.parametrize(
    ("host", "written"), [("receiver.test", "receiver.test"), ("bücher.test", "xn--bcher-kva.test")]
)
async def test_the_name_is_told_although_the_address_is_called(host: str, written: str) -> None:
    async with _receiver() as receiver:
        sent = await _send(f"http://{host}:{receiver.port}/", resolve=_resolves_to("127.0.0.1"))
    assert sent == Delivered(200)
    assert receiver.header("host") == f"{written}:{receiver.port}"


async def test_an_ipv6_receiver_is_reached() -> None:
    async with _receiver(host="::1") as receiver:
        assert await _send(f"http://[::1]:{receiver.port}/") == Delivered(200)
    assert receiver.header("host") == f"[::1]:{receiver.port}"


async def test_the_next_address_is_called_where_one_does_not_listen() -> None:
    async with _receiver() as receiver:
        resolve = _resolves_to("127.0.0.9", "127.0.0.1")
        assert await _send(f"http://receiver.test:{receiver.port}/", resolve=resolve) == (
            Delivered(200)
        )
    assert receiver.connections == 1


async def test_a_cookie_is_not_brought_back() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with _receiver(answer) as receiver, WebhookSender(allowed=LOOPBACK) as sender:
        for _ in range(2):
            await _send(f"http://127.0.0.1:{receiver.port}/", sender=sender)
    assert receiver.connections == 2, "no connection is kept, so every call is judged"
    assert receiver.header("cookie") is None


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _receiver() as receiver, _receiver() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await _send(f"http://127.0.0.1:{receiver.port}/") == Delivered(200)
    assert proxy.connections == 0


async def test_a_large_webhook_is_sent_whole() -> None:
    body = b'"' + b"x" * 3_000_000 + b'"'
    async with _receiver() as receiver, WebhookSender(allowed=LOOPBACK) as sender:
        request = WebhookRequest(f"http://127.0.0.1:{receiver.port}/", HEADERS, body)
        assert await sender.send(request, now=NOW) == Delivered(200)
    assert receiver.bodies == [body]


# What is not


@pytest.mark.parametrize("status", [203, 205, 206, 299, 300, 304, 400, 404, 409, 429, 500, 503])
async def test_another_status_is_no_delivery(status: int) -> None:
    answer = f"HTTP/1.1 {status} Hm\r\nContent-Length: 0\r\n\r\n".encode()
    async with _receiver(answer) as receiver:
        sent = await _send(f"http://127.0.0.1:{receiver.port}/")
    assert isinstance(sent, NotDelivered)
    assert sent.http_status == status
    assert not sent.gone


async def test_a_receiver_that_is_gone_is_known_by_its_410() -> None:
    async with _receiver(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n") as receiver:
        sent = await _send(f"http://127.0.0.1:{receiver.port}/")
    assert sent == NotDelivered("it answered 410", http_status=410, gone=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with _receiver() as inner, _receiver() as receiver:
        receiver.answer = (
            f"HTTP/1.1 {status} There\r\nLocation: http://127.0.0.1:{inner.port}/\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()
        sent = await _send(f"http://127.0.0.1:{receiver.port}/")
    assert isinstance(sent, NotDelivered)
    assert sent.http_status == status
    assert inner.connections == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        (format_datetime(NOW + timedelta(minutes=3), usegmt=True), 180),
        (format_datetime(NOW - timedelta(minutes=3), usegmt=True), 0),
        ("9" * 18, 7 * 24 * 3600),
        ("9" * 5000, None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 7 * 24 * 3600),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ],
)
async def test_retry_after_is_read_as_seconds_or_date(value: str, seconds: int | None) -> None:
    answer = f"HTTP/1.1 503 Later\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    async with _receiver(answer) as receiver:
        sent = await _send(f"http://127.0.0.1:{receiver.port}/")
    assert isinstance(sent, NotDelivered)
    assert sent.retry_after_seconds == seconds


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _pour_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not reader.at_eof():
        writer.write(b"x" * 1024)
        await writer.drain()


async def test_silence_ends_at_the_deadline() -> None:
    async with (
        _receiver(_say_nothing) as receiver,
        WebhookSender(allowed=LOOPBACK, deadline_seconds=0.2) as sender,
    ):
        sent = await _send(f"http://127.0.0.1:{receiver.port}/", sender=sender)
    assert sent == NotDelivered("no answer within 0.2 s")


async def test_a_name_server_that_is_silent_ends_at_the_deadline() -> None:
    async def silent(host: str, port: int) -> Sequence[Address]:
        await asyncio.get_running_loop().create_future()
        return []

    async with WebhookSender(resolve=silent, deadline_seconds=0.1) as sender:
        assert await _send("http://receiver.test/", sender=sender) == (
            NotDelivered("no answer within 0.1 s")
        )


async def test_an_endless_head_is_cut_off() -> None:
    async with _receiver(_pour_a_head) as receiver:
        sent = await _send(f"http://127.0.0.1:{receiver.port}/")
    assert isinstance(sent, NotDelivered)


async def test_an_endless_body_is_cut_off_and_its_status_stands() -> None:
    sent_bytes = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
            sent_bytes += 65_536

    async with _receiver(pour) as receiver:
        assert await _send(f"http://127.0.0.1:{receiver.port}/") == Delivered(200)
    assert sent_bytes < 20_000_000, "only what the sockets held was taken"


async def test_a_body_that_never_ends_holds_nobody_up() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 1000\r\n\r\nx")
        await reader.read()

    async with _receiver(drip) as receiver:
        async with asyncio.timeout(4):
            sent = await _send(f"http://127.0.0.1:{receiver.port}/")
    assert isinstance(sent, NotDelivered)
    assert sent.http_status == 500


async def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    for encoding in ("gzip", "deflate", "br", "zstd", "nonsense"):
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n"
        async with _receiver(head.encode() + b"\r\n" + bomb) as receiver:
            assert await _send(f"http://127.0.0.1:{receiver.port}/") == Delivered(200)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 99999 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"HTTP/1.1 200 OK",
    ],
)
async def test_bytes_that_are_no_answer_are_no_delivery(answer: bytes) -> None:
    async with _receiver(answer) as receiver:
        sent = await _send(f"http://127.0.0.1:{receiver.port}/")
    assert isinstance(sent, NotDelivered)
    assert receiver.connections == 1, "it may have been taken, so no other address has it as well"


async def test_nobody_listening_is_no_delivery() -> None:
    async with _receiver() as receiver:
        port = receiver.port
    assert await _send(f"http://127.0.0.1:{port}/") == NotDelivered("no connection to the host")


@pytest.mark.parametrize(
    "url",
    [
        "", "/", "//receiver.test/", "ftp://receiver.test/", "file:///etc/passwd", "http:", "http://",
        "http://:80/", "http://receiver.test:0/", "http://receiver.test:65536/", "http://[::1/",
        "http://receiver.test:http/", "gopher://127.0.0.1:70/", "javascript:alert(1)",
        "http+unix://%2Frun%2Fdocker.sock/", "http://a\\b/",
    ],
)  # fmt: skip
async def test_a_url_that_cannot_be_called_is_an_answer(url: str) -> None:
    sent = await _send(url, resolve=_resolves_to("127.0.0.1"))
    assert isinstance(sent, NotDelivered)
    assert "URL" in sent.why


def test_no_url_raises() -> None:
    async def open_sender() -> WebhookSender:
        return WebhookSender(resolve=_resolves_to())

    @settings(max_examples=1_000)
    @given(st.text() | st.text().map("http://{}".format) | st.text().map("https://h{}/".format))
    def check(url: str) -> None:
        assert isinstance(runner.run(_send(url, sender=sender)), NotDelivered)

    with asyncio.Runner() as runner:
        sender = runner.run(open_sender())
        check()
        runner.run(sender.close())


# TLS


async def test_tls_is_checked_against_the_name_and_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = _certificate(tmp_path, "receiver.test")
    resolve = _resolves_to("127.0.0.1")
    async with _receiver(tls=tls) as receiver:
        url = f"https://receiver.test:{receiver.port}/"
        untrusted = await _send(url, resolve=resolve)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert await _send(url, resolve=resolve) == Delivered(200)
        other = await _send(f"https://other.test:{receiver.port}/", resolve=resolve)
    for refused in (untrusted, other):
        assert isinstance(refused, NotDelivered)
        assert refused.why.startswith("no secure connection")
    assert len(receiver.bodies) == 1


# The inner network


def _spellings(address: IPv4Address) -> dict[str, str]:
    """Write one IPv4 address in the ways that URLs, resolvers and translators understand."""
    a, b, c, d = address.packed
    number = int(address)
    full_width = str(address).translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    circled = str(address).translate(str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨"))
    return {
        "dotted": f"{address}",
        "userinfo": f"1.1.1.1@{address}",
        "password": f"user:1.1.1.1@{address}",
        "one number": f"{number}",
        "hex": f"0x{number:08x}",
        "upper hex": f"0X{number:08X}",
        "octal": f"0{number:o}",
        "two parts": f"{a}.{number & 0xFFFFFF}",
        "three parts": f"{a}.{b}.{number & 0xFFFF}",
        "hex parts": f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        "octal parts": f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        "mixed parts": f"0x{a:x}.{b}.0{c:o}.{d}",
        "full width": full_width,
        "circled": circled,
        "ideographic stops": f"{a}。{b}。{c}。{d}",
        "half-width stops": f"{a}｡{b}｡{c}｡{d}",
        "trailing dot": f"{address}.",
        "percent": "".join(f"%{ord(sign):02x}" for sign in str(address)),
        "leading space": f"%20{address}",
        "mapped": f"[::ffff:{address}]",
        "mapped hex": f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        "mapped long": f"[0:0:0:0:0:ffff:{number >> 16:04X}:{number & 0xFFFF:04X}]",
        "compatible": f"[::{address}]",
        "NAT64": f"[64:ff9b::{address}]",
        "local NAT64": f"[64:ff9b:1::{address}]",
        "6to4": f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]",
        "Teredo": "[" + str(IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF))) + "]",
        "ISATAP": f"[fe80::5efe:{address}]",
    }


TARGETS = [
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "10.0.0.1", "100.64.0.1",
    "169.254.169.254", "172.16.0.1", "192.168.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1",
    "255.255.255.255",
]  # fmt: skip
VECTORS = [
    pytest.param(host, id=f"{target} {spelling}")
    for target in TARGETS
    for spelling, host in _spellings(IPv4Address(target)).items()
] + [
    pytest.param(host, id=host)
    for host in (
        "127.1", "127.0.1", "0", "0x0", "00", "0x7f.1", "2130706433", "017700000001", "localhost",
        "LOCALHOST", "localhost.", "a.localhost", "ip6-localhost", "[::]", "[::1]", "[0::1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]", "[fe80::1]", "[fe80::1%25lo]",
        "[fe80::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]", "[100::1]",
        "[5f00::1]", "[3fff::1]", "[2001:db8::1]", "[::ffff:0:127.0.0.1]",
        "127.0.0.1%00.example.com", "127.0.0.1%2523", "①②⑦.⓪.⓪.①", "1.1.1.1%20127.0.0.1",
        "1.1.1.1&@127.0.0.1", "127.0.0.1#@example.com", "example.com@127.0.0.1",
        "[::ffff:7f00:1]", "[v1.x]", "0127.0.0.1.", "127.0.0.1:80@127.0.0.1",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
async def inner() -> AsyncIterator[Receiver]:
    """A service that trusts whoever reaches it, on both loopbacks and one port."""
    receiver = Receiver(OK)
    four = await asyncio.start_server(receiver.serve, "0.0.0.0", 0)
    receiver.port = four.sockets[0].getsockname()[1]
    six = await asyncio.start_server(receiver.serve, "::1", receiver.port)
    async with four, six:
        yield receiver


@pytest.fixture(scope="module")
async def strict() -> AsyncIterator[WebhookSender]:
    async with WebhookSender(deadline_seconds=5) as sender:
        yield sender


def test_there_are_enough_vectors() -> None:
    assert len(VECTORS) >= 300


@pytest.mark.parametrize("host", VECTORS)
async def test_the_inner_network_is_not_reached(
    host: str, inner: Receiver, strict: WebhookSender
) -> None:
    before = inner.connections
    for url in (f"http://{host}:{inner.port}/", f"https://{host}/"):
        sent = await _send(url, sender=strict)
        assert isinstance(sent, NotDelivered)
        assert sent.http_status is None
        assert sent.why.startswith("the "), "refused before a connection was tried"
    assert inner.connections == before == 0


async def test_the_inner_service_would_have_been_noticed(inner: Receiver) -> None:
    await _send(f"http://127.0.0.1:{inner.port}/")
    await _send(f"http://[::1]:{inner.port}/")
    assert inner.connections == 2, "or the test above proves nothing"
    inner.connections = 0


async def test_a_name_that_changes_its_address_is_judged_anew_each_time() -> None:
    answers = iter(["127.0.0.2", "127.0.0.1", "127.0.0.2"])
    questions = 0

    async def rebinding(host: str, port: int) -> Sequence[Address]:
        nonlocal questions
        questions += 1
        return [ip_address(next(answers))]

    async with (
        _receiver(host="0.0.0.0") as receiver,
        WebhookSender(allowed=[ip_network("127.0.0.2/32")], resolve=rebinding) as sender,
    ):
        url = f"http://receiver.test:{receiver.port}/"
        sent = [await _send(url, sender=sender) for _ in range(3)]
    assert [type(each) for each in sent] == [Delivered, NotDelivered, Delivered]
    assert questions == 3, "once for each call: the address judged is the address called"
    assert receiver.connections == 2


async def test_a_public_address_does_not_cover_for_an_inner_one() -> None:
    async with (
        _receiver() as receiver,
        WebhookSender(resolve=_resolves_to("8.8.8.8", "127.0.0.1")) as sender,
    ):
        sent = await _send(f"http://receiver.test:{receiver.port}/", sender=sender)
    assert isinstance(sent, NotDelivered)
    assert receiver.connections == 0


def _certificate(folder: Path, name: str) -> ssl.SSLContext:
    """Make a certificate that signs itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
