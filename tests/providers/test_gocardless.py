"""GoCardless's adapter, against a GoCardless of the tests' own over HTTP.

What the suite cannot ask, since GoCardless alone has it, is beside it in `test_gocardless_*`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from recoup.providers.protocol import Declined, Processing, StoredMethod
from tests.providers.conformance import ProviderConformance
from tests.providers.gocardless_stand_in import GoCardlessStandIn, a_charge
from tests.providers.gocardless_stub import Schemas, gocardless_stub


class TestGoCardless(ProviderConformance):
    """A direct debit: taken at once, paid days later."""

    paid_by = "MD1"
    open_by = "MD1"  # until it goes to the banks, with the next batch
    unknown_method = "MD_OF_NOBODY"
    words: ClassVar = {"MD1": Processing, "MD_APPROVING": Processing, "MD_FAILING": Declined}

    @pytest.fixture
    def psp(self, gocardless: GoCardlessStandIn) -> GoCardlessStandIn:
        """The stub, and an account there."""
        return gocardless


async def test_what_is_asked_and_answered_fits_the_official_types(shared: Path) -> None:
    official = Schemas(shared)
    async with gocardless_stub(official) as stub:
        psp = GoCardlessStandIn(stub)
        assert isinstance(await psp.provider.charge(a_charge(psp.provider)), Processing)
        assert isinstance(await psp.provider.find_method("MD1", "CU1"), StoredMethod)
    assert set(official.held) == {"PaymentCreateRequest", "Payment", "Mandate"}
