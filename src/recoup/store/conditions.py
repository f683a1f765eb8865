"""The WHERE of a list whose filters are the caller's to choose."""

from __future__ import annotations

from collections.abc import Collection


def words(ours: Collection[str]) -> str:
    """Words of our own, never a caller's, as SQL: `('draft', 'voided')`.

    Written out, since a plan that is kept for any parameter knows not which index has these alone.
    """
    assert all(word.isidentifier() for word in ours), "a caller's text is a parameter"
    quoted = (f"'{word}'" for word in sorted(ours))
    return f"({', '.join(quoted)})"


class Conditions:
    """Conditions that must all hold, with their values numbered as they are added."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._parts: list[str] = []

    def add(self, condition: str, *values: object) -> None:
        """Add a condition in which `{0}`, `{1}`, … stand for these values."""
        first = len(self.values) + 1
        self._parts.append(condition.format(*(f"${first + n}" for n in range(len(values)))))
        self.values += values

    def sql(self) -> str:
        """All conditions, for behind a WHERE."""
        return " AND ".join(f"({part})" for part in self._parts) or "true"
