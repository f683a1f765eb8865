"""What the tests lean on, tested where it could let them down."""

from __future__ import annotations

import pytest

from tests.conftest import eventually


async def test_a_wait_in_vain_fails_and_says_what_for() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(AssertionError, match=r"waited 0\.1 s in vain until the cows come home"):
        await eventually(never, within_seconds=0.1, what="the cows come home")


async def test_a_time_out_of_what_is_asked_is_no_wait_in_vain() -> None:
    async def breaks() -> bool:
        raise TimeoutError("the server's")

    with pytest.raises(TimeoutError, match="the server's"):
        await eventually(breaks, what="it answers")
