"""The suite's own modules tell what they compared, as test modules do."""

from __future__ import annotations

from pathlib import Path

import pytest

SUITE = sorted(Path(__file__).parent.glob("on_*.py"))

pytest.register_assert_rewrite(*(f"tests.providers.{module.stem}" for module in SUITE))
