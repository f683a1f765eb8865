"""The contract, and a caller of the served API who keeps every answer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import pytest
import pytest_asyncio

from demo.receiver import Receiver
from tests.conftest import do_without
from tests.contract.contract import Contract
from tests.contract.world import World
from tests.served import Served

FOLDER: Final = Path(os.environ.get("RECOUP_SHARED", "../shared")).resolve() / "contract"
# Read before the tests are collected: there is one for each operation.
CONTRACT: Final = Contract(FOLDER) if FOLDER.is_dir() else None


@pytest.fixture(scope="session")
def contract() -> Contract:
    if CONTRACT is None:
        do_without(f"no contract at {FOLDER}: set RECOUP_SHARED")
    return CONTRACT


@pytest_asyncio.fixture(scope="session")
async def world(contract: Contract, served: Served) -> AsyncIterator[World]:
    """An organization that is told of everything."""
    organization = await served.organization("Acme Ltd")
    async with httpx.AsyncClient(base_url=served.api, timeout=30) as client:
        with Receiver() as receiver:
            made = World(served, organization, client, receiver, contract)
            asked = {"webhook_url": receiver.url}
            await made.do("POST /webhook_endpoints", {"webhook_endpoint": asked})
            yield made
