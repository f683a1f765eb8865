"""A shop on real processes, `recoup serve` and `recoup sandbox`, for Lago's published clients."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import certifi
import httpx
import pytest
import pytest_asyncio
from lago_python_client import Client

from demo.receiver import Receiver
from tests.conftest import do_without
from tests.contract.conftest import contract as contract
from tests.contract.conftest import world as world
from tests.databases import as_owner
from tests.served import Served

HERE = Path(__file__).parent
INSTALL_WITHIN_SECONDS = 120


@dataclass(frozen=True)
class Shop:
    """An organization with the sandbox as its provider, and what is told to it."""

    api: str
    sandbox: str
    organization_id: str
    api_key: str
    client: Client
    receiver: Receiver
    dsn: str

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
            owner = await asyncpg.connect(as_owner(self.dsn))
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


@pytest.fixture(scope="module", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is encrypted here, and the Python client reads all certificates for every call.

    With one there is to read, that takes a hundredth of the time.
    """
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest_asyncio.fixture(scope="session")
async def shop(served: Served) -> AsyncIterator[Shop]:
    organization = await served.organization("Shop")
    client = Client(api_key=organization.api_key, api_url=served.api)
    with Receiver() as receiver:
        yield Shop(
            served.api, served.sandbox, organization.id, organization.api_key, client, receiver,
            served.dsn,
        )  # fmt: skip


@pytest.fixture(scope="session")
def new_name() -> Callable[[str], str]:
    """Names that no other test has taken: all of them share one shop."""
    numbers = count(1)
    return lambda what: f"{what}-{next(numbers)}"


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the client installed beside this file as package-lock.json has it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        do_without("Node.js and npm are not installed")
    if not (HERE / "node_modules").is_dir():
        installed = subprocess.run(
            [npm, "ci", "--no-update-notifier"], cwd=HERE, timeout=INSTALL_WITHIN_SECONDS,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if installed.returncode != 0:
            do_without(f"npm cannot install Lago's client: {installed.stderr.strip()}")
    return node
