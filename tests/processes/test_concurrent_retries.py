"""Many callers at the same moment: one of them gets the attempt, and the payer pays once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.conftest import eventually
from tests.processes.conftest import Installation

INVOICES = 100
CALLERS = 8
IN_FLIGHT = (405, "payment_processor_is_currently_handling_payment")
PAID = (405, "invalid_status")
FEWEST_IN_FLIGHT = INVOICES  # where all came late, nobody was there at the same moment


@pytest.mark.slow
async def test_of_many_callers_one_begins_the_attempt(installation: Installation) -> None:
    sandbox = await installation.start_sandbox()
    server = await installation.start("serve", "--port", "0")
    shop = await installation.new_tenant(server.url, sandbox.url)
    try:
        invoices = await shop.invoices(["pm_sandbox_ok"] * 10, each=INVOICES // 10)
        answers = await asyncio.gather(
            *(shop.retry(invoice) for invoice in invoices for _ in range(CALLERS))
        )
        asked = [invoice for invoice in invoices for _ in range(CALLERS)]
        begun = Counter(
            invoice
            for invoice, (status, attempt, _) in zip(asked, answers, strict=True)
            if status == 200 and attempt
        )
        assert begun == dict.fromkeys(invoices, 1)
        others = Counter((status, said["code"]) for status, _, said in answers if status != 200)
        assert others.total() == INVOICES * (CALLERS - 1)
        assert set(others) <= {IN_FLIGHT, PAID}
        assert others[IN_FLIGHT] >= FEWEST_IN_FLIGHT, others

        async def all_are_paid() -> bool:
            return await shop.count("succeeded") == INVOICES

        await eventually(all_are_paid, within_seconds=60, what="every invoice is paid")
        assert await shop.paid() == dict.fromkeys(invoices, 1)
        assert len(await shop.charges()) == INVOICES
    finally:
        await shop.close()
    status, checked = await installation.run("check")
    assert status == 0, checked
