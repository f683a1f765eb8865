"""Every filter of the contract is in our OpenAPI, by which the fuzz test asks, and in the bench.

What each of them finds, the tests of its list say.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from bench import lists
from tests.contract.contract import Contract
from tests.contract.world import World

CUSTOMER: Final = ("{external_id}", "{external_customer_id}")  # our name in the path, and Lago's


def described_by(document: Any) -> dict[str, Any]:
    """The operations of our OpenAPI document, by what the contract calls them."""
    return {
        f"{method.upper()} {path.removeprefix('/api/v1').replace(*CUSTOMER)}": said
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    }


async def test_every_filter_is_described(contract: Contract, world: World) -> None:
    document = (await world.ask("GET /openapi.json")).body
    ours = {
        (key, one["name"])
        for key, said in described_by(document).items()
        for one in said.get("parameters", ())
        if one["in"] == "query"
    }
    assert sorted(filters_of(contract) - ours) == []


def test_every_filter_is_measured(contract: Contract) -> None:
    measured = {
        (f"GET {path.replace('/customer-7', '/{external_customer_id}')}", name)
        for path, queries in lists.LISTS.items()
        for query in queries
        for name, _ in parse_qsl(re.sub(r"metadata\[\w+\]", "metadata[key]", query), True)
    }
    wanted = {one for one in filters_of(contract) if one[1] not in {"page", "per_page"}}
    assert len(wanted) > 100, "the contract names more"
    assert sorted(wanted - measured) == []


def filters_of(contract: Contract) -> set[tuple[str, str]]:
    """Each list of the contract, with each parameter that it may have."""
    described = {
        (operation.key, name)
        for operation in contract.operations.values()
        for name in operation.queries
    }
    return described | set(contract.text.filters())
