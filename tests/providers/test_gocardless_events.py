"""GoCardless's events: what each of them means, and that no order matters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import permutations, product
from typing import Any

import msgspec
import pytest
from gocardless_pro.resources import Event

from recoup.providers.gocardless import GoCardlessProvider, GoCardlessSecrets
from recoup.providers.gocardless_words import Payment, payment_outcome
from recoup.providers.protocol import (
    Declined,
    GivenBack,
    Ignored,
    LookUpNeeded,
    MethodAdded,
    MethodGone,
    Notice,
    Paid,
    Processing,
    Refunded,
    RefundNotice,
    RefundProcessing,
    Reversed,
    Told,
)
from recoup.rules.attempt_state import Contradicted, Moved, State, move
from recoup.rules.refund_state import RefundState, moves
from tests.providers.gocardless_books import event
from tests.providers.stand_in import ATTEMPT, KEY, NOW

PROVIDER = GoCardlessProvider(GoCardlessSecrets("sandbox_1"), base=None)
NOTED = {"lago_payment_id": str(ATTEMPT), "recoup_amount": "1000 EUR"}
REFUND_NOTED = {"lago_refund_id": "1", "lago_payment_id": str(ATTEMPT), "recoup_amount": "400 EUR"}
WHY = {"cause": "insufficient_funds", "reason_code": "AM04", "description": "Not enough."}


def of_payment(action: str, number: int = 0, *, metadata: Mapping[str, str] = NOTED) -> str:
    told = event(f"EV{number}", "payments", action, {"payment": "PM1"}, metadata=metadata,
                 details=WHY)  # fmt: skip
    return json.dumps(told)


def of(resource_type: str, action: str, links: Mapping[str, str], **more: Any) -> Told:
    return PROVIDER.read_event(json.dumps(event("EV1", resource_type, action, links, **more)))


def test_the_stubs_events_have_the_fields_of_the_official_ones() -> None:
    official = {name for name, value in vars(Event).items() if isinstance(value, property)}
    assert set(json.loads(of_payment("created"))) <= official


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("created", Notice(KEY, Processing("PM1", "created"))),
        ("customer_approval_granted", Notice(KEY, Processing("PM1", "customer_approval_granted"))),
        ("submitted", Notice(KEY, Processing("PM1", "submitted"))),
        ("confirmed", Notice(KEY, Processing("PM1", "confirmed"))),
        ("paid_out", Notice(KEY, Paid("PM1", "paid_out", 1_000, "EUR"))),
        ("failed", LookUpNeeded(KEY, "PM1")),
        ("chargeback_cancelled",
         Notice(KEY, GivenBack("PM1", "chargeback_cancelled", 1_000, "EUR"))),
        ("resubmission_requested", Ignored("payment_resubmission_requested")),
        ("surcharge_fee_debited", Ignored("payment_surcharge_fee_debited")),
        ("sds_settlement_delayed", Ignored("payment_sds_settlement_delayed")),
        ("of <tomorrow>", Ignored("payment_unknown")),
        *(
            (word, Notice(KEY, Reversed("PM1", word, 1_000, "EUR", "insufficient_funds",
                                        is_lost=word != "late_failure_settled")))
            for word in ("charged_back", "chargeback_settled", "late_failure_settled")
        ),
        *(
            (word, Notice(KEY, Declined(
                code=code, message="Not enough.", decline_code="insufficient_funds",
                network_decline_code="AM04", provider_payment_id="PM1", status=word)))
            for word, code in (("cancelled", "canceled"), ("customer_approval_denied",) * 2)
        ),
    ],
)  # fmt: skip
def test_what_an_event_of_a_payment_means(action: str, told: Told) -> None:
    assert PROVIDER.read_event(of_payment(action)) == told


@pytest.mark.parametrize(
    "amount", [None, "", "1000", "EUR 1000", "1000 eur", "0 EUR", "-1 EUR", "1e3 EUR", "1000 EUR\n",
               "1" * 19 + " EUR"],
)  # fmt: skip
def test_an_event_that_tells_no_amount_is_a_reason_to_ask(amount: str | None) -> None:
    noted = {**NOTED, "recoup_amount": amount} if amount is not None else {}
    key = KEY if noted else None
    for action in ("paid_out", "charged_back", "chargeback_cancelled"):
        told = PROVIDER.read_event(of_payment(action, metadata=noted))  # type: ignore[arg-type]
        assert told == LookUpNeeded(key, "PM1")


@pytest.mark.parametrize(
    ("resource_type", "action", "links", "told"),
    [
        ("mandates", "created", {"mandate": "MD1"}, MethodAdded("MD1", None)),
        ("mandates", "active", {"mandate": "MD1", "customer": "CU1"}, MethodAdded("MD1", "CU1")),
        ("mandates", "reinstated", {"mandate": "MD1"}, MethodAdded("MD1", None)),
        *(
            ("mandates", action, {"mandate": "MD1"}, MethodGone("MD1"))
            for action in ("cancelled", "failed", "expired", "consumed", "blocked")
        ),
        ("mandates", "replaced", {"mandate": "MD1", "new_mandate": "MD2"},
         MethodAdded("MD2", None)),
        ("mandates", "submitted", {"mandate": "MD1"}, Ignored("mandate_submitted")),
        ("mandates", "active", {}, Ignored("names_no_mandate")),
        ("billing_requests", "fulfilled",
         {"billing_request": "BRQ1", "mandate_request_mandate": "MD1", "customer": "CU1"},
         MethodAdded("MD1", "CU1", set_up_at=NOW)),
        ("billing_requests", "fulfilled", {"billing_request": "BRQ1"},
         Ignored("billing_request_fulfilled")),
        ("billing_requests", "flow_visited", {"mandate_request_mandate": "MD1"},
         Ignored("billing_request_flow_visited")),
        ("payments", "paid_out", {"payment": "PM1/../PM2"}, Ignored("names_no_payment")),
        ("payouts", "paid", {"payout": "PO1"}, Ignored("of_payouts")),
    ],
)  # fmt: skip
def test_what_other_events_mean(
    resource_type: str, action: str, links: Mapping[str, str], told: Told
) -> None:
    assert of(resource_type, action, links) == told


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ("created", RefundProcessing("RF1", "created")),
        ("refund_settled", RefundProcessing("RF1", "refund_settled")),
        ("paid", Refunded("RF1", "paid", 400, "EUR")),
        *((word, None) for word in ("failed", "bounced", "funds_returned", "cancelled")),
    ],
)
def test_what_an_event_of_a_refund_means(
    action: str, outcome: Refunded | RefundProcessing | None
) -> None:
    told = of("refunds", action, {"refund": "RF1"}, metadata=REFUND_NOTED, details=WHY)
    declined = Declined(code=action, message="Not enough.", decline_code="insufficient_funds",
                        network_decline_code="AM04", status=action,
                        provider_refund_id="RF1")  # fmt: skip
    assert told == RefundNotice("refund-1", outcome or declined, "RF1")
    assert of("refunds", "paid", {"refund": "RF1"}) == Ignored("refund_paid_of_no_amount")


@pytest.mark.parametrize("field", ["links", "details", "resource_metadata", "action"])
@pytest.mark.parametrize("nonsense", [None, 1, "x", [], [1], {"payment": 1}, {"payment": None}])
def test_no_shape_of_an_event_makes_it_raise(field: str, nonsense: Any) -> None:
    for action in ("created", "paid_out", "charged_back", "failed", "cancelled"):
        told = PROVIDER.read_event(json.dumps({**json.loads(of_payment(action)), field: nonsense}))
        assert isinstance(told, Notice | LookUpNeeded | Ignored)


# What became of a payment at GoCardless, and the events that told of it, in the order they came to
# be; then how the attempt ends, and whether it is told that the money was taken back.
LIVES: Mapping[str, tuple[str, str | None, Sequence[str], State, bool]] = {
    "paid": ("paid_out", "PO1", ("created", "submitted", "confirmed", "paid_out"),
             State.SUCCEEDED, False),
    "failed": ("failed", None, ("created", "submitted", "failed"), State.FAILED, False),
    "failed late": ("failed", None, ("created", "submitted", "confirmed", "failed"),
                    State.FAILED, False),
    "failed after it was paid out": (
        "failed", "PO1", ("submitted", "confirmed", "paid_out", "failed", "late_failure_settled"),
        State.SUCCEEDED, True),
    "charged back": (
        "charged_back", "PO1",
        ("submitted", "confirmed", "paid_out", "charged_back", "chargeback_settled"),
        State.SUCCEEDED, True),
    "charged back before it was paid out": (
        "charged_back", None, ("created", "submitted", "confirmed", "charged_back"),
        State.SUCCEEDED, True),
    "charged back, and that was taken back": (
        "paid_out", "PO1",
        ("submitted", "confirmed", "charged_back", "chargeback_cancelled", "paid_out"),
        State.SUCCEEDED, True),
    "cancelled": ("cancelled", None, ("created", "cancelled"), State.FAILED, False),
    "denied": ("customer_approval_denied", None, ("created", "customer_approval_denied"),
               State.FAILED, False),
}  # fmt: skip
WORDS = {Paid: State.SUCCEEDED, Processing: State.PROCESSING, Declined: State.FAILED}


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("start", [State.SENT, State.UNKNOWN, State.PROCESSING])
def test_a_payments_events_come_to_the_same_end_in_any_order(life: str, start: State) -> None:
    status, payout, actions, end, is_reversed = LIVES[life]
    links = {"mandate": "MD1"} | ({"payout": payout} if payout else {})
    payment = msgspec.convert(
        {"id": "PM1", "amount": 1_000, "currency": "EUR", "status": status, "links": links}, Payment
    )
    for number in range(1, len(actions) + 1):
        for order in permutations(actions):
            # Each once, and the first few of them again.
            state, reversals, surprises = _live([*order, *order[:number]], payment, start)
            assert (state, reversals > 0, surprises) == (end, is_reversed, 0), order


def _live(order: Sequence[str], payment: Payment, state: State) -> tuple[State, int, int]:
    """Hear events in this order, as the core does; who asks is told what became of it by now."""
    reversals = surprises = 0
    for action in order:
        told = PROVIDER.read_event(of_payment(action))
        outcome: Any = None
        if isinstance(told, Notice):
            outcome = told.outcome
        elif isinstance(told, LookUpNeeded):
            outcome = payment_outcome(payment)
        if outcome is None:
            continue
        is_reversal = isinstance(outcome, Reversed | GivenBack)
        reversals += is_reversal
        meaning = move(state, State.SUCCEEDED if is_reversal else WORDS[type(outcome)])
        surprises += isinstance(meaning, Contradicted)
        state = meaning.to if isinstance(meaning, Moved) else state
    return state, reversals, surprises


@pytest.mark.parametrize(
    ("actions", "end"),
    [
        (("created", "paid", "refund_settled"), RefundState.SUCCEEDED),
        (("created", "failed"), RefundState.FAILED),
        (("created", "paid", "refund_settled", "funds_returned"), RefundState.FAILED),
    ],
)
def test_a_refunds_events_come_to_the_same_end_in_any_order(
    actions: Sequence[str], end: RefundState
) -> None:
    words = {Refunded: RefundState.SUCCEEDED, RefundProcessing: RefundState.PROCESSING,
             Declined: RefundState.FAILED}  # fmt: skip
    starts = (RefundState.SENT, RefundState.UNKNOWN, RefundState.PROCESSING)
    for state, order in product(starts, permutations(actions)):
        for action in order:
            told = of("refunds", action, {"refund": "RF1"}, metadata=REFUND_NOTED)
            assert isinstance(told, RefundNotice)
            news = words[type(told.outcome)]
            state = news if moves(state, news) else state
        assert state is end, order
