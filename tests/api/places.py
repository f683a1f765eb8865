"""Where the API names a row: in paths, queries and bodies, by the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

# A field whose name ends like this names a row. `payment_method` holds the id of one.
NAMES_A_ROW: Final = re.compile(r"(^|[._])(ids?|codes?|payment_method|search_term)$")
OF_OTHERS: Final = {
    "external_salesforce_id", "provider_customer_id", "provider_method_id", "provider_payment_id",
    "provider_refund_id",
    # These name what Recoup does not have: no row is found by them.
    "external_subscription_id", "event_transaction_id", "billable_metric_code",
}  # fmt: skip


class Place(msgspec.Struct, frozen=True):
    """A place of a call that names a row: the operation and what the place is called there."""

    method: str
    path: str
    name: str

    @property
    def operation(self) -> str:
        """As the tables have it, where PUT stands for PATCH as well."""
        return f"{'PUT' if self.method == 'PATCH' else self.method} {self.path}"

    @property
    def entry(self) -> str:
        return f"{self.operation} {self.name}"


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.removeprefix("/api/v1"), operation


def places_in_paths(document: Any) -> list[Place]:
    return [
        Place(method, path, place)
        for method, path, _ in operations(document)
        for place in re.findall(r"\w+/\{\w+\}", path)
    ]


def places_in_queries(document: Any) -> list[Place]:
    return [
        Place(method, path, one["name"])
        for method, path, operation in operations(document)
        for one in operation.get("parameters", [])
        if one["in"] == "query" and _is_filter_by_row(one["name"].removesuffix("[]"))
    ]


def places_in_bodies(document: Any) -> list[Place]:
    return [
        Place(method, path, field)
        for method, path, operation in operations(document)
        if "requestBody" in operation
        for field in fields_of(
            operation["requestBody"]["content"]["application/json"]["schema"], document
        )
        if _names_a_row(field)
    ]


def _is_filter_by_row(name: str) -> bool:
    return _names_a_row(name) or name in {"invoice_number", "purchase_order_number"}


def _names_a_row(field: str) -> bool:
    return bool(NAMES_A_ROW.search(field)) and field.rpartition(".")[2] not in OF_OTHERS


def fields_of(schema: Any, document: Any) -> list[str]:
    """The fields of a body that hold no others: `invoice.fees.add_on_code`."""
    if ref := schema.get("$ref"):
        schema = document["components"]["schemas"][ref.rpartition("/")[2]]
    kinds = [*schema.get("anyOf", []), *([schema["items"]] if schema.get("items") else [])]
    found = [field for kind in kinds for field in fields_of(kind, document)]
    for name, held in schema.get("properties", {}).items():
        found += [f"{name}.{field}" for field in fields_of(held, document)] or [name]
    return found


def filled(path: str, words: Mapping[str, str]) -> str:
    """The path with a word for each of its places, by the resource that is before it."""
    return re.sub(r"(\w+)/\{\w+\}", lambda place: f"{place[1]}/{words[place[1]]}", path)
