"""Which method is charged: never one that nobody chose, never another than was named."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.rules.method_choice import (
    NOBODYS_METHOD,
    ByTransfer,
    NoAttempt,
    Wish,
    choose_method,
    read_wish,
)
from recoup.rules.records.collection import BY_TRANSFER, Debt, Link, Method
from recoup.rules.records.keys import RowKey
from tests.rules.debts import a_debt

KEPT = [UUID(int=number) for number in range(1, 5)]
A_LINK = Link(
    customer=RowKey(UUID(int=0), UUID(int=9)),
    external_customer_id="c1",
    payment_provider="sandbox",
    payment_provider_code="sandbox",
    account_id=UUID(int=8),
    provider_customer_id="cus_1",
    methods=(Method(KEPT[0], "pm_1", True), Method(KEPT[1], "pm_2", False)),
)
DEFAULT, OTHER = A_LINK.methods

some_ids = st.sampled_from([*KEPT, NOBODYS_METHOD])
debts = st.builds(
    a_debt,
    payment_method_type=st.sampled_from([None, "provider", "manual"]),
    payment_method_id=st.none() | some_ids,
    self_billed=st.booleans(),
)
links = st.builds(
    lambda methods, default, **fields: msgspec.structs.replace(
        A_LINK,
        methods=tuple(Method(one, f"pm_{one.int}", one == default) for one in methods),
        **fields,
    ),
    st.lists(st.sampled_from(KEPT), unique=True),
    st.none() | some_ids,
    payment_provider=st.sampled_from([None, "sandbox"]),
    account_id=st.none() | some_ids,
    provider_customer_id=st.sampled_from([None, "cus_1"]),
    provider_payment_methods=st.sampled_from([(), ("card",), BY_TRANSFER]),
)
wishes = st.builds(Wish, manual=st.booleans(), method_id=st.none() | some_ids)


@settings(max_examples=1_000)
@given(wishes, debts, links)
def test_what_is_charged_was_chosen_by_somebody_or_the_reason_why_not_is_true(
    wish: Wish, debt: Debt, link: Link
) -> None:
    chosen = choose_method(wish, debt, link)
    if isinstance(chosen, NoAttempt):
        assert_true_reason(chosen, wish, debt, link)
        return
    assert (link.payment_provider, link.provider_customer_id) == ("sandbox", "cus_1")
    assert link.account_id is not None
    assert not wish.manual
    assert not debt.self_billed
    assert isinstance(chosen, ByTransfer) is link.pays_by_transfer
    if isinstance(chosen, ByTransfer):
        assert wish.method_id or debt.payment_method_type != "manual"
        return
    assert chosen in link.methods
    if wish.method_id is not None:
        assert chosen.id == wish.method_id
    else:
        assert debt.payment_method_type != "manual"
        own_is_kept = debt.payment_method_id in {method.id for method in link.methods}
        assert chosen.id == debt.payment_method_id if own_is_kept else chosen.is_default


def assert_true_reason(reason: NoAttempt, wish: Wish, debt: Debt, link: Link) -> None:
    kept = {method.id for method in link.methods}
    match reason:
        case NoAttempt.NOT_COLLECTABLE:
            assert debt.self_billed
        case NoAttempt.NO_PROVIDER:
            assert link.payment_provider is None or link.account_id is None
        case NoAttempt.NO_PROVIDER_CUSTOMER:
            assert link.provider_customer_id is None
        case NoAttempt.METHOD_IS_MANUAL:
            assert wish.manual or debt.payment_method_type == "manual"
        case NoAttempt.NO_METHOD:
            named = wish.method_id
            assert not link.pays_by_transfer
            assert named not in kept if named else not any(one.is_default for one in link.methods)


@pytest.mark.parametrize(
    ("wish", "debt", "chosen"),
    [
        (Wish(), a_debt(), DEFAULT),
        (Wish(method_id=OTHER.id), a_debt(), OTHER),
        (Wish(method_id=OTHER.id), a_debt(payment_method_type="manual"), OTHER),
        (Wish(method_id=KEPT[3]), a_debt(), NoAttempt.NO_METHOD),
        (Wish(), a_debt(payment_method_id=OTHER.id), OTHER),
        (Wish(), a_debt(payment_method_id=KEPT[3]), DEFAULT),
        (Wish(), a_debt(payment_method_type="manual"), NoAttempt.METHOD_IS_MANUAL),
        (Wish(manual=True), a_debt(), NoAttempt.METHOD_IS_MANUAL),
        (Wish(), a_debt(self_billed=True), NoAttempt.NOT_COLLECTABLE),
    ],
)
def test_the_choice_by_example(wish: Wish, debt: Debt, chosen: Method | NoAttempt) -> None:
    assert choose_method(wish, debt, A_LINK) == chosen


@pytest.mark.parametrize(
    ("wish", "debt", "chosen"),
    [
        (Wish(), a_debt(), ByTransfer()),
        (Wish(), a_debt(payment_method_id=OTHER.id), ByTransfer()),
        (Wish(method_id=OTHER.id), a_debt(), ByTransfer()),
        (Wish(manual=True), a_debt(), NoAttempt.METHOD_IS_MANUAL),
        (Wish(), a_debt(payment_method_type="manual"), NoAttempt.METHOD_IS_MANUAL),
        (Wish(), a_debt(self_billed=True), NoAttempt.NOT_COLLECTABLE),
    ],
)
def test_whoever_pays_by_transfer_is_asked_for_one_with_methods_and_without(
    wish: Wish, debt: Debt, chosen: ByTransfer | NoAttempt
) -> None:
    for methods in (A_LINK.methods, ()):
        link = msgspec.structs.replace(
            A_LINK, methods=methods, provider_payment_methods=BY_TRANSFER
        )
        assert choose_method(wish, debt, link) == chosen


def test_the_first_thing_that_is_missing_is_named() -> None:
    def choose(**missing: Any) -> Method | ByTransfer | NoAttempt:
        return choose_method(Wish(), a_debt(), msgspec.structs.replace(A_LINK, **missing))

    assert choose(payment_provider=None) is NoAttempt.NO_PROVIDER
    assert choose(account_id=None) is NoAttempt.NO_PROVIDER  # the account was deleted
    assert choose(provider_customer_id=None) is NoAttempt.NO_PROVIDER_CUSTOMER
    assert choose(methods=()) is NoAttempt.NO_METHOD


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        (None, Wish()),
        ("manual", Wish()),
        ([], Wish()),
        ({}, Wish()),
        ({"payment_method_type": "provider"}, Wish()),
        ({"payment_method_type": "manual", "payment_method_id": str(KEPT[0])}, Wish(manual=True)),
        ({"payment_method_id": None}, Wish()),
        ({"payment_method_id": str(KEPT[0])}, Wish(method_id=KEPT[0])),
        ({"payment_method_id": "pm_sandbox_ok"}, Wish(method_id=NOBODYS_METHOD)),
        ({"payment_method_id": 5}, Wish(method_id=NOBODYS_METHOD)),
    ],
)
def test_no_shape_is_refused(said: object, wish: Wish) -> None:
    assert read_wish(said) == wish
