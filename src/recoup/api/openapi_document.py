"""Make the OpenAPI 3.1 document from the routes and from what `describe.answers` says of them.

Not the framework's own: that one knows no answer of a handler that returns bytes, describes
refusals that are not ours, and serves HTML where a route is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Method

from recoup import __version__
from recoup.api.describe import JSON, OPTION, Described, ErrorBody, Query
from recoup.api.errors import phrase
from recoup.api.needs import permission_of

BASE: Final = "/api/v1/"
_SCHEMAS: Final = "#/components/schemas/"
# The order in which a document shows a path's methods, and finds the one that names an operation.
METHODS: Final[tuple[Method, ...]] = ("GET", "POST", "PUT", "PATCH", "DELETE")
ABOUT: Final = """\
Collects invoices: charges them through a payment provider, finds out what really happened, and
tries again when that makes sense. Compatible with the collection part of Lago's API.

Amounts (`…_cents`) are whole minor units of their currency. Send JSON and an API key; a POST with
an `Idempotency-Key` may be sent again and is done once."""

REFUSALS: Final[Mapping[int, str]] = {
    400: "The body is no JSON object, or lacks the object that holds the fields.",
    401: "No API key, or one that nobody may use; or a provider that is waited for refuses ours.",
    403: "This key may not read, or may not write, what this is about.",
    404: "There is no such thing, as far as this organization can see.",
    405: "The thing exists, and its state forbids this.",
    408: "The call was not sent whole in time.",
    409: "Somebody is doing the same at this moment.",
    413: "The body is larger than this installation reads.",
    414: "The address is longer than anybody needs.",
    422: "A field breaks a rule: `error_details` names it; or a provider that is waited for gives"
    " no answer (`provider_error`), or says no (`third_party_error`).",
    429: "This key calls too often, or a provider that is waited for is called too often"
    " (`too_many_provider_requests`): `Retry-After` says in how many seconds to come again, as"
    " `x-ratelimit-reset` does.",
    431: "The headers are larger than anybody needs.",
    503: "The database is away, or what is sealed does not open with our keys"
    " (`secrets_do_not_open`): come again.",
}

ALWAYS: Final = frozenset({401, 403, 408, 414, 429, 431, 503})

_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text up to 255 characters. The same key again, within 30 days (or as many "
    "as this installation keeps them), does nothing and gets the same answer, with "
    "`Idempotent-Replayed: true`.",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
}


class Operation(msgspec.Struct, frozen=True):
    """One method of one path, and the handler that serves it."""

    path: str
    method: Method
    handler: HTTPRouteHandler
    is_alias: bool  # another method of the same handler is the one to use

    @property
    def described(self) -> Described:
        """What it answers, as its decorator says.

        :raises AssertionError: it does not say; a test calls this for every operation.
        """
        described = self.handler.opt.get(OPTION)
        assert isinstance(described, Described), (
            f"{self.method} {self.path} does not say what it answers: see api/describe.py"
        )
        return described

    @property
    def body(self) -> Any:
        """The type of its request body; None where it takes none."""
        data = self.handler.parsed_fn_signature.parameters.get("data")
        return None if data is None else data.annotation

    @property
    def id(self) -> str:
        """A name of its own: `invoices_find_all`."""
        module = self.handler.fn.__module__.rpartition(".")[2]
        name = f"{module}_{self.handler.fn.__name__}"
        return f"{name}_by_{self.method.lower()}" if self.is_alias else name


def operations(app: Litestar) -> list[Operation]:
    """Every operation of the API, by path, then in the order of `METHODS`."""
    return sorted(_operations(app), key=lambda one: (one.path, METHODS.index(one.method)))


def document(app: Litestar, *, servers: Sequence[str]) -> dict[str, Any]:
    """Build the OpenAPI document of the application."""
    found = operations(app)
    schemas, components = _schemas(found)
    paths: dict[str, dict[str, Any]] = {}
    for one in found:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recoup",
            "version": __version__,
            "summary": "Invoice collection",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server} for server in servers],
        "security": [{"api_key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(one) for one in found)],
        "paths": paths,
        "components": {
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer"}},
            "responses": {_refusal_name(status): _refusal(status) for status in REFUSALS},
            "schemas": components,
        },
    }


def _operations(app: Litestar) -> Iterator[Operation]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or not route.path_format.startswith(BASE):
            continue
        methods = [method for method in METHODS if method in route.route_handler_map]
        first_of: dict[object, str] = {}
        for method in methods:
            handler = route.route_handler_map[method][0]
            first = first_of.setdefault(handler.fn, method)
            if handler.resolve_include_in_schema():
                yield Operation(route.path_format, method, handler, is_alias=first != method)


def _schemas(found: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """A schema for every type that an operation takes or answers, and what these refer to."""
    types: dict[Any, None] = {ErrorBody: None}
    for one in found:
        types |= dict.fromkeys(query.of for query in one.described.query)
        types |= dict.fromkeys(kind for kind in (one.body, one.described.answer) if kind)
    made, components = msgspec.json.schema_components(
        list(types), ref_template=f"{_SCHEMAS}{{name}}"
    )
    schemas = dict(zip(types, made, strict=True))
    for component in components.values():
        _name_formats(component)
    for one in found:
        if one.body:
            _require_root(components[_body_name(schemas[one.body])])
    return schemas, components


def _name_formats(component: dict[str, Any]) -> None:
    """Instants are fields named `…_at`; msgspec names no format where it would take any zone."""
    for name, schema in component.get("properties", {}).items():
        if name.endswith("_at"):
            for kind in schema.get("anyOf", [schema]):
                if kind.get("type") == "string":
                    kind["format"] = "date-time"


def _body_name(schema: dict[str, Any]) -> str:
    """The component behind a body. A handler that can do without says `Body | None`: all do."""
    (name,) = (kind["$ref"] for kind in schema.get("anyOf", [schema]) if "$ref" in kind)
    return str(name).removeprefix(_SCHEMAS)


def _require_root(component: dict[str, Any]) -> None:
    """A body of one object, `{"tax": {…}}`, is refused without it (contract section 1.4)."""
    properties = component["properties"]
    if len(properties) == 1:
        ((root, schema),) = properties.items()
        if objects := [kind for kind in schema.get("anyOf", []) if "$ref" in kind]:
            properties[root] = objects[0]
            component["required"] = [root]


def _operation(
    one: Operation, schemas: Mapping[Any, Any], components: Mapping[str, Any]
) -> dict[str, Any]:
    summary, _, more = cleandoc(one.handler.fn.__doc__ or "").partition("\n\n")
    described = one.described
    made: dict[str, Any] = {
        "operationId": one.id,
        "tags": [_tag(one)],
        "summary": " ".join(summary.split()).rstrip("."),
    }
    if more:
        made["description"] = more
    if permission := permission_of(one.handler, one.method):
        made["x-permission"] = permission
    if one.handler.deprecated:
        made["deprecated"] = True
    path_names = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in path_names
    ]
    parameters += [_query(query, schemas[query.of]) for query in described.query]
    if one.method == "POST":
        parameters.append(_IDEMPOTENCY_KEY)
    if parameters:
        made["parameters"] = parameters
    if one.body:
        name = _body_name(schemas[one.body])
        made["requestBody"] = _request_body(name, components[name])
    statuses = {*ALWAYS, *described.refuses} | ({404} if path_names else set())
    if one.method != "GET":
        statuses.add(413)
    if one.body:
        statuses |= {400, 422}
    if one.method == "POST":  # an `Idempotency-Key` that is in use, or was used for something else
        statuses |= {409, 422}
    made["responses"] = {"200": _answer(described, schemas)} | {
        str(status): {"$ref": f"#/components/responses/{_refusal_name(status)}"}
        for status in sorted(statuses)
    }
    return made


def _query(query: Query, schema: Any) -> dict[str, Any]:
    return {
        "name": query.name,
        "in": "query",
        "description": query.says,
        "required": False,
        "schema": schema,
    }


def _request_body(name: str, component: dict[str, Any]) -> dict[str, Any]:
    return {
        "required": bool(component["required"]),
        "content": {JSON: {"schema": {"$ref": f"{_SCHEMAS}{name}"}}},
    }


def _answer(described: Described, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    if described.answer is None:
        return {"description": "Done. The body is empty."}
    is_binary = described.answer is bytes
    schema = {"type": "string", "format": "binary"} if is_binary else schemas[described.answer]
    done = "Done. An empty body: not yet." if described.may_be_empty else "Done."
    return {"description": done, "content": {described.media_type: {"schema": schema}}}


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": f"{_SCHEMAS}{ErrorBody.__name__}"}
    return {"description": REFUSALS[status], "content": {JSON: {"schema": schema}}}


def _refusal_name(status: int) -> str:
    return phrase(status).title().replace(" ", "")


def _tag(one: Operation) -> str:
    tags: Sequence[str] = one.handler.resolve_tags()
    return tags[0] if tags else one.path.removeprefix(BASE).partition("/")[0]
