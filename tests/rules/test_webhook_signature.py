"""Signatures agree with independent implementations, and one changed byte breaks them."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from recoup.rules.webhook_signature import (
    gocardless_has_signed,
    lago_signature,
    sandbox_has_signed,
    standard_secret,
    standard_signature,
)
from tests.provider_signatures import dated, hex_mac

NOW = datetime(2026, 3, 6, 18, 0, tzinfo=UTC)
UNIX = int(NOW.timestamp())
BODY = b'{"webhook_type":"payment.succeeded","amount":"12 \xe2\x82\xac"}'
texts = st.text(min_size=1)
ids = st.uuids().map(str)
instants = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def test_lagos_signature_is_rfc_4231s() -> None:
    # Test case 2 of RFC 4231, in base64.
    wanted = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    signature = lago_signature(b"what do ya want for nothing?", hmac_key="Jefe")
    assert base64.b64decode(signature) == wanted


@settings(max_examples=1_000)
@given(texts, ids, instants, st.text())
def test_standard_webhooks_own_library_makes_the_same(
    hmac_key: str, message_id: str, sent_at: datetime, body: str
) -> None:
    secret = standard_secret(hmac_key)
    signature = standard_signature(
        body.encode(), secret=secret, message_id=message_id, sent_at=sent_at
    )
    assert signature == Webhook(secret).sign(message_id, sent_at, body)


def test_the_secret_stands_for_the_bytes_of_the_hmac_key() -> None:
    assert standard_secret("abc") == "whsec_YWJj"


@settings(max_examples=1_000)
@given(st.binary(), st.lists(texts, min_size=1, max_size=3), st.data(), st.integers(-300, 300))
def test_the_sandboxs_signature_is_recognised_with_any_of_the_secrets(
    body: bytes, secrets: list[str], data: st.DataObject, age: int
) -> None:
    header = dated(body, data.draw(st.sampled_from(secrets)), at=UNIX)
    assert sandbox_has_signed(header, body, secrets=secrets, now=NOW + timedelta(seconds=age))


@settings(max_examples=1_000)
@given(st.binary(min_size=1), st.data())
def test_a_changed_bit_is_seen(body: bytes, data: st.DataObject) -> None:
    header = dated(body, "secret", at=UNIX)
    changed = bytearray(body)
    changed[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not sandbox_has_signed(header, bytes(changed), secrets=["secret"], now=NOW)


@settings(max_examples=1_000)
@given(st.text(), st.binary(), st.lists(st.text(), max_size=2))
def test_no_header_is_believed_by_chance_nor_breaks_anything(
    header: str, body: bytes, secrets: list[str]
) -> None:
    assert not sandbox_has_signed(header, body, secrets=secrets, now=NOW)


@pytest.mark.parametrize("age", [-301, 301, 86_400])
def test_what_is_not_of_now_may_be_a_replay(age: int) -> None:
    header = dated(BODY, "secret", at=UNIX)
    now = NOW + timedelta(seconds=age)
    assert not sandbox_has_signed(header, BODY, secrets=["secret"], now=now)


def test_without_a_secret_nothing_is_signed() -> None:
    for secrets in ([], [""]):
        header = dated(BODY, "", at=UNIX)
        assert not sandbox_has_signed(header, BODY, secrets=secrets, now=NOW)


def test_while_secrets_are_rotated_two_signatures_may_come() -> None:
    right = dated(BODY, "new", at=UNIX)
    header = f"{right.split(',')[0]},v1={'0' * 64},{right.split(',')[1]}"
    assert sandbox_has_signed(header, BODY, secrets=["old", "new"], now=NOW)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t, v: "",
        lambda t, v: t,
        lambda t, v: v,
        lambda t, v: f"{t},{v[:-1]}",
        lambda t, v: f"{t},{v}00",
        lambda t, v: f"{t},v0={v[3:]}",
        lambda t, v: f"{t},v1=",
        lambda t, v: f"{t},v1=é",
        lambda t, v: f"t=,{v}",
        lambda t, v: f"t=-1,{v}",
        lambda t, v: f"t=１,{v}",
        lambda t, v: f"t={'9' * 5000},{v}",
        lambda t, v: f"{t},{t},{v}",
        lambda t, v: f"{t};{v}",
        lambda t, v: f"{t}.0,{v}",
    ],
)
def test_a_header_of_another_form_is_not_signed(spoil: Callable[[str, str], str]) -> None:
    timestamp, signature = dated(BODY, "secret", at=UNIX).split(",")
    header = spoil(timestamp, signature)
    assert not sandbox_has_signed(header, BODY, secrets=["secret"], now=NOW)


def test_gocardless_signature_is_rfc_4231s() -> None:
    # Test case 2 of RFC 4231.
    header = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    body = b"what do ya want for nothing?"
    assert gocardless_has_signed(header, body, secrets=["Jefe"])
    assert not gocardless_has_signed(header, body + b" ", secrets=["Jefe"])


@settings(max_examples=1_000)
@given(st.binary(), st.lists(texts, min_size=1, max_size=3), st.data())
def test_gocardless_signature_is_recognised_with_any_of_the_secrets(
    body: bytes, secrets: list[str], data: st.DataObject
) -> None:
    signer = data.draw(st.sampled_from(secrets))
    header = hex_mac(body, signer)
    assert gocardless_has_signed(header, body, secrets=secrets)
    assert not gocardless_has_signed(header, body, secrets=["", f"{signer}!"])
    assert not gocardless_has_signed(header, body, secrets=[])


@given(st.text(), st.binary())
def test_no_header_of_gocardless_makes_it_raise(header: str, body: bytes) -> None:
    assert not gocardless_has_signed(header, body, secrets=["Jefe"])


def test_what_an_empty_secret_signed_is_signed_by_nobody() -> None:
    header = hex_mac(BODY, "")
    assert not gocardless_has_signed(header, BODY, secrets=[""])
