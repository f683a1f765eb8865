"""SQL for a record whose fields are named like its table's columns, in the record's order.

For plain writes of one row. What locks, joins or takes many rows is written out as SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey


def columns(record: type[msgspec.Struct], alias: str = "") -> str:
    """The record's columns for a SELECT: `i.organization_id, i.id, …` with alias `i`."""
    dot = f"{alias}." if alias else ""
    return ", ".join(f"{dot}{field}" for field in record.__struct_fields__)


def insertion(table: str, record: type[msgspec.Struct]) -> str:
    """An INSERT of one row, its parameters in the order of `values`."""
    places = ", ".join(f"${number}" for number in range(1, len(record.__struct_fields__) + 1))
    return f"INSERT INTO {table} ({columns(record)}) VALUES ({places})"


def update(table: str, record: type[msgspec.Struct], *, key: Sequence[str]) -> str:
    """An UPDATE of one row by its key, its parameters in the order of `values`."""
    numbered = {field: f"${number}" for number, field in enumerate(record.__struct_fields__, 1)}
    sets = ", ".join(f"{field} = {place}" for field, place in numbered.items() if field not in key)
    where = " AND ".join(f"{field} = {numbered[field]}" for field in key)
    return f"UPDATE {table} SET {sets} WHERE {where}"


def row_key(row: Mapping[str, Any]) -> RowKey:
    """The key of a row that was read with its `organization_id` and `id`."""
    return RowKey(row["organization_id"], row["id"])


def key_arrays(keys: Collection[RowKey]) -> tuple[list[UUID], list[UUID]]:
    """These keys as two parameters, for `unnest($1::uuid[], $2::uuid[])`."""
    return [key.organization_id for key in keys], [key.id for key in keys]


def storable(text: str | None) -> str | None:
    """What PostgreSQL can hold of a provider's text: one with a NUL could never be kept."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if text else text


def values(record: msgspec.Struct) -> tuple[object, ...]:
    """The record's values in the order of its fields."""
    return tuple(getattr(record, field) for field in record.__struct_fields__)
