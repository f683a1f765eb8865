"""Stripe's errors and lists, in the shapes in which it gives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Answer = tuple[int, dict[str, Any]]
NARROWED_BY = ("customer", "payment_intent")


class RefusedError(Exception):
    """What was asked for ends in this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def refused(code: str | None, *, message: str, param: str | None = None) -> Answer:
    """A request that Stripe does not take."""
    error = {"type": "invalid_request_error", "code": code, "param": param, "message": message}
    return 400, {"error": {name: value for name, value in error.items() if value is not None}}


def missing(what: str, *, param: str = "id", status: int = 404) -> Answer:
    """There is no such thing."""
    error = {
        "type": "invalid_request_error",
        "code": "resource_missing",
        "param": param,
        "message": f"No such thing: '{what}'",
    }
    return status, {"error": error}


def card_error(no: Mapping[str, str], intent: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a 402: what the issuer says, and the intent that it was said of."""
    return {
        "error": {
            "type": "card_error",
            "message": "Your card was declined.",
            "charge": intent["latest_charge"],
            **no,
            "payment_intent": intent,
        }
    }


async def page_of(
    rows: list[dict[str, Any]],
    params: dict[str, Any],
    show: Callable[[str], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """One page of a list, newest first, narrowed down as Stripe does it."""
    created = params.get("created", {})
    wanted = [
        row["id"]
        for row in reversed(rows)
        if all(row.get(name) == params[name] for name in NARROWED_BY if name in params)
        and row["created"] >= int(created.get("gte", 0))
        and row["created"] < int(created.get("lt", 2**40))
    ]
    if after := params.get("starting_after"):
        wanted = wanted[wanted.index(after) + 1 :]
    limit = int(params.get("limit", 10))
    data = [await show(one) for one in wanted[:limit]]
    return {"object": "list", "data": data, "has_more": len(wanted) > limit, "url": "/v1/…"}
