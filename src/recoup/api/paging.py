"""Which page a list call wants, from its query (contract section 1.7)."""

from __future__ import annotations

from typing import Final

from recoup.api.edge import ApiRequest
from recoup.rules.lago.pages import Page

USUAL_SIZE: Final = 100
SIZE_OF_NONSENSE: Final = 25  # what Lago falls back to when `per_page` is no number
LARGEST: Final = 1000  # a page is built in memory; the contract sets no cap, an operator needs one


def wanted_page(request: ApiRequest) -> Page:
    """Read `page` and `per_page`; what is no positive number falls back, as at Lago."""
    number = _positive(request.query_params.get("page", "1"), 1)
    size = _positive(request.query_params.get("per_page", str(USUAL_SIZE)), SIZE_OF_NONSENSE)
    return Page(number, min(size, LARGEST))


def _positive(said: str, otherwise: int) -> int:
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        return otherwise
    return int(said) or otherwise
