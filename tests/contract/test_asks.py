"""Every field that the contract lets a caller send is in our OpenAPI, or named with why it is not.

What an operation takes as it comes (a payment method whose wrong fields are no error) is described
as anything, and holds every field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.contract import JSON, Contract
from tests.contract.differences import NEVER_ANSWERED, NEVER_READ
from tests.contract.test_filters import described_by
from tests.contract.world import World


def has(document: Any, schema: Any, path: Sequence[str]) -> bool:
    """Whether a described body has a place for this field."""
    if ref := schema.get("$ref"):
        schema = document["components"]["schemas"][ref.rpartition("/")[2]]
    if not path or not schema.keys() & {"anyOf", "items", "properties", "type"}:
        return True
    if "anyOf" in schema:
        return any(has(document, one, path) for one in schema["anyOf"])
    if path[0] == "[]":
        is_list = "array" in schema.get("type", "array")
        return is_list and has(document, schema.get("items", {}), path[1:])
    if "properties" not in schema:
        return schema.get("type") == "object"
    inner = schema["properties"].get(path[0])
    return inner is not None and has(document, inner, path[1:])


async def test_every_field_of_a_body_is_described(contract: Contract, world: World) -> None:
    document = (await world.ask("GET /openapi.json")).body
    asked = {
        (operation.key, field)
        for operation in contract.operations.values()
        for field in operation.fields
        if operation.key not in NEVER_ANSWERED
    }
    assert len(asked) > 200, "the contract names more"
    bodies = {
        key: said.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema", {})
        for key, said in described_by(document).items()
    }
    missing = {
        f"{key} {field}"
        for key, field in asked
        if not bodies[key] or not has(document, bodies[key], field.replace("[]", ".[]").split("."))
    }
    # Of what is missing as a whole, its fields go without saying.
    within = {one for one in missing if any(one.startswith((f"{of}.", f"{of}[")) for of in missing)}
    assert missing - within == set(NEVER_READ)
