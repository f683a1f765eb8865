"""Check a form for Stripe against Stripe's own description of its API.

Only the official description says which parameters there are; its objects are closed here on
loading, since there a misspelt name one level down goes through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

FORM = "application/x-www-form-urlencoded"
NUMBER = re.compile(r"-?\d+")


class StripeSchema:
    """What may be sent to which path, by `stripe-trim2.json`."""

    def __init__(self, description: Path) -> None:
        self._paths: Mapping[str, Any] = json.loads(description.read_bytes())["paths"]
        self._patterns = {
            path: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in self._paths
        }
        self._validators: dict[str, Any] = {}

    def complaint(self, method: str, path: str, pairs: Iterable[tuple[str, str]]) -> str | None:
        """Why Stripe would not take it; None: it is right, or the description has no such path."""
        found = [one for one, pattern in self._patterns.items() if pattern.fullmatch(path)]
        # `/v1/charges/search` fits the pattern for one charge as well: the longer name is meant.
        known = max(found, key=lambda one: (one.count("{") == 0, len(one)), default=None)
        if known is None or method.lower() not in self._paths[known]:
            return None
        operation = self._paths[known][method.lower()]
        if method == "GET":
            names = {one["name"] for one in operation["parameters"]}
            unknown = [name for name, _ in pairs if name.partition("[")[0] not in names]
            return f"unknown parameter {unknown[0]}" if unknown else None
        schema = operation["requestBody"]["content"][FORM]["schema"]
        validator = self._validators.get(known)
        if validator is None:
            validator = jsonschema_rs.validator_for(_closed(schema))
            self._validators[known] = validator
        errors = [error.message for error in validator.iter_errors(_typed(nested(pairs), schema))]
        return errors[0] if errors else None


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Turn `a[b][0]=c` into `{"a": {"b": ["c"]}}`."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, *inner = re.findall(r"[^\[\]]+", name)
        place = tree
        for key, following in zip([head, *inner], inner, strict=False):
            place = place.setdefault(key, {})
            assert isinstance(place, dict), f"{name} is a value and has parts ({following})"
        place[[head, *inner][-1]] = value
    return {key: _lists(value) for key, value in tree.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(one) for key, one in value.items()}
    if inner and all(key.isdecimal() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Read the texts of a form as what the schema has in their places."""
    options = [schema, *schema.get("anyOf", [])]
    if isinstance(value, dict):
        known = {
            key: one for option in options for key, one in option.get("properties", {}).items()
        }
        return {key: _typed(one, known.get(key, {})) for key, one in value.items()}
    if isinstance(value, list):
        items = next((option["items"] for option in options if "items" in option), {})
        return [_typed(one, items) for one in value]
    types = {option.get("type") for option in options}
    if "boolean" in types and value in {"true", "false"}:
        return value == "true"
    if "integer" in types and NUMBER.fullmatch(value):
        return int(value)
    return value


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(one) for key, one in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
