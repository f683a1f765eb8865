"""Writes what was found of Lago's clients into `docs/lago-compatibility.md`.

Whatever stands above `MARK` there is written by people; below it, by `test_compatibility`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.contract.contract import Contract
from tests.contract.differences import (
    ALWAYS_EMPTY,
    ANSWERS,
    CLIENT_NOTES,
    CLIENT_REFUSED,
    DIFFERENCES,
    NESTED,
    NESTED_WHY,
    NEVER_ANSWERED,
    NEVER_READ,
    NEVER_REFUSED,
    NEVER_SAID,
    NEVER_TOLD,
    OURS_REFUSED,
    WRAPPED,
)
from tests.lago.client_methods import Method

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "lago-compatibility.md"
WRITE: Final = "RECOUP_WRITE_COMPATIBILITY"  # set to 1, the test writes the document
COMMAND: Final = f"{WRITE}=1 make test ARGS=tests/lago/test_compatibility.py"
MARK: Final = "<!-- From here on this is written by a test; see the end of it. -->\n"
TITLES: Final = {"python": "Python", "javascript": "JavaScript"}


class Result(msgspec.Struct, frozen=True):
    """What became of a method."""

    client: str  # a key of TITLES
    method: Method
    said: str
    worked: bool

    @property
    def name(self) -> str:
        return f"{self.client} {self.method.name}"

    @property
    def fault(self) -> str | None:
        """Why this is not as it should be; None: it is."""
        if (refused := CLIENT_REFUSED.get(self.name)) is not None:
            expected = refused[0]
            return None if self.said == expected else f"{self.name}: {self.said}, not {expected}"
        if self.worked == (self.method.operation in NEVER_ANSWERED):
            return f"{self.name}: {self.said}"
        return None


def with_results(document: str, contract: Contract, results: Sequence[Result]) -> str:
    """The document, with what was found below what people have written."""
    by_people, mark, _ = document.partition(MARK)
    assert mark, f"{DOCUMENT.name} has lost the line `{MARK.strip()}`"
    return by_people + MARK + "\n" + "\n".join(_written(contract, results)) + "\n"


def _written(contract: Contract, results: Sequence[Result]) -> Iterator[str]:
    for client, title in TITLES.items():
        own = [one for one in results if one.client == client]
        working = sum(one.worked for one in own)
        yield f"## {title} client {_version(client)}"
        yield ""
        yield f"{working} of its {len(own)} methods that belong to this API work."
        yield ""
        rows = [
            (f"`{one.method.name}`", f"`{one.method.operation}`", one.said, _notes(contract, one))
            for one in own
        ]
        yield from _table(("method", "operation", "result", "what differs, and why"), rows)
        yield ""
    yield "## What differs on the wire"
    yield ""
    yield "Keys are named by the smallest object of Lago's description that has them."
    yield ""
    keys = [(f"`{one.where}`", one.kind.value, one.why) for one in DIFFERENCES]
    keys += [(f"`{where}`", "always empty", why) for where, why in ALWAYS_EMPTY.items()]
    keys += [(f"`{where}`", "answers otherwise", WRAPPED) for where in ANSWERS]
    keys += [
        (f"`{key}`", f"holds {' and '.join(f'`{one}`' for one in held)}", NESTED_WHY)
        for key, held in NESTED.items()
    ]
    keys += [(f"`{where}`", "is always refused", why) for where, why in NEVER_ANSWERED.items()]
    keys += [(f"`{where}`", "never told", why) for where, why in NEVER_TOLD.items()]
    keys += [
        (f"`{where}` {status}", "never refused so", why)
        for (where, status), why in NEVER_REFUSED.items()
    ]
    keys += [(f"`{code}`", "never said", why) for code, why in NEVER_SAID.items()]
    keys += [(f"`{where}`", "never read", why) for where, why in NEVER_READ.items()]
    keys += [
        (f"`{where}` {status} `{code}`", "refused besides", why)
        for (where, status, code), why in OURS_REFUSED.items()
    ]
    yield from _table(("what", "how", "why"), keys)
    yield ""
    yield "Sections are those of the contract that this API is built to. The tables are written by"
    yield f"`{COMMAND}`."


def _notes(contract: Contract, one: Result) -> str:
    notes = []
    if one.name in CLIENT_REFUSED:
        notes.append(CLIENT_REFUSED[one.name][1])
    if one.name in CLIENT_NOTES:
        notes.append(CLIENT_NOTES[one.name])
    if one.method.operation in NEVER_ANSWERED:
        notes.append(NEVER_ANSWERED[one.method.operation])
    elif one.worked:
        if one.method.operation in ANSWERS:
            notes.append(WRAPPED)
        if objects := _different_objects(contract, one.method.operation):
            notes.append(f"Below: {', '.join(f'`{name}`' for name in objects)}.")
    return " ".join(notes)


def _different_objects(contract: Contract, operation: str) -> list[str]:
    """The objects in an operation's answer that differ somewhere."""
    schema = contract.answer(operation, 200)
    keys = contract.shapes.keys_of(schema) if schema else set()
    different = {*ALWAYS_EMPTY, *(one.where for one in DIFFERENCES)}
    return sorted({key.partition(".")[0] for key in keys & different})


def _version(client: str) -> str:
    if client == "python":
        return version("lago-python-client")
    package = json.loads((Path(__file__).parent / "package.json").read_text())
    return str(package["dependencies"]["lago-javascript-client"])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |"


def said_of(answer: Mapping[str, Any]) -> tuple[str, bool]:
    """What the JavaScript client resolved with, in a word; and whether that is what it is for."""
    if refused := answer.get("refused"):
        return refusal(refused["status"], refused)
    if answer.get("error"):
        return f"cannot be read: {answer['error']}", False
    data = answer.get("data")
    if data is None:
        return "200, no body", True
    if isinstance(data, dict):
        return f"200, {', '.join(f'`{key}`' for key in data)}", True
    return "200, text", True


def refusal(status: int, body: Mapping[str, Any]) -> tuple[str, bool]:
    """A refusal that the client has read, in a word."""
    code = body.get("code")
    return (f"{status} `{code}`" if code else str(status)), False
