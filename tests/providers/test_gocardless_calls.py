"""One call of GoCardless's SDK: what it may not do by itself, and how long it may take."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gocardless_pro import services

from recoup.providers.gocardless import LIVE, SANDBOX, GoCardlessProvider, GoCardlessSecrets
from recoup.providers.gocardless_calls import CONNECT_SECONDS, MOST_ANSWER_BYTES, Calls
from recoup.providers.protocol import Lost, Processing
from tests.providers.gocardless_stand_in import SECRETS, GoCardlessStandIn, a_charge, a_payment
from tests.providers.gocardless_stub import TOKEN
from tests.providers.nonsense import liar

PAGE = b"<!doctype html><title>Slow down</title>"
TOO_MANY = {"type": "invalid_api_usage", "errors": [{"reason": "rate_limit_exceeded"}]}
# What GoCardless is not documented to say. `conflict`: a key that has made something, but what?
ODD_ANSWERS = {
    "no content": (204, b""),
    "a list": (200, b"[]"),
    "a conflict with nothing": (
        409,
        b'{"error": {"type": "invalid_state", "code": 409, "errors": '
        b'[{"reason": "idempotent_creation_conflict", "message": "-", "links": {}}]}}',
    ),
    "a conflict of another kind": (
        409,
        b'{"error": {"type": "invalid_state", "code": 409, "errors": '
        b'[{"reason": "in_use", "message": "-"}]}}',
    ),
    "a state without errors": (422, b'{"error": {"type": "invalid_state", "code": 422}}'),
    "an unheard of type": (422, b'{"error": {"type": "out_of_cheese", "code": 422, "errors": []}}'),
}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"RateLimit-Reset": "31"}, 31),
        ({"RateLimit-Reset": "Mon, 01 Mar 2027 12:00:40 GMT",
          "Date": "Mon, 01 Mar 2027 12:00:00 GMT"}, 40),
        ({"RateLimit-Reset": "Mon, 01 Mar 2027 11:00:00 GMT",
          "Date": "Mon, 01 Mar 2027 12:00:00 GMT"}, 0),
        ({"Retry-After": "soon", "RateLimit-Reset": "9" * 400}, None),
        ({}, None),
    ],
)  # fmt: skip
async def test_a_429_says_how_long_to_wait_whoever_says_it(
    gocardless: GoCardlessStandIn, headers: dict[str, str], seconds: float | None
) -> None:
    async with liar() as server:
        provider, server.status, server.headers = gocardless.asking(server.base), 429, headers
        for server.body in (msgspec.json.encode({"error": TOO_MANY}), PAGE, b""):
            assert await provider.charge(a_charge(provider)) == Lost("http_429", seconds)
            assert await provider.look_up(a_charge(provider)) == Lost("http_429", seconds)


@pytest.mark.parametrize("odd", ODD_ANSWERS)
async def test_an_answer_that_nobody_expects_is_lost(
    gocardless: GoCardlessStandIn, odd: str
) -> None:
    async with liar() as server:
        provider = gocardless.asking(server.base)
        server.status, server.body = ODD_ANSWERS[odd]
        for sent_before in (False, True):
            told = await provider.charge(a_charge(provider, sent_before=sent_before))
            assert isinstance(told, Lost)
            assert not told.is_outage


async def test_a_redirect_is_not_followed(gocardless: GoCardlessStandIn) -> None:
    async with liar() as server:
        server.headers = {"Location": f"{gocardless.stub.base}/payments"}
        provider = gocardless.asking(server.base)
        for server.status in (301, 302, 303, 307, 308):
            for server.body in (b"", a_payment()):
                assert isinstance(await provider.charge(a_charge(provider)), Lost)
    assert gocardless.stub.requests == []


async def test_the_token_is_not_replaced_by_a_netrc(
    gocardless: GoCardlessStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(await gocardless.provider.charge(a_charge(gocardless.provider)), Processing)


async def test_an_answer_that_drips_on_and_on_ends_with_its_time() -> None:
    enough = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(ConnectionError):
            while not enough.is_set():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    base = "http://{}:{}".format(*server.sockets[0].getsockname())
    calls = Calls(base, TOKEN, deadline=time.monotonic() + CONNECT_SECONDS + 0.5)
    asked = asyncio.create_task(
        asyncio.to_thread(calls.ask, services.PaymentsService, lambda payments: payments.get("PM1"))
    )
    ended, _ = await asyncio.wait([asked], timeout=CONNECT_SECONDS + 3)
    enough.set()
    told = await asked
    assert isinstance(told, Lost)
    assert told.is_outage
    assert ended, "it went on for as long as there was something to read"
    server.close()


async def test_an_endless_answer_is_not_read_to_its_end(gocardless: GoCardlessStandIn) -> None:
    async with liar() as server:
        provider = gocardless.asking(server.base)
        server.body = a_payment() + b" " * MOST_ANSWER_BYTES
        assert isinstance(await provider.charge(a_charge(provider)), Lost)


async def test_what_waited_too_long_for_its_turn_is_not_begun(
    gocardless: GoCardlessStandIn,
) -> None:
    calls = Calls(gocardless.stub.base, TOKEN, deadline=time.monotonic() + CONNECT_SECONDS)
    told = calls.ask(services.PaymentsService, lambda payments: payments.get("PM1"))
    assert told == Lost("no_time_was_left")
    assert gocardless.stub.requests == []


def test_the_token_says_which_server_is_asked() -> None:
    assert GoCardlessProvider(SECRETS, base=None)._base == SANDBOX
    assert GoCardlessProvider(GoCardlessSecrets("live_1"), base=None)._base == LIVE


async def test_the_token_is_in_nothing_that_could_be_written_down(
    gocardless: GoCardlessStandIn,
) -> None:
    told: list[Any] = [SECRETS, gocardless.provider, vars(GoCardlessProvider)]
    charge = a_charge(gocardless.provider)
    for gocardless.stub.fault in ("drop_before", "drop_after", ""):
        told.append(await gocardless.provider.charge(charge))
        told.append(await gocardless.provider.look_up(charge))
    wrong = GoCardlessProvider(GoCardlessSecrets(f"{TOKEN}2"), base=gocardless.base)
    for asked in (wrong, gocardless.asking("http://127.0.0.1:9")):
        told.append(await asked.charge(msgspec.structs.replace(charge, idempotency_key="2")))
    unknown = msgspec.structs.replace(charge, request=charge.request.replace("MD1", "MD0"))
    told.append(await gocardless.provider.charge(unknown))
    async with liar() as server:
        provider = gocardless.asking(server.base)
        error = {"type": "invalid_state", "message": TOKEN, "errors": [{"reason": TOKEN}]}
        answers = [*ODD_ANSWERS.values(), (422, msgspec.json.encode({"error": error}))]
        answers += [(status, TOKEN.encode()) for status in (200, 422, 500)]
        for server.status, server.body in answers:
            told.append(await provider.charge(charge))
    assert len(told) == 3 + 6 + 3 + len(ODD_ANSWERS) + 4
    for one in told:
        assert "canary" not in f"{one!r} {one}", one
