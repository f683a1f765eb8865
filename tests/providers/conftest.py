"""The suite's own modules tell what they compared, as test modules do; localstripe runs once.

GoCardless is run anew for each test that asks for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.providers.gocardless_stand_in import GoCardlessStandIn, schemas
from tests.providers.gocardless_stub import gocardless_stub
from tests.providers.stripe_world import localstripe

SUITE = sorted(Path(__file__).parent.glob("on_*.py"))

pytest.register_assert_rewrite(*(f"tests.providers.{module.stem}" for module in SUITE))


@pytest.fixture(scope="session")
def localstripe_base() -> Iterator[str]:
    """Where localstripe is, in a process of its own."""
    with localstripe() as base:
        yield base


@pytest_asyncio.fixture
async def gocardless() -> AsyncIterator[GoCardlessStandIn]:
    """A GoCardless, and somebody with an account there."""
    async with gocardless_stub(schemas()) as stub:
        yield GoCardlessStandIn(stub)
