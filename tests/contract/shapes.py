"""Makes JSON Schema from the contract: what an answer or an event of ours must look like.

The contract's JSON is Lago's published description, its text what Lago's code does; where they
differ the code wins (section 9). So the keys that the text lists are there, may be null where it
says so, and hold its words; the rest is as described. Every key of an object must be there and no
other may, unless `differences.py` says why.

A key is named by the smallest object that has it: `InvoiceBaseObject.number`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.contract.differences import ALWAYS_EMPTY, Difference, Kind
from tests.contract.text import Field, Text

Schema = dict[str, Any]
KEY: Final = "x-key"  # by what name a schema's difference is known
# Whole seconds and `Z` (section 1.1); the one instant that is written with its fraction.
INSTANT: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
INSTANT_WITH_FRACTION: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
FRACTIONS: Final = frozenset({"payment_dispute_lost_at"})
_KEPT: Final = ("type", "enum", "pattern", "maxLength", "minimum")


class Shapes:
    """Turns the contract's trees into JSON Schema."""

    def __init__(
        self,
        contract: Mapping[str, Any],
        text: Text,
        differences: Mapping[str, Difference],
    ) -> None:
        self._text = text
        self._differences = differences
        self._bases: dict[str, list[str]] = {}
        self._own: dict[str, set[str]] = {}
        self._named: dict[str, Any] = {}
        # Keys of Lago's code that its description lacks, by object.
        self._rails_only = {
            one["schema"]: [Field(key, may_be_null=False, schema={}) for key in one["rails_only"]]
            for one in contract["rails_delta"].values()
            if one.get("rails_only")
        }
        self._learn(contract["schemas"])
        self._learn({name: one["responses"] for name, one in contract["operations"].items()})
        self.known_keys: set[str] = set()  # of all that were made

    def make(self, tree: Mapping[str, Any], name: str = "") -> Schema:
        """Make the schema of a tree. `name` is for an object that the contract leaves unnamed."""
        if "properties" in tree:
            return self._object(tree, name)
        made: Schema = {key: tree[key] for key in _KEPT if key in tree}
        if "items" in tree:
            made["items"] = self.make(tree["items"], name)
        if isinstance(free := tree.get("additionalProperties"), Mapping):
            made["additionalProperties"] = self.make(free, name)
        self._add_format(made, tree, name.rpartition(".")[2])
        if tree.get("nullable"):
            made = or_null(made)
        return made

    def named(self, name: str) -> Schema:
        """Make the schema of an object by the contract's name for it."""
        return self.make(self.tree(name))

    def tree(self, name: str) -> Mapping[str, Any]:
        """The contract's tree of an object."""
        found: Mapping[str, Any] = self._named[name]
        return found

    def keys_of(self, schema: Schema) -> set[str]:
        """The known names of all keys that a value of this schema can have."""
        found: set[str] = set()
        for branch in _branches(schema):
            for below in branch.get("properties", {}).values():
                found |= ({below[KEY]} if KEY in below else set()) | self.keys_of(below)
            if "items" in branch:
                found |= self.keys_of(branch["items"])
        return found

    def lineage(self, tree: Mapping[str, Any]) -> list[str]:
        """The names of an object, the smallest part of it first."""
        found: list[str] = []
        if name := tree.get("schema_name"):
            for base in [*tree.get("composed_of", ()), *self._bases.get(name, ())]:
                found += [one for one in self._up(base) if one not in found]
            found.append(name)
        return found

    def _up(self, name: str) -> Iterator[str]:
        for base in self._bases.get(name, ()):
            yield from self._up(base)
        yield name

    def _object(self, tree: Mapping[str, Any], name: str) -> Schema:
        lineage = self.lineage(tree)
        said: dict[str, Field] = {}
        for one in lineage:
            said |= {field.name: field for field in self._rails_only.get(one, ())}
            said |= self._text.fields(one)
        properties: dict[str, Schema] = {}
        required: list[str] = []
        trees: dict[str, Any] = dict(tree.get("properties", {}))
        trees |= {key: _guessed(field) for key, field in said.items() if key not in trees}
        owners = {key: self._owner(lineage, key, name) for key in trees}
        mine = {*lineage, name} - {""}
        for difference in self._differences.values():
            whose, _, key = difference.where.rpartition(".")
            if difference.kind is Kind.MORE and whose in mine:
                plain = difference.schema or {"type": "object"}
                trees[key] = self._named[difference.of] if difference.of else plain
                owners[key] = whose
        for key, below in trees.items():
            known_as = f"{owners[key]}.{key}"
            self.known_keys.add(known_as)
            schema = self.make(below, known_as)
            different = self._differences.get(known_as)
            kind = different.kind if different else None
            if key in said:
                schema = self._as_said(schema, said[key], is_filled=kind is Kind.FILLED)
            if kind is Kind.NEVER:
                continue
            if different and kind is Kind.ALSO:
                schema = {"anyOf": [schema, different.schema]}
            if kind is Kind.FILLED:
                schema = {"anyOf": [schema, {"const": ""}]}
            if kind is Kind.NULL:
                schema = {"type": "null"}
            if known_as in ALWAYS_EMPTY:
                schema = {"enum": [[], {}]}
            if kind not in {Kind.SOMETIMES, Kind.MORE}:
                required.append(key)
            properties[key] = {**schema, KEY: known_as}
        made: Schema = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
        is_nullable = "null" in tree.get("type", ()) or tree.get("nullable")
        return or_null(made) if is_nullable else made

    def _owner(self, lineage: list[str], key: str, name: str) -> str:
        for one in lineage:
            if key in self._own.get(one, ()) or key in self._text.fields(one):
                return one
        return lineage[-1] if lineage else name

    def _as_said(self, schema: Schema, field: Field, *, is_filled: bool) -> Schema:
        """What the text says of a key outranks what the description says."""
        if words := field.schema.get("enum"):
            schema = {**schema, "enum": [*dict.fromkeys([*schema.get("enum", ()), *words])]}
        if field.within and "properties" in (inner := schema.get("items", schema)):
            for below in field.within:
                if below.name in inner["properties"] and below.may_be_null:
                    inner["properties"][below.name] = or_null(inner["properties"][below.name])
        return or_null(schema) if field.may_be_null and not is_filled else schema

    def _add_format(self, made: Schema, tree: Mapping[str, Any], key: str) -> None:
        if (kind := tree.get("format")) == "date-time":
            made["pattern"] = INSTANT_WITH_FRACTION if key in FRACTIONS else INSTANT
        elif kind in {"uuid", "date", "email", "uri"}:
            made["format"] = kind

    def _learn(self, trees: Any) -> None:
        """Remember which named objects are made of which, and the keys that each has itself."""
        if isinstance(trees, Mapping):
            if isinstance(name := trees.get("schema_name"), str):
                self._bases.setdefault(name, list(trees.get("composed_of", ())))
                self._own.setdefault(name, set()).update(trees.get("properties", {}))
                self._named[name] = trees
            for below in trees.values():
                self._learn(below)
        elif isinstance(trees, list):
            for below in trees:
                self._learn(below)


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def _guessed(field: Field) -> dict[str, Any]:
    """The tree of a key that the text alone knows: where it says no type, its name tells."""
    if field.schema:
        tree: dict[str, Any] = dict(field.schema)
        if field.within:
            tree = {
                "type": "object",
                "properties": {one.name: _guessed(one) for one in field.within},
            }
            return {"type": "array", "items": tree} if field.schema["type"] == "array" else tree
        return tree
    if field.name.startswith("precise_"):
        return {"type": "string"}
    if field.name.endswith("_cents"):
        return {"type": "integer"}
    if field.name.endswith("_at"):
        return {"type": "string", "format": "date-time"}
    if field.name.endswith("_details"):
        return {"type": "object"}
    if field.name.startswith("lago_"):
        return {"type": "string", "format": "uuid"}
    return {"type": "string"}


def seen(schema: Schema, value: Any) -> Iterator[tuple[str, bool]]:
    """The known names of all keys that a valid value has, and whether each holds something."""
    if isinstance(value, dict):
        for key, below in _properties(schema).items():
            if key in value:
                if KEY in below:
                    yield below[KEY], value[key] is not None
                yield from seen(below, value[key])
    elif isinstance(value, list):
        items = [one["items"] for one in _branches(schema) if "items" in one]
        for one in value:
            for item in items:
                yield from seen(item, one)


def _branches(schema: Schema) -> Iterator[Schema]:
    yield schema
    for one in schema.get("anyOf", ()):
        yield from _branches(one)


def _properties(schema: Schema) -> Schema:
    found: Schema = {}
    for one in _branches(schema):
        found |= one.get("properties", {})
    return found
