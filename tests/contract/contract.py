"""The contract as the tests read it: its operations, its events, and what each must look like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from tests.contract.differences import ANSWERS, DIFFERENCES
from tests.contract.shapes import Schema, Shapes
from tests.contract.text import CUSTOMER as CUSTOMER
from tests.contract.text import INVOICE as INVOICE
from tests.contract.text import Text

JSON: Final = "application/json"
# What an object may have besides, by where it is shown.
EXTRAS: Final = {
    "invoice": (
        "customer", "billing_periods", "subscriptions", "fees", "credits", "metadata",
        "applied_taxes", "error_details", "applied_invoice_custom_sections",
    ),
    "customer": (
        "taxes", "integration_customers", "applicable_invoice_custom_sections", "error_details",
    ),
}  # fmt: skip


# Where the description forgets the key around the fields (section 3.2).
ROOTS: Final = {"PUT /billing_entities/{code}": "billing_entity"}


def names_in(path: str) -> list[str]:
    """The names that a path, or an operation, leaves open."""
    return re.findall(r"\{(\w+)\}", path)


class Operation:
    """One operation: a method and a path below `/api/v1`."""

    def __init__(self, key: str, said: Mapping[str, Any]) -> None:
        self.key = key
        self.method, self.path = key.split(" ")
        self.names = names_in(self.path)
        self.responses: Mapping[str, Any] = said["responses"]
        self.refusals = {int(status) for status in self.responses if status != "200"}
        self.queries = [one["name"] for one in said["parameters"] if one["in"] == "query"]
        self._request: Any = said.get("request")
        fields = self._request["fields"] if self._request else {}
        self.fields: Sequence[str] = list(fields.get(JSON, ()))  # of its body, with their dots

    @property
    def root(self) -> str | None:
        """The key of its body without which there is nothing to do; None: it can do without."""
        if not self._request or "400" not in self.responses:
            return None
        if self.key in ROOTS:
            return ROOTS[self.key]
        return next(iter(self._request["fields"][JSON])).partition(".")[0]


class Contract:
    """What Lago says (the JSON) and does (the text)."""

    def __init__(self, folder: Path) -> None:
        self.json: dict[str, Any] = json.loads((folder / "lago-contract.json").read_text("utf-8"))
        self.text = Text(folder / "lago-contract.md")
        self.shapes = Shapes(self.json, self.text, {one.where: one for one in DIFFERENCES})
        self.operations = {
            key: Operation(key, said) for key, said in self.json["operations"].items()
        }
        self.includes = self.text.includes()
        self._made: dict[tuple[str, int], Schema | None] = {}

    def answer(self, operation: str, status: int) -> Schema | None:
        """What an answer of this status looks like; None: its body is empty.

        Of an operation that the text alone has, only the refusals are known.
        """
        key = (operation, status)
        if key not in self._made:
            known = self.operations.get(operation)
            self._made[key] = self._answer(known, status) if known else self._refusal(status)
        return self._made[key]

    def _answer(self, operation: Operation, status: int) -> Schema | None:
        if status == 200 and operation.key in ANSWERS:
            root, name = ANSWERS[operation.key]
            return self.shapes.make({"properties": {root: self.shapes.tree(name)}})
        said = operation.responses.get(str(status))
        if said is None:  # any operation may refuse for reasons of the others (section 9)
            return self._refusal(status)
        if (content := said["content"]) is None:
            return None
        (tree,) = content.values()
        name = tree.get("schema")
        return self.shapes.make(self.json["schemas"][name] if name else tree)

    def _refusal(self, status: int) -> Schema:
        return self.shapes.make(self.json["schemas"][REFUSALS[status]])

    def without_extras(self, operation: str, body: Any) -> Iterator[str]:
        """The keys that should go along with an invoice or a customer, and do not; or the reverse.

        They depend on the operation alone, which the schemas do not know.
        """
        if (wanted := self.includes.get(operation)) is None:
            return
        for root, extras in EXTRAS.items():
            things = body[f"{root}s"] if f"{root}s" in body else [body.get(root)]
            for thing in filter(None, things):
                there = {key for key in extras if key in thing}
                if there != wanted:
                    yield f"{root}: has {sorted(there)} besides, and should have {sorted(wanted)}"


REFUSALS: Final = {
    400: "ApiErrorBadRequest",
    401: "ApiErrorUnauthorized",
    403: "ApiErrorForbidden",
    404: "ApiErrorNotFound",
    405: "ApiErrorNotAllowed",
    422: "ApiErrorUnprocessableEntity",
    429: "ApiErrorUnprocessableEntity",  # which it looks like by the text: there is none of its own
}


def faults(schema: Schema, value: Any) -> list[str]:
    """What is wrong with a value, a line for each."""
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in validator.iter_errors(value)
    ]
