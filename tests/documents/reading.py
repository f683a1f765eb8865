"""Read a PDF back, as a machine at the customer's would."""

from __future__ import annotations

import io
import re

from pypdf import PdfReader


def pages_of(pdf: bytes) -> list[str]:
    """The text of each page: blanks of every kind are one, and breaks inside of words are none."""
    return [_tidied(page.extract_text()) for page in PdfReader(io.BytesIO(pdf)).pages]


def text_of(pdf: bytes) -> str:
    """The text of all pages."""
    return "\n".join(pages_of(pdf))


def _tidied(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\u200b", "").replace("\u00ad", ""))
