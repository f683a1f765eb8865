"""Instants as Lago writes them: whole seconds and `Z` (contract section 1.1)."""

from __future__ import annotations

from datetime import datetime
from typing import overload


@overload
def seconds(at: datetime) -> datetime: ...
@overload
def seconds(at: None) -> None: ...
def seconds(at: datetime | None) -> datetime | None:
    """Drop the fraction of a second: `2025-01-21T00:10:29Z` once it is JSON."""
    return None if at is None else at.replace(microsecond=0)
