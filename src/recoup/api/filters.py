"""Read a list's filters from the query (contract sections 3.3 and 10, point 6).

What would surprise you: for a list, `k[]=a&k[]=b` and `k=a&k=b` say the same; of a single value
that is given again, in either form, the last counts, as in Rails. Wrong values are named in
English, where the rest of the API uses codes. A blank filter is none.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date, datetime
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from litestar.datastructures import MultiDict

from recoup.api.edge import ApiRequest
from recoup.rules.cursors import Cursor, read_cursor
from recoup.rules.instants import read_instant
from recoup.rules.money import MAX_CENTS
from recoup.rules.refusal import Refused, invalid

_METADATA: Final = re.compile(r"metadata\[([^\]]+)\]")
MOST_METADATA: Final = 20  # each is a look-up of its own; a row has five at most
_DASHED: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I | re.ASCII)
Word = TypeVar("Word", bound=StrEnum)
_WORDS: Final = {"true": True, "false": False}
_BOOLEANS: Final = {**_WORDS, "1": True, "0": False}


class Filters:
    """One call's filters. Wrong values are gathered, and refused together by `check`."""

    def __init__(self, request: ApiRequest) -> None:
        self._query = request.query_params
        self._broken: dict[str, object] = {}

    def known(self, *names: str, among: Collection[str]) -> tuple[str, ...] | None:
        """The values of a list filter that are `among` those; others are ignored, as if not said.

        For where Lago ignores them. None: nothing is asked for by any of these names.
        """
        said = [value for name in names for value in self.texts(name) if value in among]
        return tuple(said) or None

    def texts(self, name: str, *, among: Collection[str] | None = None) -> list[str]:
        """The values of a list filter: any text, or words `among` those."""
        said = [
            value
            for value in (*self._query.getall(f"{name}[]", []), *self._query.getall(name, []))
            if value
        ]
        wrong = {
            str(place): [_must_be(among)]
            for place, value in enumerate(said)
            if among is not None and value not in among
        }
        if wrong:
            self._broken[name] = wrong
        return [self._storable(name, value) for value in said]

    def text(self, name: str, *, among: Collection[str] | None = None) -> str | None:
        """The value of a single filter."""
        value = last_said(self._query, name)
        if not value:
            return None
        if among is not None and value not in among:
            self._broken[name] = [_must_be(among)]
        return self._storable(name, value)

    def word(self, name: str, among: type[Word]) -> Word | None:
        """The value of a filter that is a word of these."""
        value = self.text(name, among=[one.value for one in among])
        return among(value) if value and name not in self._broken else None

    def row(self, name: str) -> UUID | None:
        """The value of a filter that is a row's id: dashed (contract section 1.5)."""
        value = self.text(name)
        if value and not _DASHED.fullmatch(value):
            self._broken[name] = ["is in invalid format"]
        return UUID(value) if value and name not in self._broken else None

    def instant(self, name: str) -> datetime | None:
        """The value of a filter that is an ISO 8601 instant, or a date: its first moment."""
        value = self.text(name)
        found = instant_in_query(value) if value else None
        if value and found is None:
            self._broken[name] = ["must be a date time"]
        return found

    def cursor(self, name: str) -> Cursor | None:
        """The value of a filter that says where a list goes on."""
        value = self.text(name)
        found = read_cursor(value) if value else None
        if value and found is None:
            self._broken[name] = ["is in invalid format"]
        return found

    def boolean(self, name: str, *, in_words: bool = False) -> bool | None:
        """`true`, `false`, `1` or `0`; `in_words`: one of the first two (contract section 3.3)."""
        said = last_said(self._query, name)
        if not said:
            return None
        known = _WORDS if in_words else _BOOLEANS
        if said not in known:
            self._broken[name] = [_must_be(known) if in_words else "must be boolean"]
        return known.get(said)

    def day(self, name: str) -> date | None:
        """An ISO date, or the date of an ISO instant; anything else asks for nothing."""
        try:
            return datetime.fromisoformat(last_said(self._query, name) or "").date()
        except ValueError:
            return None

    def cents(self, name: str) -> int | None:
        """A whole number of minor units, no larger than any amount can be."""
        said = last_said(self._query, name)
        if not said:
            return None
        digits = said.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            self._broken[name] = ["must be an integer"]
            return None
        digits = digits.lstrip("0") or "0"
        amount = min(int(digits), MAX_CENTS) if len(digits) <= len(str(MAX_CENTS)) else MAX_CENTS
        return -amount if said.startswith("-") else amount

    def metadata(self) -> dict[str, str]:
        """What `metadata[key]=value` asks for, by key; an empty value: the key must be absent."""
        wanted = {
            self._storable("metadata", found[1]): self._storable("metadata", value)
            for name, value in self._query.items()
            if (found := _METADATA.fullmatch(name))
        }
        if len(wanted) > MOST_METADATA:
            self._broken["metadata"] = [f"size cannot be greater than {MOST_METADATA}"]
        return wanted

    def check(self) -> None:
        """Refuse the call if a value is wrong.

        :raises Refused: 422, every wrong filter with what it must be.
        """
        if self._broken:
            raise Refused(invalid(self._broken))

    def _storable(self, name: str, value: str) -> str:
        """The value, unless it holds what the database's text cannot."""
        if "\0" in value:
            self._broken[name] = ["is in invalid format"]
        return value


def last_said(query: MultiDict[str], name: str) -> str | None:
    """What a query says of a single value: the last of `name`, or else of `name[]`."""
    said = query.getall(name, []) or query.getall(f"{name}[]", [])
    return said[-1] if said else None


def dashed_id(request: ApiRequest, name: str) -> UUID | None:
    """A filter's id: here it must be dashed, unlike in a path (contract section 1.5).

    :raises Refused: 422, it is not.
    """
    said = last_said(request.query_params, name)
    if not said:
        return None
    if not _DASHED.fullmatch(said):
        raise Refused(invalid({name: ["is in invalid format"]}))
    return UUID(said)


def _must_be(among: Collection[str]) -> str:
    return f"must be one of: {', '.join(among)}"


def instant_in_query(said: str) -> datetime | None:
    """Read an instant; the `+` of its offset is a space in a query, unless it was encoded."""
    return read_instant(said) or read_instant(said.replace(" ", "+"))
