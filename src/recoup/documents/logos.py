"""Is this a picture that may stand on a document? A small PNG, JPEG or SVG, and nothing else.

Called with what `senders/pictures` has brought. The answer is an SVG in every case: a PNG or a JPEG
is put into one, so that a template needs no file.

What would surprise you: an SVG is a small program. One that names anything outside of itself, or
defines entities, is refused; one that merely takes for ever is ended with its process
(`documents/typesetter`).
"""

from __future__ import annotations

import base64
import re
import struct
from typing import Final

import msgspec

MOST_BYTES: Final = 512 * 1024
MOST_PIXELS_A_SIDE: Final = 2_000  # 16 MB once it is unpacked
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
# Frames of a JPEG that carry its size: SOF0 to SOF15, without DHT, JPG and DAC.
_SIZED_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_NOT_IN_SVG: Final = re.compile(
    r"<!DOCTYPE|<!ENTITY|<\?xml-stylesheet|<script|<foreignObject|@import|url\(\s*['\"]?[^#'\")\s]"
    r"|href\s*=\s*['\"]\s*(?!#|data:image/(?:png|jpeg);base64,)[^'\"\s]",
    re.IGNORECASE,
)


class NoPicture(msgspec.Struct, frozen=True):
    """It cannot stand on a document; `why` is for whoever set its address."""

    why: str


def as_svg(content: bytes) -> str | NoPicture:
    """The picture as an SVG, or why it is none that may be shown."""
    if len(content) > MOST_BYTES:
        return NoPicture(f"it has more than {MOST_BYTES // 1024} kB")
    if content.startswith(_PNG):
        return _wrapped(content, "png", _png_size(content))
    if content.startswith(_JPEG):
        return _wrapped(content, "jpeg", _jpeg_size(content))
    return _svg(content)


def _wrapped(content: bytes, kind: str, size: tuple[int, int] | None) -> str | NoPicture:
    if size is None:
        return NoPicture(f"its {kind} cannot be read")
    width, height = size
    if not (0 < width <= MOST_PIXELS_A_SIDE and 0 < height <= MOST_PIXELS_A_SIDE):
        return NoPicture(f"it has more than {MOST_PIXELS_A_SIDE} pixels to a side, or none")
    data = base64.b64encode(content).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" href="data:image/{kind};base64,{data}"/></svg>'
    )


def _png_size(content: bytes) -> tuple[int, int] | None:
    if len(content) < 24 or content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # fills up
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _SIZED_FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4]))
    return None


def _svg(content: bytes) -> str | NoPicture:
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return NoPicture("it is neither PNG, JPEG nor SVG")
    head = re.sub(r"^<\?xml[^>]*\?>|<!--.*?-->", "", text[:4_096], flags=re.DOTALL).lstrip()
    if not head.startswith("<svg"):
        return NoPicture("it is neither PNG, JPEG nor SVG")
    if "\0" in text or _NOT_IN_SVG.search(text):
        return NoPicture("its SVG names something outside of itself, or does more than draw")
    return text
