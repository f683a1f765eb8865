"""The `meta` of a list: which page this is, of how many (contract section 1.7)."""

from __future__ import annotations

import msgspec


class Meta(msgspec.Struct, frozen=True):
    """Where a page stands in its list. An empty list has `current_page` 0."""

    current_page: int
    next_page: int | None
    prev_page: int | None
    total_pages: int
    total_count: int


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is wanted: `number` from 1, `size` at least 1."""

    number: int = 1
    size: int = 100

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.number - 1) * self.size


def meta(page: Page, total_count: int) -> Meta:
    """Describe `page` of a list that has `total_count` rows."""
    pages = -(-total_count // page.size)
    return Meta(
        current_page=page.number if total_count else 0,
        next_page=page.number + 1 if page.number < pages else None,
        prev_page=page.number - 1 if page.number > 1 else None,
        total_pages=pages,
        total_count=total_count,
    )
