"""What a refusal is, how it is provoked, and which ones the contract implies of every operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from tests.contract import things
from tests.contract.contract import Operation, names_in
from tests.contract.world import Exchange, Json, World

Thing = Callable[[World], Awaitable[Any]]
NOBODYS: Final = "00000000-0000-7000-8000-00000000abcd"
# What stands in a path and is nobody's.
UNKNOWN: Final = {
    "lago_id": NOBODYS, "code": "nobodys", "external_customer_id": "nobody", "key": "k",
}  # fmt: skip
# One of what does not end in an `s` for many.
ONE: Final = {"taxes": "tax", "billing_entities": "billing_entity"}


class Refused(msgspec.Struct, frozen=True):
    """A call that is refused, and how.

    `code` of a broken rule is `field.code`. `body` may be made from the thing that it is `about`,
    whose ids stand in the path, too.
    """

    operation: str
    status: int
    code: str
    body: Any = None
    about: Thing | None = None
    names: Mapping[str, str] = {}
    query: Mapping[str, Any] = {}
    api_key: str | None = ""
    content: bytes | None = None
    given: Thing | None = None  # must be there, too
    call: Callable[[World], Awaitable[Exchange]] | None = None  # what is more than one call

    @property
    def is_in_words(self) -> bool:
        """Whether it is said in a sentence, and in no code: as 400 and 401 are."""
        return self.status < 403

    @property
    def id(self) -> str:
        return f"{self.operation} {self.status} {self.code}"


async def provoke(world: World, case: Refused) -> Exchange:
    """Make the call."""
    if case.call:
        return await case.call(world)
    if case.given:
        await world.get(case.given)
    names = dict(case.names)
    body = case.body
    if case.about:
        thing = await world.get(case.about)
        for name in ("lago_id", "code", "external_id"):
            if isinstance(thing, dict) and name in thing:
                names.setdefault("external_customer_id" if name == "external_id" else name,
                                 thing[name])  # fmt: skip
        body = body(thing) if callable(body) else body
    wanted = {name: names[name] for name in names_in(case.operation)}
    return await world.ask(
        case.operation, body, query=dict(case.query) or None, api_key=case.api_key,
        content=case.content, **wanted,
    )  # fmt: skip


def said_by(exchange: Exchange) -> set[str]:
    """The codes of a refusal: its own, and `field.code` for each broken rule; or its words."""
    body: Json = exchange.body
    said = {body["code"] if "code" in body else body["error"]}
    details = body.get("error_details") or {}
    return said | {
        f"{field}.{code}"
        for field, codes in details.items()
        for code in (codes if isinstance(codes, list) else [])
    }


def refused_by(operation: Operation) -> Iterator[Refused]:
    """What the contract implies of an operation by itself."""
    key, names = operation.key, {name: UNKNOWN[name] for name in operation.names}
    root = "metadata" if operation.path.endswith("/metadata") else operation.root
    some_body = {root: {"unknown": "key"}} if root and operation.method != "DELETE" else None
    yield Refused(key, 401, "Unauthorized", names=names, api_key=None)
    yield Refused(key, 401, "Unauthorized", names=names, api_key="nobodys")
    mode = "read" if operation.method == "GET" else "write"
    code = f"{mode}_action_not_allowed_for_{resource_of(operation.path)}"
    yield Refused(key, 403, code, names=names,
                  call=partial(without_permission, operation=key, names=names))  # fmt: skip
    if operation.names:
        whose = operation.path.split("/")[1]
        code = f"{ONE.get(whose, whose.removesuffix('s'))}_not_found"
        yield Refused(key, 404, code, some_body, names=names)
        if operation.names == ["lago_id"]:
            yield Refused(key, 404, code, some_body, names={"lago_id": "odd"})
    if operation.root:
        missing = "BadRequest: param is missing or the value is empty or invalid:"
        for body in ({}, {operation.root: {}}, {operation.root: None}):
            yield Refused(key, 400, f"{missing} {operation.root}", body, names=names)
        yield Refused(key, 400, "Bad Request", names=names, content=b'{"')
        yield Refused(key, 400, "Bad Request", names=names, content=b"[]")


async def without_permission(world: World, *, operation: str, names: Mapping[str, str]) -> Exchange:
    """Call with a key that may do nothing."""
    key = await world.get(things.powerless_key)
    return await world.ask(operation, api_key=key, **names)


def resource_of(path: str) -> str:
    """What permissions call the resource of a path (contract section 1.3)."""
    parts = path.split("/")
    if (
        parts[1] == "customers"
        and len(parts) > 3
        and parts[3] not in {"portal_url", "checkout_url"}
    ):
        whose = parts[3]  # a list below a customer
    else:
        whose = parts[1]
    special = {"payment_receipts": "invoice", "webhooks": "webhook_jwt_public_key"}
    return special.get(whose) or ONE.get(whose, whose.removesuffix("s"))
