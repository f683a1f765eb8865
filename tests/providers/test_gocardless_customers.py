"""GoCardless's customers and their mandates, and the page where a mandate is given."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from recoup.providers.protocol import (
    CustomerMade,
    Declined,
    Lost,
    NewCustomer,
    NotKnown,
    Page,
    SetUpOrder,
    StoredMethod,
)
from tests.providers.gocardless_stand_in import GoCardlessStandIn, a_charge
from tests.providers.nonsense import liar


async def test_a_customer_has_the_names_that_gocardless_asks_for(
    gocardless: GoCardlessStandIn,
) -> None:
    new = NewCustomer(
        idempotency_key="customer-1", name="Acme", firstname=None, lastname=None,
        email="acme@example.com", country="DE", metadata={"lago_customer_id": "1", "a": "2"},
    )  # fmt: skip
    before = len(gocardless.stub.books["customers"])
    made = [await gocardless.provider.create_customer(new) for _ in range(2)]
    [customer] = gocardless.stub.books["customers"][before:]
    assert made == [CustomerMade(customer["id"])] * 2
    assert (customer["company_name"], customer["country_code"]) == ("Acme", "DE")
    nobody = msgspec.structs.replace(new, idempotency_key="customer-2", name=None)
    assert await gocardless.provider.create_customer(nobody) == Declined(code="validation_failed")


@pytest.mark.parametrize(
    ("status", "is_usable"),
    [
        ("pending_customer_approval", True), ("pending_submission", True), ("submitted", True),
        ("active", True), ("suspended_by_payer", False), ("cancelled", None), ("failed", None),
        ("expired", None), ("consumed", None), ("blocked", None),
    ],
)  # fmt: skip
async def test_a_mandate_is_a_method_until_it_ends(
    gocardless: GoCardlessStandIn, status: str, is_usable: bool | None
) -> None:
    gocardless.stub.mandate("MD9", status=status, customer="CU9")
    method = None if is_usable is None else StoredMethod(
        provider_method_id="MD9", provider_customer_id="CU9", is_usable=is_usable,
        details={"type": "sepa_core"},
    )  # fmt: skip
    assert await gocardless.provider.find_method("MD9", "CU9") == (method or NotKnown())
    assert await gocardless.provider.find_method("MD9", None) == (method or NotKnown())
    assert await gocardless.provider.find_method("MD9", "CU1") == NotKnown()
    assert await gocardless.provider.list_methods("CU9") == ([method] if method else [])


async def test_methods_are_listed_to_the_end_and_of_this_customer_alone(
    gocardless: GoCardlessStandIn,
) -> None:
    gocardless.stub.longest_page = 2
    for number in range(5):
        gocardless.stub.mandate(f"MD9{number}", customer="CU9")
    listed = await gocardless.provider.list_methods("CU9")
    assert not isinstance(listed, NotKnown | Lost)
    assert [method.provider_method_id for method in listed] == [f"MD9{n}" for n in (4, 3, 2, 1, 0)]
    assert await gocardless.provider.list_methods("CU_OF_NOBODY") == NotKnown()
    async with liar() as server:  # which has filtered by nobody
        theirs = {"id": "MD1", "status": "active", "links": {"customer": "CU1"}}
        server.body = msgspec.json.encode(
            {"mandates": [theirs], "meta": {"cursors": {"after": None}}}
        )
        assert isinstance(await gocardless.asking(server.base).list_methods("CU9"), Lost)


async def test_a_page_is_opened_for_a_new_mandate(gocardless: GoCardlessStandIn) -> None:
    wanted = SetUpOrder(
        idempotency_key="set-up-1", provider_customer_id="CU1", currency="EUR",
        return_url="https://shop.example/back", method_types=(), metadata={"lago_customer_id": "1"},
    )  # fmt: skip
    for _ in range(2):
        page = await gocardless.provider.set_up_page(wanted)
        assert page == Page(
            "BRQ1", "https://pay.gocardless.com/flow/BRQ1", datetime(2027, 3, 8, 12, tzinfo=UTC)
        )
    assert len(gocardless.stub.books["billing_requests"]) == 1
    of_nobody = msgspec.structs.replace(
        wanted, idempotency_key="set-up-2", provider_customer_id="CU_OF_NOBODY"
    )
    told = await gocardless.provider.set_up_page(of_nobody)
    assert told == Declined(code="resource_not_found"), "no mandate was asked for, so none is gone"


@pytest.mark.parametrize(
    "awkward", ["", ".", "..", "MD1/actions/cancel", "MD1?", "#", "\0", "M" * 256]
)
async def test_what_can_be_no_id_of_gocardlesss_is_not_known_and_not_asked_for(
    gocardless: GoCardlessStandIn, awkward: str
) -> None:
    assert await gocardless.provider.find_method(awkward, None) == NotKnown(was_asked=False)
    assert await gocardless.provider.list_methods(awkward) == NotKnown(was_asked=False)
    assert gocardless.stub.requests == []


async def test_a_customer_whose_data_was_removed_is_gone(gocardless: GoCardlessStandIn) -> None:
    async with liar() as server:
        error = {"type": "invalid_state", "errors": [{"reason": "customer_data_removed"}]}
        server.status, server.body = 410, msgspec.json.encode({"error": error})
        provider = gocardless.asking(server.base)
        assert await provider.find_method("MD1", "CU1") == NotKnown()
        assert await provider.list_methods("CU1") == NotKnown()
        told = await provider.charge(a_charge(provider))
        assert told == Declined(code="customer_data_removed", method_is_gone=True)
        assert await provider.charge(a_charge(provider, sent_before=True)) == Lost("http_410")


@pytest.mark.parametrize("scheme", ["\0", "Sepa Core", "s" * 65, 1, []])
async def test_a_scheme_that_is_no_word_is_not_believed(
    gocardless: GoCardlessStandIn, scheme: object
) -> None:
    async with liar() as server:
        mandate = {"id": "MD1", "status": "active", "links": {"customer": "CU1"}, "scheme": scheme}
        server.body = msgspec.json.encode({"mandates": mandate})
        told = await gocardless.asking(server.base).find_method("MD1", "CU1")
        assert told == Lost("unreadable_answer")
