"""Read what a caller asks of a credit note, value by value (contract section 3.9).

Each function answers the value or raises the refusal of it. Amounts come as JSON numbers or as
numeric strings, and are whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from recoup.rules.credit_note_totals import CreditableFee, Line, Parts, taken_off, whole_line
from recoup.rules.money import MAX_CENTS
from recoup.rules.one_off_asks import NUMERIC
from recoup.rules.records.credit_notes import Metadata
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import Scalar, Text, text, written

REASONS: Final = (
    "duplicated_charge", "product_unsatisfactory", "order_change", "order_cancellation",
    "fraudulent_charge", "other",
)  # fmt: skip
REFUND_STATUSES: Final = ("pending", "succeeded", "failed")
USUAL_REASON: Final = "other"
MOST_METADATA: Final = 50
LONGEST_KEY: Final = 100
LONGEST_VALUE: Final = 255

_DIGITS: Final = re.compile(r"[+-]?[0-9]{1,30}")  # a float would lose the last of them
ReadId = Callable[[str], UUID | None]


# What is described to callers; what they send instead is read below, and refused by its own word.
Cents = Annotated[Any, msgspec.Meta(extra_json_schema={"type": ["integer", "null"]})]
Items = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "fee_id": {"type": "string", "format": "uuid"},
                    "amount_cents": {"type": "integer"},
                },
                "required": ["fee_id", "amount_cents"],
            },
        }
    ),
]
Pairs = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "null"]},
        }
    ),
]


class CreditNoteInput(msgspec.Struct, frozen=True):
    """A credit note as a caller asks for it, or for an estimate of it."""

    invoice_id: Text = None
    reason: Text = None
    description: Text = None
    credit_amount_cents: Cents = None  # None: nothing
    refund_amount_cents: Cents = None
    offset_amount_cents: Cents = None
    items: Items = None
    metadata: Pairs = None


class CreditNoteChange(msgspec.Struct, frozen=True):
    """What a caller changes of a note; what is absent stays, and metadata are merged."""

    refund_status: Text = UNSET
    metadata: Pairs = None


def read_lines(asked: Any, fees: Mapping[UUID, CreditableFee], *, read_id: ReadId) -> list[Line]:
    """The lines asked for, each within what those before it leave of its fee.

    `fees` are the invoice's. A line for nothing is one, as at Lago.
    """
    if not isinstance(asked, list):
        raise Refused(invalid({"items": ["must_be_an_array"]}))
    if not all(isinstance(one, dict) for one in asked):
        raise Refused(invalid({"items": ["value_is_invalid"]}))
    named = [read_id(said) if isinstance(said := one.get("fee_id"), str) else None for one in asked]
    left = {fee_id: fees[fee_id] for fee_id in named if fee_id and fee_id in fees}
    if len(left) < len(set(named)):
        raise Refused(not_found("fee"))
    lines = []
    for one, fee_id in zip(asked, named, strict=True):
        assert fee_id is not None, "what is no id was not found"
        cents = read_cents(one.get("amount_cents"), "amount_cents", otherwise=None)
        if cents > left[fee_id].remaining_cents:
            raise Refused(invalid({"amount_cents": ["higher_than_remaining_fee_amount"]}))
        line = whole_line(left[fee_id], cents)
        [left[fee_id]] = taken_off([line], [left[fee_id]])
        lines.append(line)
    return lines


def read_parts(asked: CreditNoteInput) -> Parts:
    """What is to become of the note's total; a part that is absent is nothing."""
    return Parts(
        read_cents(asked.credit_amount_cents, "credit_amount_cents", otherwise=0),
        read_cents(asked.refund_amount_cents, "refund_amount_cents", otherwise=0),
        read_cents(asked.offset_amount_cents, "offset_amount_cents", otherwise=0),
    )


def read_reason(said: Text) -> str:
    """Why there is a note: one of Lago's words, `other` where none is said."""
    reason = text(said) or USUAL_REASON
    if reason not in REASONS:
        raise Refused(invalid({"reason": ["value_is_invalid"]}))
    return reason


def read_refund_status(said: Text) -> str:
    """What a caller says of a refund."""
    status = text(said)
    if status not in REFUND_STATUSES:
        raise Refused(invalid({"refund_status": ["value_is_invalid"]}))
    return status


def read_cents(said: Any, field: str, *, otherwise: int | None) -> int:
    """An amount in minor units, never below zero; None: nothing may be left out."""
    if otherwise is not None and (said is None or said == ""):
        return otherwise
    cents = _whole(said)
    if cents is None or cents < 0:
        raise Refused(invalid({field: ["invalid_value"]}))
    return min(cents, MAX_CENTS)  # more than any invoice has left, so it is refused as that


def read_metadata(said: Any) -> dict[str, str | None]:
    """A caller's own keys and values; a value may be null."""
    if not isinstance(said, dict):
        raise Refused(invalid({"metadata": ["value_is_invalid"]}))
    read: dict[str, str | None] = {}
    for key, value in said.items():
        if not isinstance(value, Scalar | None):
            raise Refused(invalid({"metadata": ["value_is_invalid"]}))
        read[key] = written(value)
    if any("\0" in word for pair in read.items() for word in pair if word):
        raise Refused(invalid({"metadata": ["value_is_invalid"]}))
    if any(len(key) > LONGEST_KEY for key in read):
        raise Refused(invalid({"key": ["value_is_too_long"]}))
    if any(len(value or "") > LONGEST_VALUE for value in read.values()):
        raise Refused(invalid({"value": ["value_is_too_long"]}))
    return refuse_too_many(read)


def refuse_too_many(metadata: dict[str, str | None]) -> dict[str, str | None]:
    """The same metadata, unless there are more than a note may have."""
    if len(metadata) > MOST_METADATA:
        raise Refused(invalid({"metadata": ["invalid_count"]}))
    return metadata


def merged(before: Metadata | None, added: Mapping[str, str | None]) -> dict[str, str | None]:
    """What a note has once these are added to what it had."""
    return refuse_too_many({**(before or {}), **added})


def _whole(said: Any) -> int | None:
    if isinstance(said, str) and NUMERIC.fullmatch(said):
        said = int(said) if _DIGITS.fullmatch(said) else float(said)
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return int(said) if isinstance(said, int) or said.is_integer() else None
