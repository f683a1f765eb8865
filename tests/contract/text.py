"""Reads the contract's text: what Lago's own code sends, and the codes with which it says no.

The JSON beside it is Lago's published description. Where the two differ the code wins (section 9),
and what the code sends is written in the text, in a notation of its own:

    lago_id name? status{draft|finalized} amount_cents:int metadata[{lago_id,key}]

`?` may be null; `{a|b}` are the words it may hold; `{a,b}` and `[{a,b}]` hold objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

# Where the text lists the keys of an object: its section, and what comes before each list.
OBJECTS: Final[dict[str, tuple[str, ...]]] = {
    "OrganizationObject": ("### 3.1", "Response: "),
    "BillingEntityObject": ("### 3.2", "Fields: "),
    "CustomerBaseObject": ("### 3.3", "**Response**: "),
    "CustomerBillingConfiguration": ("### 3.3", "\n`billing_configuration`: ", "/moneyhash also "),
    "PaymentMethodObject": ("### 3.4", "Fields: "),
    "TaxObject": ("### 3.5", "Fields "),
    "AddOnObject": ("### 3.6", "Fields "),
    "InvoiceBaseObject": ("#### 3.7.1", ""),
    "FeeObject": ("### 3.8", "Fields (one-off relevant): "),
    "CreditNoteObject": ("### 3.9", "Object: "),
    "PaymentObject": ("### 3.10", "Object: "),
    "PaymentRequestObject": ("### 3.11", "Object: "),
    "PaymentReceiptObject": ("### 3.12", "Object "),
    "WebhookEndpointObject": ("### 3.13", "CRUD `/webhook_endpoints`, root `webhook_endpoint`: "),
}
CUSTOMER: Final = "/customers/{external_customer_id}"
INVOICE: Final = "/invoices/{lago_id}"
_TYPES: Final = {
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "str": {"type": "string"},
    "num": {"type": "number"},
    "number": {"type": "number"},
    "0": {"type": "integer"},
}
# Where the text lists the filters of a list: its section, what comes before them, and what after.
FILTERS: Final = {
    "GET /customers": ("### 3.3", "**List filters**: ", "Bad values"),
    "GET /credit_notes": ("### 3.9", "* Filters: ", ";"),
    "GET /payments": ("### 3.10", "List filters ", "."),
    "GET /payment_requests": ("### 3.11", "Filters: ", "."),
    "GET /payment_receipts": ("### 3.12", "(filter ", ")"),
}
_ONE: Final = re.compile(r"(?P<name>\w+)(?P<marks>[\[\]?]*)(?P<rest>.*)", re.DOTALL)


class Field(msgspec.Struct, frozen=True):
    """One key of an object, as the text writes it."""

    name: str
    may_be_null: bool
    schema: dict[str, Any]  # empty: the text says no type
    within: tuple[Field, ...] = ()  # the keys of the object, or of the list's objects


class Text:
    """The contract's text."""

    def __init__(self, path: Path) -> None:
        self._text = path.read_text("utf-8")

    def section(self, heading: str) -> str:
        """What stands below a heading, to the next one of any depth."""
        found = re.search(rf"^{re.escape(heading)}\b.*?$(.*?)(?=^#|\Z)", self._text, re.M | re.S)
        assert found, f"the contract has no section {heading}"
        return found[1]

    def fields(self, schema_name: str) -> dict[str, Field]:
        """The keys that Lago's code sends for an object; empty: the text does not list them."""
        if schema_name not in OBJECTS:
            return self._event_fields().get(schema_name, {})
        heading, *leads = OBJECTS[schema_name]
        listed: dict[str, Field] = {}
        for lead in leads:
            _, found, after = self.section(heading).partition(f"{lead}`")
            assert found, f"the text of {heading} does not list the keys of {schema_name}"
            listed |= {field.name: field for field in read_fields(after.partition("`")[0])}
        return listed

    def includes(self) -> dict[str, set[str]]:
        """By operation, the keys that go along with an invoice or a customer (3.7.1, 3.3)."""
        found: dict[str, set[str]] = {}
        for line in self.section("#### 3.7.1").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 2 and not cells[0].startswith(("endpoint", "---", "progressive")):
                keys = set(re.findall(r"`(\w+)", cells[1]))
                words = re.sub(r"\(.*?\)", "", cells[0]).split(",")
                for operation in (one for word in words for one in _operations(word.strip())):
                    found[operation] = keys
        customers = self.section("### 3.3")
        single = re.search(r"on single: `(.*?)`; list adds `(.*?)`", customers)
        assert single, "section 3.3 does not say what goes along with a customer"
        own = {field.name for field in read_fields(single[1])}
        found["GET /customers"] = {field.name for field in read_fields(single[2])}
        for operation in (
            "POST /customers",
            *(f"{method} {CUSTOMER}" for method in ("GET", "DELETE")),
        ):
            found[operation] = own
        return found

    def event_rows(self) -> dict[str, tuple[str, str]]:
        """Every event of section 7.4: the payload's key, and what the text says of its object."""
        rows = {}
        for line in self.section("### 7.4").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if len(cells) < 4 or cells[0].startswith(("webhook_type", "---")):
                continue
            told = re.sub(r"\(.*?\)|\*\*", "", cells[0])
            rows |= {name.strip(): (cells[1], cells[2]) for name in told.split(" / ")}
        return rows

    @cache  # noqa: B019  there is one of it
    def _event_fields(self) -> dict[str, dict[str, Field]]:
        """By payload's key, the keys of what is no object of section 3: the errors."""
        listed = {}
        for key, said in self.event_rows().values():
            if (found := re.match(r"`([^{`][^`]* [^`]*)`", said)) and "<" not in found[1]:
                listed[key] = {field.name: field for field in read_fields(found[1])}
        return listed

    def refusals(self) -> set[tuple[int, str]]:
        """Every status and code with which the text of sections 1.4, 3 and 5.1 refuses a call."""
        found = set(self._errors())
        for status, code in re.findall(
            r"\b(4\d\d) (?:`…\"code\":)?`?\"?([a-z]\w+_\w+)", self._rules()
        ):
            found.add((int(status), code))
        return found

    def filters(self) -> Iterator[tuple[str, str]]:
        """Every list, and a filter of it."""
        for row in re.findall(r"^\| (`.*?) \|", self.section("#### 3.7.3"), re.M):
            for name in re.findall(r"`([\w\[\]]+)", row):
                yield "GET /invoices", name
                if "customer" not in name:  # the path names it
                    yield f"GET {CUSTOMER}/invoices", name
        for operation, (heading, before, after) in FILTERS.items():
            _, found, listed = self.section(heading).partition(before)
            assert found, f"the text of {heading} does not list the filters of {operation}"
            for words in re.findall(r"`(.*?)`", listed.partition(after)[0]):
                names = re.sub(r"\{.*?\}|=\w+", "", words).split()
                yield from ((operation, name) for name in names)

    def _errors(self) -> Iterator[tuple[int, str]]:
        """The codes of section 1.4: those of its table, and its words for a broken rule."""
        table, _, words = self.section("### 1.4").partition("Standard ActiveModel code words")
        assert words, "section 1.4 does not list the words for a broken rule"
        for row in re.findall(r"^\| (4\d\d) \|(.*)$", table, re.M):
            codes = re.findall(r'(?:`"?|"(?:code|error)":")([a-z]+_\w+)(?:"?`|")', row[1])
            yield from ((int(row[0]), code) for code in codes if code != "error_details")
        for word in re.findall(r"`([a-z]+_\w+)`", words.partition("List-filter")[0]):
            if word != "error_details":
                yield 422, word

    def names(self, word: str) -> bool:
        """Whether the text has this word anywhere."""
        return word in self._text

    def error_keys(self, code: str) -> dict[str, set[str]]:
        """The keys of an error of section 1.4, and those within each; none: the text says none."""
        said = re.search(rf'`(\{{"status":\d+,[^`]*"code":"{code}"[^`]*)`', self.section("### 1.4"))
        assert said, f"section 1.4 does not write {code} out"
        found: dict[str, set[str]] = {}
        for key, inner in re.findall(r'[{,]"(\w+)":(?:\{([^{}]*)\})?', said[1]):
            found[key] = set(re.findall(r'(?:^|,)"(\w+)"', inner))
        if code == "provider_error":  # written beside it, for Stripe's
            listed = re.search(r"for Stripe `error_details` = `\{([\w,]+)\}`", self._text)
            assert listed, "section 1.4 does not list the keys of Stripe's errors"
            found["error_details"] = set(listed[1].split(","))
        return found

    def broken_rules(self) -> set[tuple[str, str]]:
        """Every field and code of a 422 that the text of section 3 names."""
        pairs = re.findall(r"\{(\w+):\[\"(\w+)\"\]\}", self._rules())
        return {(field, code) for field, code in pairs} | set(self._page_refusals())

    def _page_refusals(self) -> Iterator[tuple[str, str]]:
        """Those of a payer's page, which are listed behind `{base:[code]}`."""
        _, found, listed = self.section("#### 3.7.11").partition("`{base:[code]}` in order: ")
        assert found, "section 3.7.11 does not list its codes"
        yield from (("base", code) for code in re.findall(r"`(\w+)`", listed.partition("PSP")[0]))

    def _rules(self) -> str:
        start, end = self._text.index("## 3. Resources"), self._text.index("## 4. Invoice state")
        return self._text[start:end] + self.section("### 5.1")


def _operations(word: str) -> list[str]:
    """The operations that a word of the table in section 3.7.1 means."""
    match word:
        case "create":
            return ["POST /invoices"]
        case "list":
            return ["GET /invoices", f"GET {CUSTOMER}/invoices"]
        case "show" | "update" | "delete":
            method = {"show": "GET", "update": "PUT", "delete": "DELETE"}[word]
            return [f"{method} {INVOICE}"]
        case "refresh" | "finalize":
            return [f"PUT {INVOICE}/{word}"]
        case _:
            return [f"POST {INVOICE}/{word}"]


def read_fields(text: str) -> Iterator[Field]:
    """Read a list of keys in the text's notation."""
    for one in _split(text):
        match = _ONE.fullmatch(one)
        assert match, f"not a key: {one}"
        name, marks, rest = match["name"], match["marks"], match["rest"]
        yield _field(name, marks, re.sub(r"\(.*\)", "", rest))


def _field(name: str, marks: str, rest: str) -> Field:
    is_list = "[" in marks or "[" in rest
    inner = re.search(r"\{(.*)\}", rest, re.S)
    within: tuple[Field, ...] = ()
    schema: dict[str, Any] = {}
    if inner and "|" in inner[1] and "," not in inner[1]:
        words = [word for word in inner[1].split("|") if word != "…"]
        schema = {"type": "string"} if "…" in inner[1] else {"type": "string", "enum": words}
    elif inner and "," in inner[1]:
        within = tuple(read_fields(inner[1].replace(",", " ")))
        schema = {"type": "array"} if is_list else {"type": "object"}
    elif is_list:
        schema = {"type": "array"}
    elif said := re.match(r":(\w+)", rest):
        schema = _TYPES[said[1]]
    may_be_null = "?" in marks or rest.startswith("?") or "?" in rest.partition("{")[0]
    return Field(name, may_be_null, schema, within)


def _split(text: str) -> Iterator[str]:
    """Cut at the spaces that are in no bracket."""
    depth, one = 0, ""
    for letter in text:
        depth += letter in "{[("
        depth -= letter in "}])"
        if letter.isspace() and depth == 0:
            if one:
                yield one
            one = ""
        else:
            one += letter
    if one:
        yield one
