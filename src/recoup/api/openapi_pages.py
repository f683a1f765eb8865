"""Read the API's description: as JSON for programs, as a page for people. Neither needs a key.

The page loads nothing from anywhere else, so it works where the internet does not reach.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, Router, get

from recoup.api.describe import JSON
from recoup.api.edge import ApiRequest, json_response
from recoup.api.openapi_document import METHODS, document

_STYLE: Final = Path(__file__).with_suffix(".css").read_text("utf-8")
_SCRIPT: Final = Path(__file__).with_suffix(".js").read_text("utf-8")
DEEPEST: Final = 4  # how far an example follows objects within objects


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY: Final = (
    f"default-src 'none'; style-src {_hashed(_STYLE)}; script-src {_hashed(_SCRIPT)}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_routes(*, servers: Sequence[str]) -> Router:
    """Build the two routes. `servers` are the addresses that the description names."""
    made: list[tuple[bytes, str]] = []  # once, at the first call: routes do not change

    def pages(app: Litestar) -> tuple[bytes, str]:
        if not made:
            described = document(app, servers=servers)
            made.append((msgspec.json.encode(described), page(described)))
        return made[0]

    @get("/openapi.json", include_in_schema=False)
    async def as_json(request: ApiRequest) -> Response[bytes]:
        """The description, for programs."""
        return json_response(pages(request.app)[0])

    @get("/docs", include_in_schema=False)
    async def as_page(request: ApiRequest) -> Response[str]:
        """The description, for people."""
        return Response(
            pages(request.app)[1],
            media_type="text/html",
            headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"},
        )

    return Router("/api/v1", route_handlers=[as_json, as_page])


def page(described: Mapping[str, Any]) -> str:
    """Render an OpenAPI document as one page of HTML."""
    info = described["info"]
    tags = [tag["name"] for tag in described["tags"]]
    links = "".join(f'<a href="#{escape(tag)}">{_words(tag)}</a>' for tag in tags)
    about = "".join(f"<p>{_text(part)}</p>" for part in info["description"].split("\n\n"))
    groups = "".join(_group(described, tag) for tag in tags)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body><header>"
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>{about}"
        f'<nav aria-label="Groups">{links}</nav>'
        '<input type="search" placeholder="Find an operation" aria-label="Find an operation">'
        f"</header><main>{groups}"
        '<footer>For programs: <a href="openapi.json">openapi.json</a></footer>'
        f"</main><script>{_SCRIPT}</script></body></html>"
    )


def _group(described: Mapping[str, Any], tag: str) -> str:
    inside = "".join(
        _operation(described, path, method, operation)
        for path, methods in described["paths"].items()
        for method in (method.lower() for method in METHODS)
        if (operation := methods.get(method)) and tag in operation["tags"]
    )
    return f'<section><h2 id="{escape(tag)}">{_words(tag)}</h2>{inside}</section>'


def _operation(
    described: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> str:
    deprecated = " <em>Deprecated.</em>" if operation.get("deprecated") else ""
    more = operation.get("description", "").split("\n\n")
    body = operation.get("requestBody")
    permission = operation.get("x-permission")
    parts = [
        *(f"<p>{_text(part)}</p>" for part in more if part),
        f"<p>Needs <code>{escape(permission)}</code>.</p>" if permission else "",
        _parameters(operation.get("parameters", [])),
        _content(described, "Body", body["content"], lead=not body["required"]) if body else "",
        *_answers(described, operation["responses"]),
        f"<h3>Try with curl{' <small>the body in body.json</small>' if body else ''}</h3>"
        '<button class="copy" type="button">copy</button>'
        f"<pre>{escape(_curl(described, path, method, operation))}</pre>",
    ]
    return (
        f'<details id="{escape(operation["operationId"])}"><summary>'
        f'<b class="{method}">{method.upper()}</b><code>{escape(path)}</code>'
        f"<span>{_text(operation['summary'])}{deprecated}</span></summary>"
        f'<div class="inside">{"".join(parts)}</div></details>'
    )


def _parameters(parameters: Sequence[Mapping[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td>"
        f"<td><small>{escape(one['in'])}, {escape(_type(one['schema']))}</small></td>"
        f"<td>{_text(one.get('description', ''))}</td></tr>"
        for one in parameters
    )
    return f"<h3>Parameters</h3><table>{rows}</table>"


def _answers(described: Mapping[str, Any], responses: Mapping[str, Any]) -> Iterator[str]:
    answered = responses["200"]
    if content := answered.get("content"):
        yield _content(described, "Answer", content, lead=False)
    else:
        yield f"<h3>Answer</h3><p>{_text(answered['description'])}</p>"
    rows = "".join(
        f"<tr><td><code>{status}</code></td>"
        f"<td>{_text(_followed(described, one)['description'])}</td></tr>"
        for status, one in responses.items()
        if status != "200"
    )
    yield f"<h3>Refusals</h3><table>{rows}</table>"


def _content(
    described: Mapping[str, Any], title: str, content: Mapping[str, Any], *, lead: bool
) -> str:
    ((media_type, one),) = content.items()
    note = f" <small>{escape(media_type)}{', may be left out' if lead else ''}</small>"
    if media_type != JSON:
        return f"<h3>{title}{note}</h3>"
    return f"<h3>{title}{note}</h3><pre>{escape(_shown(described, one['schema']))}</pre>"


def _curl(
    described: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> str:
    server = next((one["url"] for one in described["servers"]), "")
    lines = [
        f"curl -X {method.upper()} '{server}{path}'",
        '-H "Authorization: Bearer $RECOUP_API_KEY"',
    ]
    if "requestBody" in operation:
        lines += [f"-H 'Content-Type: {JSON}'", "-d @body.json"]
    return " \\\n  ".join(lines)


def _shown(described: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    return json.dumps(_example(described, schema, DEEPEST), indent=2, ensure_ascii=False)


def _example(described: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Any:
    """A value of the schema's shape: each field shows its type, `…|null` where it may be null."""
    schema = _followed(described, schema)
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    composed = [kind for kind in kinds if "$ref" in kind or "items" in kind]
    if composed:
        return _example(described, composed[0], depth)
    if "properties" in schema:
        if depth == 0:
            return {}
        return {
            name: _example(described, one, depth - 1) for name, one in schema["properties"].items()
        }
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return [_example(described, schema["items"], depth)]
    return _type(schema)


def _type(schema: Mapping[str, Any]) -> str:
    """A schema's type in a word or a few: `string|null`, `date-time`, `card|transfer`."""
    if "anyOf" in schema:
        return "|".join(dict.fromkeys(_type(kind) for kind in schema["anyOf"]))
    if "enum" in schema:
        return "|".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items') or {})}"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return str(schema.get("format") or schema.get("type") or "anything")


def _followed(described: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` points to; anything else is itself."""
    found: Any = schema
    if "$ref" in schema:
        found = described
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
    return found  # type: ignore[no-any-return]


def _words(tag: str) -> str:
    return escape(tag.replace("_", " "))


def _text(text: str) -> str:
    """Prose as it stands in docstrings: `code` between back-ticks, nothing else."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts)
    )
