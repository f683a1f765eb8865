"""Ids made from numbers, so that whoever knows a row's number needs no list to find its id.

They rise with the number and look like UUIDs of version 7, as Recoup's own do: an index then grows
at its end on both sides of a comparison.
"""

from __future__ import annotations

from enum import IntEnum
from uuid import UUID


class Kind(IntEnum):
    """What an id names."""

    INVOICE = 1
    CUSTOMER = 2
    LINK = 3  # a row of provider_customers
    METHOD = 4
    PAYMENT = 5  # one that pgbench makes
    ORGANIZATION = 6
    ENTITY = 7
    FEE = 8
    ADD_ON = 9
    METADATUM = 10
    NOTE = 11
    NOTE_ITEM = 12
    REQUEST = 13
    RECEIPT = 14
    ACCOUNT = 15
    REFUND = 16
    FINDING = 17
    ENDPOINT = 18
    EVENT = 19
    DELIVERY = 20
    MAIL = 21


def numbered_id(kind: Kind, number: int) -> str:
    """The id of row `number`."""
    return f"0190{kind:04x}-0000-7000-8000-{number:012x}"


def number_of(numbered: UUID) -> int:
    """The number that an id was made from."""
    return numbered.int & 0xFFFF_FFFF_FFFF


def sql_id(kind: Kind, number: str) -> str:
    """The same as an SQL expression; `number` is one, too."""
    return f"('0190{kind:04x}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"
