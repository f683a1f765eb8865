"""The suite's own modules tell what they compared, as test modules do; localstripe runs once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.providers.stripe_world import localstripe

SUITE = sorted(Path(__file__).parent.glob("on_*.py"))

pytest.register_assert_rewrite(*(f"tests.providers.{module.stem}" for module in SUITE))


@pytest.fixture(scope="session")
def localstripe_base() -> Iterator[str]:
    """Where localstripe is, in a process of its own."""
    with localstripe() as base:
        yield base
