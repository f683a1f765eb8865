"""What a report says of an attempt in the state that it is in, read before the table is asked.

Called by `settlement_book`: the same word of a provider is other news for another attempt.
"""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from recoup.flows.reports import News, Report, Source
from recoup.providers.protocol import Canceled, Declined, Paid, Reversed
from recoup.rules.attempt_state import State
from recoup.rules.declines import Decline, DeclineClass, classify
from recoup.rules.records.collection import Attempt

# How an attempt ends whose authorisation was cancelled, or has run out, before it was told.
CANCELED_AUTHORISATION: Final = "authorisation_canceled"


def class_of(report: Report, decline: Decline, *, method_is_gone: bool) -> DeclineClass:
    """Of what class a decline is: by its code, but where nobody told one who would know."""
    if method_is_gone:  # in whatever words
        return DeclineClass.NEW_METHOD
    match report.source:
        case Source.PERSON:  # whose word comes without a code
            return DeclineClass.CUSTOMER
        case Source.EXPIRY:  # tried again without the payer it would end here again
            return DeclineClass.AUTHENTICATION
        case Source.ANSWER | Source.EVENT | Source.LOOK_UP:
            return classify(decline)
        case _:
            assert_never(report.source)


def as_it_is_for(report: Report, attempt: Attempt) -> Report:
    """What the report says of this attempt, in the state that it is in."""
    outcome = report.outcome
    if isinstance(outcome, Canceled):
        what = (outcome.provider_payment_id, outcome.status)
        if attempt.state is State.SUCCEEDED:
            taken = Reversed(*what, outcome.amount_cents, outcome.currency, outcome.status)
            return msgspec.structs.replace(report, outcome=taken)
        declined = Declined(CANCELED_AUTHORISATION, provider_payment_id=what[0], status=what[1])
        return msgspec.structs.replace(report, outcome=declined)
    if report.is_implied and isinstance(outcome, Paid):
        # Of a part that is taken back the whole had been paid, and by the id that is known.
        paid = Paid(
            attempt.provider_payment_id or outcome.provider_payment_id,
            outcome.status,
            attempt.amount_cents,
            attempt.currency,
        )
        return msgspec.structs.replace(report, outcome=paid)
    return report


def is_second_charge(attempt: Attempt, report: Report) -> bool:
    """A success after a success, under another id: the same word, and other money."""
    outcome = report.outcome
    if not isinstance(outcome, Paid) or report.is_implied or attempt.provider_payment_id is None:
        return False
    return outcome.provider_payment_id != attempt.provider_payment_id


def is_of_a_canceled(attempt: Attempt, outcome: News) -> bool:
    """An authorisation that is told after its cancellation; what was never sent has none."""
    return (
        isinstance(outcome, Paid)
        and attempt.error_code == CANCELED_AUTHORISATION
        and attempt.provider_payment_id == outcome.provider_payment_id
    )
