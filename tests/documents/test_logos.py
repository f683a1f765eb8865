from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import pytest
from pypdf import PdfReader

from recoup.documents.logos import MOST_BYTES, MOST_PIXELS_A_SIDE, NoPicture, as_svg
from recoup.documents.press import Press
from tests.documents import pages


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = (b"\0" + b"\x80" * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# One grey dot, baseline, with the tables of JPEG's annex K cut to what it needs.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////"
    "////////////////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxA="
)


def svg(inside: str = "") -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{inside}</svg>'.encode()


@pytest.mark.parametrize("content", [png(40, 20), png(1, MOST_PIXELS_A_SIDE), svg(), JPEG])
def test_a_small_picture_is_shown(content: bytes) -> None:
    shown = as_svg(content)
    assert isinstance(shown, str)
    assert shown.startswith("<svg")


def test_a_png_stands_on_the_document() -> None:
    logo = as_svg(png(40, 20))
    assert isinstance(logo, str)
    press = Press()
    assert _pictures(press.pdf(pages.invoice(), logo=logo)) == 1
    assert _pictures(press.pdf(pages.invoice())) == 0


def _pictures(pdf: bytes) -> int:
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    return _images_in(page["/Resources"])


def _images_in(resources: Any) -> int:
    """Also those inside of forms, as an SVG's are."""
    found = 0
    for thing in resources.get("/XObject", {}).values():
        drawn = thing.get_object()
        found += drawn["/Subtype"] == "/Image"
        found += _images_in(drawn.get("/Resources", {}))
    return found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "neither"),
        (b"GIF89a", "neither"),
        (b"%PDF-1.4", "neither"),
        (b"<html><svg/></html>", "neither"),
        (b"\xff\xfe\0", "neither"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read"),
        (b"\xff\xd8\xff\xe0\xff\xff", "cannot be read"),
        (b"\xff\xd8\xff" + b"\xe0\0\0" * 500, "cannot be read"),
        (png(1, 1)[:16] + struct.pack(">II", 50_000, 50_000) + png(1, 1)[24:], "pixels to a side"),
        (png(1, 1)[:16] + struct.pack(">II", 0, 5) + png(1, 1)[24:], "pixels to a side"),
        (svg("x" * MOST_BYTES), "more than 512 kB"),
        (b"<!DOCTYPE svg [<!ENTITY a 'aaaa'>]>" + svg("&a;"), "neither"),
        (svg("<!DOCTYPE a>"), "outside of itself"),
        (svg("<!ENTITY a 'b'>"), "outside of itself"),
        (svg("<script>1</script>"), "outside of itself"),
        (svg('<image href="/etc/passwd"/>'), "outside of itself"),
        (svg('<image xlink:href = "http://169.254.169.254/"/>'), "outside of itself"),
        (svg("<image href='data:text/html;base64,AAAA'/>"), "outside of itself"),
        (svg('<rect fill="url(http://a.b/c)"/>'), "outside of itself"),
        (svg("<style>@import 'a.css'</style>"), "outside of itself"),
        (svg("<foreignObject/>"), "outside of itself"),
        (svg("\0"), "outside of itself"),
    ],
)
def test_what_is_no_small_picture_is_refused_by_name(content: bytes, why: str) -> None:
    refused = as_svg(content)
    assert isinstance(refused, NoPicture), refused
    assert why in refused.why


@pytest.mark.parametrize(
    "inside", ['<use href="#a"/>', '<rect fill="url(#a)"/>', "<!-- a --><path d='M0 0'/>"]
)
def test_an_svg_may_name_what_is_inside_of_it(inside: str) -> None:
    assert isinstance(as_svg(b"<?xml version='1.0'?>\n<!-- made -->\n" + svg(inside)), str)
