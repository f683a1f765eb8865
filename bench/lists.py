"""How long a list call takes, for every filter that it may have, over HTTP.

The same tenant among few rows and among many, call by call in turn, so that whatever else the
machine does hits both. One caller on one kept connection: what is measured is a call, not a queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from statistics import median
from typing import Final, Self
from urllib.parse import quote

import msgspec

from bench.installation import Shop
from bench.numbered import Kind, numbered_id

PER_PAGE: Final = 20
FULL_PAGE: Final = 100
WARM_UP_CALLS: Final = 8  # of each list: PostgreSQL settles on a plan after five

CUSTOMER: Final = "external_customer_id=customer-7"
INVOICE: Final = f"invoice_id={numbered_id(Kind.INVOICE, 0)}"
_OF_ALL: Final = {
    "/invoices": (
        "", "page=20", CUSTOMER, "customer_external_id=customer-7", "status=voided",
        "statuses[]=draft&statuses[]=voided", "payment_status=failed",
        "payment_statuses[]=pending&payment_statuses[]=failed", "payment_overdue=true",
        "payment_overdue=false", "partially_paid=true", "self_billed=true",
        "payment_dispute_lost=true", "invoice_type=one_off", "currency=USD",
        "issuing_date_from=2025-12-01", "issuing_date_to=2025-03-01",
        "amount_from=90000", "amount_to=10000", "billing_entity_codes[]=second",
        "metadata[order]=order-8", "metadata[order]=", "purchase_order_number=po-8",
        "settlements[]=payment", "settlements[]=credit_note", "search_term=000000777",
    ),
    "/payments": ("", "page=20", CUSTOMER, INVOICE),
    "/credit_notes": (
        "", "page=20", CUSTOMER, "credit_status=available",
        "refund_status=failed", "reason=fraudulent_charge", "types[]=credit", "currency=USD",
        "invoice_number=LST-000000008", "purchase_order_number=po-8", "self_billed=true",
        "self_billed=false", "issuing_date_from=2025-12-01", "issuing_date_to=2025-03-01",
        "amount_from=90000", "amount_to=10000", "billing_entity_codes[]=second",
        "search_term=000000777",
    ),
    "/payment_requests": (
        "", "page=20", CUSTOMER, "payment_status=failed", "currency=USD",
        "billing_entity_codes[]=second",
    ),
}  # fmt: skip


def _of_a_customer(queries: Sequence[str]) -> tuple[str, ...]:
    """The filters of a list that hold below a customer as well: they have no twentieth page."""
    return tuple(one for one in queries if "customer-7" not in one and not one.startswith("page"))


# Each list with nothing asked, and with each filter that the contract names. What is asked for is
# there, but for what no fee of ours has, and what customer 7 has none of.
LISTS: Final = _OF_ALL | {
    f"/customers/customer-7{path}": _of_a_customer(queries) for path, queries in _OF_ALL.items()
} | {
    "/fees": (
        "", "page=20", "fee_type=add_on", "payment_status=failed", CUSTOMER, "currency=USD",
        "created_at_from=2025-12-01", "created_at_to=2025-03-01", "external_subscription_id=x",
        "billable_metric_code=x", "event_transaction_id=x",
        *(f"{name}_at_{end}=2025-12-01"
          for name in ("succeeded", "failed", "refunded") for end in ("from", "to")),
    ),
    "/payment_receipts": ("", "page=20", INVOICE),
    "/customers/customer-7/payment_methods": ("",),
    "/customers": (
        "", "page=4", "search_term=payer-77", "external_id=customer-7", "account_type[]=partner",
        "billing_entity_codes[]=second", "countries[]=FR", "states[]=State 7", "zipcodes[]=Zip 7",
        "currencies[]=USD", "has_tax_identification_number=true", "customer_type=company",
        "has_customer_type=false", "metadata[tier]=tier-8", "metadata[tier]=",
    ),
    "/taxes": ("",),
    "/add_ons": ("",),
}  # fmt: skip


class Asked(msgspec.Struct, frozen=True):
    """One list call."""

    path: str
    query: str

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.path} {self.query}".strip()

    def target(self, per_page: int) -> str:
        """The request's target."""
        query = f"{self.query}&per_page={per_page}".lstrip("&")
        return f"/api/v1{self.path}?{quote(query, safe='=&')}"


ALL: Final = tuple(Asked(path, query) for path, queries in LISTS.items() for query in queries)


class WrongListError(Exception):
    """A list is not answered with 200, or holds other than it should."""


class Caller:
    """One caller on one kept connection."""

    def __init__(self, shop: Shop, api_key: str | None = None) -> None:
        self._host, _, port = shop.api.address.removeprefix("http://").rpartition(":")
        self._port = int(port)
        self._key = api_key or shop.api_key

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, limit=2**26
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, target: str) -> tuple[float, bytes]:
        """Make a call; answer how many milliseconds it took, and its body.

        :raises WrongListError: it was not answered with 200.
        """
        request = (
            f"GET {target} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Authorization: Bearer {self._key}\r\n\r\n"
        ).encode()
        began = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        took = time.perf_counter() - began
        if not head.startswith(b"HTTP/1.1 200 "):
            raise WrongListError(f"{target}: {head.decode()}{body[:500].decode()}")
        return took * 1_000, body


class Times(msgspec.Struct, frozen=True):
    """How long the calls for one list took, in milliseconds, in the order of the calls."""

    asked: Asked
    few: Sequence[float]
    many: Sequence[float]


def p99(times: Sequence[float]) -> float:
    """What 99 of 100 do not pass."""
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]


def in_rounds(times: Sequence[float], rounds: int) -> list[float]:
    """The medians of so many parts of these."""
    each = len(times) // rounds
    return [median(times[turn * each : (turn + 1) * each]) for turn in range(rounds)]


async def compare(few: Shop, many: Shop, *, calls: int) -> list[Times]:
    """Ask for every list at both shops, so many times each, in turn.

    :raises WrongListError: the two do not answer alike.
    """
    seen = []
    async with Caller(few) as at_few, Caller(many) as at_many:
        for asked in ALL:
            target = asked.target(PER_PAGE)
            for _ in range(WARM_UP_CALLS):
                (_, one), (_, other) = await at_few.ask(target), await at_many.ask(target)
            if _total(one) != _total(other):
                raise WrongListError(f"{target}: {_total(one)} rows, and {_total(other)}")
            times = [
                ((await at_few.ask(target))[0], (await at_many.ask(target))[0])
                for _ in range(calls)
            ]
            seen.append(Times(asked, [one for one, _ in times], [other for _, other in times]))
    return seen


class Rendered(msgspec.Struct, frozen=True):
    """How fast pages of a hundred invoices come, one caller asking again and again."""

    lists_per_second: float
    of_its_own: float  # lists per second that the API process was busy


async def render(shop: Shop, *, seconds: float) -> Rendered:
    """Ask for pages of a hundred invoices for so long."""
    lists = 0
    async with Caller(shop) as caller:
        for _ in range(WARM_UP_CALLS):
            await caller.ask("/api/v1/invoices?per_page=100")
        busy_before, began = shop.api.busy_seconds(), time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            _, body = await caller.ask(f"/api/v1/invoices?per_page=100&page={1 + lists % 10}")
            lists += 1
        busy = shop.api.busy_seconds() - busy_before
    if len(msgspec.json.decode(body, type=_Invoices).invoices) != FULL_PAGE:
        raise WrongListError("a page of invoices is not full")
    return Rendered(lists / took, lists / max(busy, 0.01))


# In a tenant of many rows: what has to look at each of them.
IN_LARGE: Final = {
    "invoices counted": "/api/v1/invoices?per_page=1",
    "invoices of a status counted": "/api/v1/invoices?per_page=1&payment_status=failed",
    "invoices searched by number": "/api/v1/invoices?per_page=20&search_term=00000777",
    "invoices searched by payer": "/api/v1/invoices?per_page=20&search_term=payer-77@",
    "the middle page of invoices": "/api/v1/invoices?per_page=1&page={middle}",
    "payments counted": "/api/v1/payments?per_page=1",
    "fees counted": "/api/v1/fees?per_page=1",
    "customers searched": "/api/v1/customers?per_page=20&search_term=payer-77@",
}


async def look_through(
    shop: Shop, api_key: str, *, rows: int, calls: int
) -> dict[str, list[float]]:
    """Ask a large tenant's lists for what reads all of them; milliseconds of each call, by name."""
    seen = {}
    async with Caller(shop, api_key) as caller:
        for name, target in IN_LARGE.items():
            asked = target.format(middle=rows // 2)
            await caller.ask(asked)
            seen[name] = [(await caller.ask(asked))[0] for _ in range(calls)]
    return seen


class _Meta(msgspec.Struct):
    total_count: int


class _Answer(msgspec.Struct):
    meta: _Meta


class _Invoices(msgspec.Struct):
    invoices: list[msgspec.Raw]


def _total(body: bytes) -> int:
    return msgspec.json.decode(body, type=_Answer).meta.total_count
