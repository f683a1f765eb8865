"""What Adyen turns away, and answers that are about something else."""

from __future__ import annotations

import msgspec
import pytest

from recoup.providers.adyen import AdyenProvider
from recoup.providers.protocol import Charge, Declined, Lost
from tests.providers.adyen_webhooks import REFERENCE
from tests.providers.nonsense import liar
from tests.providers.stand_in import KEY
from tests.providers.test_adyen import SECRETS, an_error


# Adyen's four types of errors, and codes of each: a definite no, or nothing that can be relied on.
@pytest.mark.parametrize(
    ("status", "code", "kind", "word"),
    [
        (422, "800", "validation", Declined),
        (422, "14_030", "validation", Declined),
        (400, "702", "validation", Declined),
        (401, "000", "security", Lost),  # our key: nobody's decline
        (403, "901", "security", Declined),
        (422, "905", "configuration", Declined),
        (500, "905", "configuration", Lost),
        (422, "000", "internal", Lost),
        (422, "701", "validation", Lost),
        (422, "703", "validation", Lost),
        (422, "704", "validation", Lost),
        (422, "903", "validation", Lost),
        (422, "904", "validation", Lost),
        (404, "000", "validation", Lost),
    ],
)
async def test_what_is_turned_away_and_what_says_nothing(
    status: int, code: str, kind: str, word: type
) -> None:
    async with liar() as server:
        server.status, server.body = status, an_error(code, kind)
        provider = AdyenProvider(SECRETS, base=server.base)
        request = msgspec.json.encode({
            "amount": {"value": 1, "currency": "EUR"}, "reference": REFERENCE, "paymentMethod": {},
        }).decode()  # fmt: skip
        told = await provider.charge(Charge(KEY, request))
        assert isinstance(told, word)


@pytest.mark.parametrize(
    "said",
    [{"shopperReference": "cus_2"}, {}, {"shopperReference": "cus_1", "storedPaymentMethods": 1}],
    ids=["of another", "of nobody", "no list"],
)
async def test_a_list_of_somebody_elses_methods_is_not_this_shoppers(said: object) -> None:
    async with liar() as server:
        server.body = msgspec.json.encode(said)
        provider = AdyenProvider(SECRETS, base=server.base)
        assert isinstance(await provider.list_methods("cus_1"), Lost)
        assert isinstance(await provider.find_method("paid", "cus_1"), Lost)
