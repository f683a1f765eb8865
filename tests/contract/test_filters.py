"""Every filter of the contract is in our OpenAPI: whoever asks by that asks by each."""

from __future__ import annotations

from typing import Final

from tests.contract.contract import Contract
from tests.contract.world import World

CUSTOMER: Final = ("{external_id}", "{external_customer_id}")  # our name in the path, and Lago's


async def test_every_filter_is_described(contract: Contract, world: World) -> None:
    described = (await world.ask("GET /openapi.json")).body["paths"]
    ours = {
        (f"{method.upper()} {path.removeprefix('/api/v1').replace(*CUSTOMER)}", one["name"])
        for path, methods in described.items()
        for method, said in methods.items()
        for one in said.get("parameters", ())
        if one["in"] == "query"
    }
    wanted = {
        (operation.key, name)
        for operation in contract.operations.values()
        for name in operation.queries
    }
    wanted |= set(contract.text.filters())
    assert len(wanted) > 130, "the contract names more"
    assert sorted(wanted - ours) == []
