"""The API's description, for programs and for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar, get, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody

from recoup.api.describe import PAGES, Query, answers
from recoup.api.openapi_document import document
from recoup.api.openapi_pages import POLICY, page


def bare_app(*handlers: Any) -> Litestar:
    """An app of these alone; as ours, it leaves the logging of the whole process as it is."""
    return Litestar([*handlers], openapi_config=None, logging_config=None)


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from refs(value)
    if isinstance(node, list):
        for value in node:
            yield from refs(value)


async def test_every_operation_says_what_it_takes_and_answers(visitor: httpx.AsyncClient) -> None:
    described = (await visitor.get("/api/v1/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    assert described["servers"] == [{"url": "http://recoup.test"}]
    assert described["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    assert described["security"] == [{"api_key": []}]
    seen: list[str] = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            seen.append(operation["operationId"])
            assert operation["summary"], where
            assert "200" in operation["responses"], where
            always = {"401", "403", "408", "414", "429", "431", "503"}
            assert always <= operation["responses"].keys(), where
            mode = "read" if method == "get" else "write"
            assert operation["x-permission"].endswith(f":{mode}"), where
            assert ("413" in operation["responses"]) == (method != "get"), where
            for answer in operation["responses"].values():
                assert "$ref" in answer or answer["description"], where
            in_path = [
                one["name"] for one in operation.get("parameters", []) if one["in"] == "path"
            ]
            assert in_path == re.findall(r"\{(\w+)\}", path), where
    assert {"taxes_create", "taxes_update", "taxes_update_by_patch", "add_ons_find_all"} <= {*seen}
    assert len(seen) == len(set(seen))
    for method in ["put", "patch"]:
        taken = described["paths"]["/api/v1/taxes/{code}"][method]["requestBody"]
        assert taken["content"]["application/json"]["schema"]["$ref"].endswith("/TaxBody")


async def test_every_reference_leads_somewhere(visitor: httpx.AsyncClient) -> None:
    described = (await visitor.get("/api/v1/openapi.json")).json()
    found = set(refs(described))
    assert "#/components/schemas/TaxObject" in found
    for ref in found:
        node = described
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]
    schemas = described["components"]["schemas"]
    assert schemas["TaxBody"]["required"] == ["tax"]
    assert schemas["TaxObject"]["properties"]["created_at"]["format"] == "date-time"
    assert schemas["TaxInput"]["required"] == []


async def test_unknown_paths_beside_the_pages_are_the_apis_404(visitor: httpx.AsyncClient) -> None:
    for path in ["/", "/schema", "/api/v1/docs/redoc", "/api/v1/docs/openapi.json", "/api/v1"]:
        unknown = await visitor.get(path)
        assert unknown.json() == {
            "status": 404, "error": "Not Found", "code": "resource_not_found",
        }, path  # fmt: skip


class Loads(HTMLParser):
    """Collects what a page would fetch, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in {"src", "srcset"}]
        if tag == "link":
            self.fetched.append(str(attrs))
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_is_whole_and_loads_nothing(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/api/v1/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == POLICY
    parser = Loads()
    parser.feed(answer.text)
    assert (parser.fetched, parser.open) == ([], [])
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    for shown in [
        "/api/v1/taxes/{code}", "Create a tax", "per_page", "Idempotency-Key",
        "Needs <code>tax:write</code>",
        "curl -X POST &#x27;http://recoup.test/api/v1/taxes&#x27;",
    ]:  # fmt: skip
        assert shown in answer.text, shown


class ThingInput(msgspec.Struct):
    name: str
    parts: list[str] | msgspec.UnsetType | None = msgspec.UNSET


class ThingBody(msgspec.Struct):
    thing: ThingInput | None = None


class Hint(msgspec.Struct):
    anything: Any = None


@post("/api/v1/things", status_code=200, opt=answers(ThingBody, refuses=[405]), tags=["things"])
async def create(data: JSONBody[ThingBody | None] = None) -> None:
    """Make a thing <b>.

    It's `new`.
    """


@post("/api/v1/things/{lago_id:str}/poke", status_code=200, opt=answers(), tags=["things"])
async def poke(lago_id: FromPath[str], data: JSONBody[Hint | None] = None) -> None:
    """Poke a thing."""


@get("/api/v1/things", tags=["things"], opt=answers(list[ThingBody], query=[
    *PAGES, Query("colours[]", "Of these colours.", list[str]),
]))  # fmt: skip
async def find_all() -> None:
    """List things."""


@route(
    "/api/v1/things/{lago_id:str}/lose",
    http_method=[HttpMethod.PUT, HttpMethod.POST],
    status_code=200,
    opt=answers(bytes, media_type="application/pdf"),
    tags=["things"],
    deprecated=True,
)
async def lose(lago_id: FromPath[str]) -> None:
    """Lose a thing."""


def test_what_a_decorator_says_is_what_is_described() -> None:
    app = bare_app(create, poke, find_all, lose)
    described = document(app, servers=["http://x"])
    made = described["paths"]["/api/v1/things"]["post"]
    assert (made["summary"], made["description"]) == ("Make a thing <b>", "It's `new`.")
    assert set(made["responses"]) == {
        *("200", "400", "401", "403", "405", "408", "409", "413", "414", "422", "429", "431", "503")
    }
    assert made["requestBody"]["required"] is True
    poked = described["paths"]["/api/v1/things/{lago_id}/poke"]["post"]
    assert poked["requestBody"]["required"] is False
    assert "content" not in poked["responses"]["200"]
    listed = described["paths"]["/api/v1/things"]["get"]
    assert [one["name"] for one in listed["parameters"]] == ["page", "per_page", "colours[]"]
    assert listed["parameters"][2]["schema"] == {"type": "array", "items": {"type": "string"}}
    lost = described["paths"]["/api/v1/things/{lago_id}/lose"]
    assert list(lost["put"]["responses"]["200"]["content"]) == ["application/pdf"]
    assert lost["put"]["deprecated"] is True
    assert lost["post"]["operationId"] != lost["put"]["operationId"]
    shown = page(described)
    assert "Make a thing &lt;b&gt;" in shown
    assert "It&#x27;s <code>new</code>." in shown
    assert "&quot;parts&quot;: [\n" in shown


def test_an_operation_that_says_nothing_is_found_out() -> None:
    @get("/api/v1/silent")
    async def silent() -> None:
        """Say nothing."""

    with pytest.raises(AssertionError, match="GET /api/v1/silent does not say"):
        document(bare_app(silent), servers=[])
