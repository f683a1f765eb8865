"""Say what a route asks of a key: which resource it reads or writes, and how much it weighs.

Every router below `/api/v1` says it in its `opt`, and a route of another resource in its own:

    routes = Router("/", route_handlers=[…], tags=["taxes"], opt=needs("tax"))
    @get("/customers/{external_id:str}/invoices", opt=answers(InvoicesAnswer) | needs("invoice"))

The application is not built while a route does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar.handlers.base import BaseRouteHandler

from recoup.rules.key_permissions import RESOURCES, mode_of

_RESOURCE: Final = "needs"
_WEIGHED_BY: Final = "weighs"
_WEIGHS_MOST: Final = "weighs_most"


def needs(resource: str) -> dict[str, Any]:
    """The resource of a route: a GET needs `read` of it, everything else `write`."""
    assert resource in RESOURCES, f"{resource} is no resource: see rules/key_permissions.py"
    return {_RESOURCE: resource}


def weighs(field: str, *, most: int) -> dict[str, Any]:
    """A call of this route weighs as much as the list in this field of its body is long.

    `most` is how long a list the route takes. A longer one it refuses, so that the call weighs one,
    as every call that is refused: or else a client's mistake would keep its key out for hours.
    """
    return {_WEIGHED_BY: field, _WEIGHS_MOST: most}


def resource_of(handler: BaseRouteHandler) -> str:
    """The resource that a route needs.

    :raises AssertionError: it does not say.
    """
    resource = handler.opt.get(_RESOURCE)
    assert isinstance(resource, str), f"{handler} does not say what it needs: see api/needs.py"
    return resource


def permission_of(handler: BaseRouteHandler, method: str) -> str | None:
    """The permission that a call of this route needs, as it is written; None: it does not say."""
    resource = handler.opt.get(_RESOURCE)
    return f"{resource}:{mode_of(method)}" if resource else None


def weight_of(handler: BaseRouteHandler, asked: Mapping[str, Any]) -> int:
    """How many calls a call of this route with this body counts as: one at least."""
    field = handler.opt.get(_WEIGHED_BY)
    listed = asked.get(field) if field else None
    if isinstance(listed, list) and len(listed) > handler.opt[_WEIGHS_MOST]:
        return 1
    return max(len(listed), 1) if isinstance(listed, list) else 1
