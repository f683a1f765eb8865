"""Every method of Lago's clients that belongs to the contract is called, and reads what comes back.

What became of each is in `docs/lago-compatibility.md`, which is to hold what was found here.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import pytest_asyncio
from lago_python_client import Client
from lago_python_client.exceptions import LagoApiError

from tests.contract.contract import Contract
from tests.contract.differences import CLIENT_NOTES, CLIENT_REFUSED
from tests.contract.world import World
from tests.lago.client_methods import HERE, Method, javascript_methods, python_methods
from tests.lago.compatibility import (
    COMMAND,
    DOCUMENT,
    WRITE,
    Result,
    refusal,
    said_of,
    with_results,
)
from tests.lago.drives import JAVASCRIPT, PYTHON

pytestmark = pytest.mark.slow

WITHIN_SECONDS = 120


@pytest.fixture(scope="module")
def pythons(contract: Contract) -> list[Method]:
    """The methods of the Python client."""
    return python_methods(contract)


@pytest.fixture(scope="module")
def javascripts(contract: Contract, node: str) -> list[Method]:
    """The methods of the JavaScript client."""
    return javascript_methods(contract, node)


@pytest_asyncio.fixture(scope="module")
async def python(world: World, pythons: list[Method]) -> list[Result]:
    """What became of each method of the Python client."""
    base, key = world.served.api, world.organization.api_key
    client = Client(api_key=key, api_url=base)
    found = []
    for method in pythons:
        make, call = PYTHON[method.name]
        said, worked = await asyncio.to_thread(try_python, client, call, await make(world))
        found.append(Result("python", method, said, worked))
    return found


def try_python(client: Client, call: Any, it: Any) -> tuple[str, bool]:
    try:
        answer = call(client, it)
    except LagoApiError as error:
        return refusal(error.status_code, error.response)
    if isinstance(answer, Mapping) and "meta" in answer:
        names = sorted(
            {type(one).__name__ for key in answer if key != "meta" for one in answer[key]}
        )
        return f"list of {', '.join(f'`{name}`' for name in names)}", True
    return f"`{type(answer).__name__}`" if answer is not None else "`None`", True


@pytest_asyncio.fixture(scope="module")
async def javascript(world: World, javascripts: list[Method], node: str) -> list[Result]:
    """What became of each method of the JavaScript client."""
    wanted = []
    for method in javascripts:
        make, arguments = JAVASCRIPT[method.name]
        wanted.append([method.name, arguments(await make(world))])
    called = await asyncio.to_thread(
        subprocess.run,
        [node, HERE / "methods.mjs", "call"],
        cwd=HERE,
        env=os.environ | {"RECOUP_API": world.served.api, "RECOUP_KEY": world.organization.api_key},
        input=json.dumps(wanted),
        timeout=WITHIN_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert called.returncode == 0, called.stderr
    answers = json.loads(called.stdout)
    return [Result("javascript", one, *said_of(answers[one.name])) for one in javascripts]


def test_every_method_is_called(pythons: list[Method], javascripts: list[Method]) -> None:
    assert {one.name for one in pythons} == set(PYTHON)
    assert {one.name for one in javascripts} == set(JAVASCRIPT)


def test_what_is_said_of_methods_is_said_of_some(
    pythons: list[Method], javascripts: list[Method]
) -> None:
    named = {f"python {one.name}" for one in pythons}
    named |= {f"javascript {one.name}" for one in javascripts}
    assert {*CLIENT_NOTES, *CLIENT_REFUSED} <= named


def test_every_operation_is_called_by_a_client(
    contract: Contract, pythons: list[Method], javascripts: list[Method]
) -> None:
    assert {one.operation for one in [*pythons, *javascripts]} == set(contract.operations)


def test_the_python_client_reads_every_answer(python: list[Result]) -> None:
    assert [one.fault for one in python if one.fault] == []


def test_the_javascript_client_reads_every_answer(javascript: list[Result]) -> None:
    assert [one.fault for one in javascript if one.fault] == []


def test_the_document_says_what_was_found(
    contract: Contract, python: list[Result], javascript: list[Result]
) -> None:
    stands = DOCUMENT.read_text("utf-8")
    found = with_results(stands, contract, [*python, *javascript])
    if os.environ.get(WRITE) == "1":
        DOCUMENT.write_text(found, "utf-8")
        return
    lines = difflib.unified_diff(
        stands.splitlines(), found.splitlines(), "the document", "what was found", lineterm="", n=0
    )
    differs = "\n".join(lines)
    assert not differs, f"write it anew by `{COMMAND}`:\n{differs}"
