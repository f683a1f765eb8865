"""What a person's word must say that goes into the audit log: who says it, why, and of what."""

from __future__ import annotations

from typing import Final

from recoup.rules.refusal import Refused, invalid

# No provider's ids are longer (Stripe promises 255 signs at most), and an index can hold them.
LONGEST_ID: Final = 255

# The status, or the code of its decline, of what ended by a person's word and not a provider's.
BY_HAND: Final = "settled_by_hand"


def unsaid(**words: str) -> dict[str, list[str]]:
    """Say by field which words are blank, or hold what the database's text cannot."""
    broken: dict[str, list[str]] = {}
    for name, said in words.items():
        if not said.strip():
            broken[name] = ["value_is_mandatory"]
        elif "\0" in said:
            broken[name] = ["value_is_invalid"]
    return broken


def refuse_unsaid(*, by: str, reason: str, **ids: str | None) -> None:
    """Refuse a person's word that does not say who and why, or that no column holds.

    `ids` are those at the provider, by the field's name; they may be missing.

    :raises Refused: 422, the fields named.
    """
    broken = unsaid(by=by, reason=reason)
    for name, known_as in ids.items():
        if known_as and len(known_as.strip()) > LONGEST_ID:
            broken[name] = ["value_is_too_long"]
        elif known_as and "\0" in known_as:
            broken[name] = ["value_is_invalid"]
    if broken:
        raise Refused(invalid(broken))
