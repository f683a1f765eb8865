"""A shop on real processes, `recoup serve` and `recoup sandbox`, for Lago's published clients."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from lago_python_client import Client

from demo.processes import Program, ask_recoup, own_environment
from demo.receiver import Receiver


@dataclass(frozen=True)
class Shop:
    """An organization with the sandbox as its provider, and what is told to it."""

    api: str
    sandbox: str
    organization_id: str
    api_key: str
    client: Client
    receiver: Receiver
    data: Path

    def owes(self, customer: str, add_on: str) -> str:
        """Issue an invoice that is not charged, which the Python client has no word for."""
        asked = {"external_customer_id": customer, "currency": "EUR", "skip_psp": True}
        answer = httpx.post(
            f"{self.api}/api/v1/invoices",
            json={"invoice": asked | {"fees": [{"add_on_code": add_on}]}},
            headers={"Authorization": f"Bearer {self.api_key}"},
        )
        return str(answer.raise_for_status().json()["invoice"]["lago_id"])

    def let_be_overdue(self, *invoice_ids: str) -> None:
        """Have invoices become overdue today: no call can, and the clock does so tomorrow."""

        async def mark() -> None:
            socket = (self.data / "postgres" / "postmaster.pid").read_text().splitlines()[4]
            owner = await asyncpg.connect(host=socket, user="postgres", database="recoup")
            await owner.execute(
                "UPDATE invoices SET payment_overdue = true WHERE id = ANY ($1::uuid[])",
                invoice_ids,
            )
            await owner.close()

        asyncio.run(mark())

    def attach(self, customer: str, method: str) -> str:
        """Attach a payment method, which Lago's clients cannot; answer its id."""
        answer = httpx.post(
            f"{self.api}/api/v1/customers/{customer}/payment_methods",
            json={"payment_method": {"provider_method_id": method}},
            headers={"Authorization": f"Bearer {self.api_key}"},
        )
        return str(answer.raise_for_status().json()["payment_method"]["lago_id"])

    def charges(self, invoice_id: str) -> list[dict[str, Any]]:
        """What the sandbox has in its books for an invoice."""
        booked = httpx.get(f"{self.sandbox}/charges").raise_for_status().json()["charges"]
        return [one for one in booked if one["metadata"].get("lago_invoice_id") == invoice_id]


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recoup-lago-")))

        def start(*arguments: str, **settings: str) -> str:
            environment = own_environment(folder, **settings)
            log = folder / f"{arguments[0]}.log"
            program = Program(*arguments, environment=environment, log=log)
            return stack.enter_context(program).wait_until_ready()

        sandbox = start("sandbox", "--port", "0", "--ledger", str(folder / "sandbox.sqlite"))
        api = start(
            "serve", "--port", "0",
            RECOUP_SANDBOX_API_BASE=sandbox,
            RECOUP_WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8",
        )  # fmt: skip
        environment = own_environment(folder)
        made = ask_recoup("organization", "create", "Shop", environment=environment)
        link = ("--organization", made["organization_id"], "--code", "cards")
        ask_recoup("provider", "add", "sandbox", *link, environment=environment)
        client = Client(api_key=made["api_key"], api_url=api)
        receiver = stack.enter_context(Receiver())
        yield Shop(api, sandbox, made["organization_id"], made["api_key"], client, receiver, folder)


@pytest.fixture(scope="session")
def new_name() -> Callable[[str], str]:
    """Names that no other test has taken: all of them share one shop."""
    numbers = count(1)
    return lambda what: f"{what}-{next(numbers)}"
