"""Which methods Lago's published clients have, and which operation each of them calls.

Found by asking the clients: each method is called with nonsense, and the call is caught.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import msgspec
from lago_python_client import Client
from lago_python_client.base_model import BaseModel

from tests.contract.contract import Contract

HERE: Final = Path(__file__).parent
# Below a customer's wallets the Python client names its paths in ways of its own. There are no
# wallets here (contract section 3.14).
NOT_TRIED: Final = "customers.wallets"


class Method(msgspec.Struct, frozen=True):
    """One method of a client, and what it calls."""

    name: str  # `invoices.find`
    call: str  # `PUT /invoices/x/lose_dispute`: what it sends
    operation: str  # the contract's operation


def python_methods(contract: Contract) -> list[Method]:
    """The Python client's methods that belong to the contract."""
    with _catching() as (base, caught):
        client = Client(api_key="nobody", api_url=base)
        calls = [
            call
            for group, held in vars(Client).items()
            if isinstance(held, cached_property)
            for call in _calls(group, getattr(client, group)._obj, caught)
        ]
    return _of_the_contract(contract, calls)


def javascript_methods(contract: Contract, node: str) -> list[Method]:
    """The JavaScript client's methods that belong to the contract."""
    listed = subprocess.run(
        [node, HERE / "methods.mjs", "list"], cwd=HERE, capture_output=True, text=True, check=True
    )
    calls = [(name, (verb, path)) for name, verb, path in json.loads(listed.stdout)]
    return _of_the_contract(contract, calls)


def _of_the_contract(contract: Contract, calls: list[Any]) -> list[Method]:
    found = []
    for name, *ways in calls:
        for verb, path in ways:
            plain = path.partition("?")[0].removeprefix("/api/v1")
            if operation := _operation(contract, verb, plain):
                found.append(Method(name, f"{verb} {plain}", operation))
                break  # by the first way that leads into the contract
    return found


def _operation(contract: Contract, verb: str, path: str) -> str | None:
    """The operation of a call; by its path alone where nobody maps its verb (lose_dispute)."""
    fits = [
        one
        for one in contract.operations.values()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one.path), path)
    ]
    exact = [one for one in fits if one.method == verb]
    return (exact or fits)[0].key if fits else None


def _calls(group: str, client: Any, caught: list[tuple[str, str]]) -> Iterator[tuple[Any, ...]]:
    """Each method, and the calls that it makes: with what it can do without, then without it."""
    for name, held in inspect.getmembers_static(type(client)):
        known_as = f"{group}.{name}"
        if name.startswith("_") or known_as.startswith(NOT_TRIED):
            continue
        if isinstance(held, cached_property):
            yield from _calls(known_as, getattr(client, name)._obj, caught)
        elif inspect.isfunction(held):
            method = getattr(client, name)
            caught.clear()
            for more in ({"identifier": "x"}, {}):
                with suppress(Exception), warnings.catch_warnings(action="ignore"):
                    method(**_nonsense(method), **more)
            assert caught, f"the Python client's {known_as} makes no call"
            yield known_as, *caught


def _nonsense(method: Any) -> dict[str, Any]:
    """Something for each argument that it needs."""
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        kind = parameter.annotation
        if parameter.default is not parameter.empty:
            continue
        is_model = inspect.isclass(kind) and issubclass(kind, BaseModel)
        given[name] = "x" if kind is str else BaseModel() if is_model else {}
    return given


@contextmanager
def _catching() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that knows nothing, and notes what it is asked."""
    caught: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            caught.append((self.command, self.path))
            self.send_response(404)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  as the server calls them

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", caught
    finally:
        server.shutdown()
        server.server_close()
