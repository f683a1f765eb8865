"""What schemathesis is told before it fuzzes the API: the rows that there are.

Loaded by schemathesis in its own process (`SCHEMATHESIS_HOOKS`), never by pytest. Made-up ids get
no further than a 404, so each path's place is described with the ids that really stand there, by
the resource before it in the path; they come in `RECOUP_FUZZ_WORDS`. And three of four drawn paths
are given real ones: which, is decided by what was drawn, and so by the seed.

And an object that we answer, and nobody sends, holds nothing that is not described: by the document
it may have more, as a client is to expect, and here it may not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import schemathesis

# What there is of each resource, several times over: some of it will be deleted on the way.
WORDS: Final[Sequence[Mapping[str, str]]] = json.loads(os.environ["RECOUP_FUZZ_WORDS"])
_PLACE: Final = re.compile(r"(\w+)/\{(\w+)\}")
_OF_DRAFTS: Final = re.compile(r"/(finalize|refresh)$")


def known_in(path: str, chance: int) -> dict[str, str]:
    """A real word for every place of a path that has one, by the place's name."""
    words = WORDS[chance % len(WORDS)]
    if _OF_DRAFTS.search(path):
        words = {**words, "invoices": words["drafts"]}
    return {name: words[resource] for resource, name in _PLACE.findall(path) if resource in words}


def close_answers(document: dict[str, Any]) -> None:
    """Let no object have more than is described, but for those that callers send."""
    schemas = document["components"]["schemas"]
    sent: set[str] = set()
    found = refs_in([one.get("requestBody") for path in document["paths"].values()
                     for one in path.values()])  # fmt: skip
    while new := found - sent:
        sent |= new
        found = refs_in([schemas[name] for name in new])
    for name, schema in schemas.items():
        if name not in sent and "properties" in schema:
            schema["additionalProperties"] = False


def refs_in(described: Any) -> set[str]:
    """The names of the components that this refers to, anywhere within."""
    if isinstance(described, dict):
        own = {described["$ref"].rpartition("/")[2]} if "$ref" in described else set()
        return own.union(*map(refs_in, described.values()))
    return set().union(*map(refs_in, described)) if isinstance(described, list) else set()


@schemathesis.hook
def before_load_schema(_context: Any, document: dict[str, Any]) -> None:
    """Give every place an example, where the phases of examples and links begin; close answers."""
    close_answers(document)
    for path, operations in document["paths"].items():
        for number, operation in enumerate(operations.values()):
            known = known_in(path, number)
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] in known:
                    parameter["example"] = known[parameter["name"]]


@schemathesis.hook
def map_path_parameters(context: Any, drawn: dict[str, Any] | None) -> dict[str, Any] | None:
    """Put the real ones in three of four drawn paths."""
    if not drawn or context.operation is None:
        return drawn
    chance = sha256(repr(sorted(drawn.items())).encode("utf-8", "backslashreplace")).digest()
    return drawn if chance[0] % 4 == 0 else {**drawn, **known_in(context.operation.path, chance[1])}


@schemathesis.hook
def filter_failure(_context: Any, _failure: Any, case: Any, response: Any) -> bool:
    """Keep every failure, but that of an empty body which is described as a "not yet"."""
    described = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    may_be_empty = "An empty body" in described.get("description", "")
    return bool(response.content) or not may_be_empty
