"""Secrets that can be recognised wherever they turn up, and the search for them.

A secret that leaks is seldom as it was: it is in a header as base64, in a URL escaped, in a column
of bytes as hexadecimal digits. So each is looked for in every form that something on its way makes.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, unquote_plus

ODD = '"\\/+&%<>'  # what JSON, URLs, HTML and SQL each write in a way of their own
_BYTES_IN_A_DUMP = re.compile(r"\\+x((?:[0-9a-f]{2}){8,})")


class Canaries:
    """The secrets of one test, by what each is."""

    def __init__(self) -> None:
        self._forms: dict[str, set[str]] = {}

    def plant(self, what: str, secret: str) -> str:
        """Look for this secret from now on, and answer it."""
        self._forms[what] = set(forms(secret))
        return secret

    def __len__(self) -> int:
        return len(self._forms)

    def found(self, places: Mapping[str, str]) -> list[str]:
        """Say which secret is in which place: `the API key in serve-1.log`."""
        texts = {place: list(readings(text)) for place, text in places.items()}
        return [
            f"{what} in {place}"
            for what, wanted in self._forms.items()
            for place, read in texts.items()
            if any(form in text for form in wanted for text in read)
        ]


def forms(secret: str) -> Iterator[str]:
    """What a secret looks like in a reading of what it has been written into.

    One that is itself base64 or hexadecimal is looked for as the bytes that it stands for, too.
    """
    yield from (secret, secret.replace("\\", ""))
    for raw in {secret.encode(), *_meant(secret)}:
        yield raw.hex()
        yield raw.hex().upper()
        yield from _in_base64(raw)


def _meant(secret: str) -> Iterator[bytes]:
    if re.fullmatch("([0-9a-fA-F]{2})+", secret):
        yield bytes.fromhex(secret)
    elif len(secret) == 44 and secret.endswith("="):
        yield base64.b64decode(secret)


def _in_base64(raw: bytes) -> Iterator[str]:
    """Both alphabets; and wherever it stands within what was encoded: after `user:`, in JSON, …"""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        # The first and the last digits are made of what is beside it as well.
        sure = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield sure
        yield sure.translate(str.maketrans("+/", "-_"))


def readings(text: str) -> Iterator[str]:
    """A text as it is, without what JSON, URLs and HTML escape, and its bytes as they stand in SQL.

    Without backslashes at all, since one text in another has them doubled again and again.
    """
    yield from (
        text,
        text.replace("\\", ""),
        unquote(text),
        unquote_plus(text),
        html.unescape(text),
    )
    for digits in _BYTES_IN_A_DUMP.findall(text):
        yield bytes.fromhex(digits).decode("latin-1").replace("\\", "")
