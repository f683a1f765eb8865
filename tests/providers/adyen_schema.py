"""Check what is sent to Adyen, and what a stand-in answers, by Adyen's own description of Checkout.

It is `adyen-checkout-v72.json`, whose objects are closed: a misspelt name is found as well.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

JSON = "application/json"


def description() -> Path | None:
    """Adyen's own description, where it lies beside the project."""
    found = Path(os.environ.get("RECOUP_SHARED", "../shared")) / "psp" / "adyen-checkout-v72.json"
    return found if found.is_file() else None


class AdyenSchema:
    """What may be sent to which path, and what may be answered."""

    def __init__(self, description: Path) -> None:
        said = json.loads(description.read_bytes())
        self._components = said["components"]
        self._paths: Mapping[str, Any] = said["paths"]
        self._patterns = {
            path: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in self._paths
        }
        self._validators: dict[str, Any] = {}

    def wrong_request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes
    ) -> str | None:
        """Why Adyen would not take it; None: it is right."""
        operation = self._operation(method, path)
        if operation is None:
            return "no such path"
        parameters = {one["name"] for one in operation["parameters"] if one.get("in") == "query"}
        if unknown := set(query) - parameters:
            return f"unknown parameters {sorted(unknown)}"
        if "requestBody" not in operation:
            return "it has a body" if body else None
        return self._wrong(operation["requestBody"]["content"][JSON]["schema"], body)

    def wrong_answer(self, method: str, path: str, status: int, body: bytes) -> str | None:
        """Why Adyen would not say so; None: it might."""
        operation = self._operation(method, path)
        assert operation is not None, "what is answered was asked for"
        response = operation["responses"].get(str(status))
        if response is None:
            return f"{status} is not described"
        return self._wrong(response["content"][JSON]["schema"], body)

    def _operation(self, method: str, path: str) -> Mapping[str, Any] | None:
        for known, pattern in self._patterns.items():
            if pattern.fullmatch(path) and method.lower() in self._paths[known]:
                found: Mapping[str, Any] = self._paths[known][method.lower()]
                return {**found, "parameters": [self._at(one) for one in found["parameters"]]}
        return None

    def _at(self, named: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a `#/components/…` stands for."""
        if "$ref" not in named:
            return named
        found = self._components
        for step in named["$ref"].split("/")[2:]:
            found = found[step]
        return dict(found)

    def _wrong(self, schema: Mapping[str, Any], body: bytes) -> str | None:
        name = json.dumps(schema)
        if name not in self._validators:
            whole = {**schema, "components": self._components}
            self._validators[name] = jsonschema_rs.validator_for(whole)
        errors = [error.message for error in self._validators[name].iter_errors(json.loads(body))]
        return errors[0][:500] if errors else None
