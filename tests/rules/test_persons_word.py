"""A person's word says who and why, and is refused by field where it does not."""

from __future__ import annotations

import pytest

from recoup.rules.persons_word import LONGEST_ID, refuse_unsaid
from recoup.rules.refusal import Refused, invalid

SAID = {"by": "ann", "reason": "ticket 7"}


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0"], ids=ascii)
@pytest.mark.parametrize("field", SAID)
def test_who_and_why_are_said(field: str, blank: str) -> None:
    with pytest.raises(Refused) as refused:
        refuse_unsaid(**SAID | {field: blank})
    assert refused.value.refusal == invalid({field: ["value_is_mandatory"]})


@pytest.mark.parametrize("field", [*SAID, "provider_payment_id"])
def test_what_no_column_holds_is_refused(field: str) -> None:
    with pytest.raises(Refused) as refused:
        refuse_unsaid(**SAID | {field: "a\0b"})
    assert refused.value.refusal == invalid({field: ["value_is_invalid"]})


def test_an_id_may_be_missing_and_is_not_too_long() -> None:
    for known_as in (None, "", " ", "ch_7", "c" * LONGEST_ID, f" {'c' * LONGEST_ID} "):
        refuse_unsaid(**SAID, provider_payment_id=known_as)
    with pytest.raises(Refused) as refused:
        refuse_unsaid(by="", reason="x", provider_payment_id="c" * (LONGEST_ID + 1))
    wrong = {"by": ["value_is_mandatory"], "provider_payment_id": ["value_is_too_long"]}
    assert refused.value.refusal == invalid(wrong)
