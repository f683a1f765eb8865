"""Which page a list call wants, from its query (contract section 1.7)."""

from __future__ import annotations

from typing import Final

from recoup.api.edge import ApiRequest
from recoup.api.filters import last_said
from recoup.rules.lago.pages import Page

USUAL_SIZE: Final = 100
SIZE_OF_NONSENSE: Final = 25  # what Lago falls back to when `per_page` is no number
LARGEST: Final = 1000  # a page is built in memory; the contract sets no cap, an operator needs one
LAST_NUMBER: Final = 2**53 - 1  # exact in JavaScript, and a bigint counts the rows before it


def wanted_page(request: ApiRequest) -> Page:
    """Read `page` and `per_page`; what is no positive number falls back, as at Lago."""
    number, size = (last_said(request.query_params, name) for name in ("page", "per_page"))
    return Page(
        _positive(number or "1", otherwise=1, most=LAST_NUMBER),
        _positive(size or str(USUAL_SIZE), otherwise=SIZE_OF_NONSENSE, most=LARGEST),
    )


def _positive(said: str, *, otherwise: int, most: int) -> int:
    if not (said.isascii() and said.isdigit()):
        return otherwise
    digits = said.lstrip("0")
    return min(int(digits[:20] or otherwise), most)  # 20 digits are above any `most`
