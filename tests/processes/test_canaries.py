"""The search for secrets finds them in every form: one that finds nothing would be content."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from tests.processes.canaries import ODD, Canaries

SECRET = f"sk_canary{ODD}5b1f0c77a9"
KEY = base64.b64encode(bytes(range(32))).decode()
WRITERS: dict[str, Callable[[bytes], str]] = {
    "as_it_is": bytes.decode,
    "json": lambda raw: json.dumps({"key": raw.decode()}),
    "json_in_json": lambda raw: json.dumps(json.dumps(raw.decode())),
    "json_of_others": lambda raw: json.dumps(raw.decode()).replace("/", r"\/"),
    "repr": repr,
    "url": lambda raw: quote(raw, safe=""),
    "form": lambda raw: quote_plus(raw, safe=""),
    "url_in_small_letters": lambda raw: re.sub(
        "%..", lambda one: one[0].lower(), quote(raw, safe="")
    ),
    "html": lambda raw: html.escape(raw.decode()),
    "hex": bytes.hex,
    "hex_in_capitals": lambda raw: raw.hex().upper(),
    "a_dumps_bytes": lambda raw: f"1\t\\\\x{json.dumps(raw.decode()).encode().hex()}\t2",
    "basic": lambda raw: "Basic " + base64.b64encode(raw + b":").decode(),
    "basic_as_a_password": lambda raw: "Basic " + base64.b64encode(b"me:" + raw).decode(),
    "base64_of_json": lambda raw: base64.b64encode(b'{"' + raw + b'": 1}').decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(b"u" + raw).decode(),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_secret_is_found_in_every_form(writer: str) -> None:
    canaries = Canaries()
    canaries.plant("the key", SECRET)
    places = {"a log": f"… {WRITERS[writer](SECRET.encode())} …", "an answer": "{}"}
    assert canaries.found(places) == ["the key in a log"]


@pytest.mark.parametrize(
    "written",
    [KEY, bytes(range(32)).hex(), base64.urlsafe_b64encode(b"x" + bytes(range(32))).decode()],
    ids=["base64", "hex", "base64url"],
)
def test_a_key_is_found_by_the_bytes_that_it_stands_for(written: str) -> None:
    canaries = Canaries()
    canaries.plant("the key", KEY)
    assert canaries.found({"a log": written}) == ["the key in a log"]


def test_what_holds_no_secret_is_not_suspected() -> None:
    canaries = Canaries()
    canaries.plant("the key", SECRET)
    canaries.plant("the other", KEY)
    assert canaries.found({"a log": "sk_canary, secret_key, \\\\x00112233445566778899"}) == []
