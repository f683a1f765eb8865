"""Instants as callers write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recoup.rules.instants import read_instant


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00+02:00", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T10:00:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None), ("9999-12-31T23:59:59-01:00", None),
        ("2026-02-30", None), ("", None), ("soon", None), (5, None), (None, None), ([], None),
    ],
)  # fmt: skip
def test_an_instant_is_read_into_utc_or_is_none(said: object, read: datetime | None) -> None:
    found = read_instant(said)
    assert found == read
    assert found is None or found.tzinfo is UTC
