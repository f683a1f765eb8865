"""One run of the bench: opens what the asked parts need, measures them, collects figures."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from bench import lists
from bench.bulk import retry_in_bulk
from bench.figures import Figure, Target
from bench.installation import Shop, entity_of, installed, opened_shop
from bench.later_stock import lay_in_later
from bench.list_stock import OURS, Among, Tenant, lay_in_lists, lay_in_rows
from bench.processes import Program, running
from bench.retries import CLIENTS, Till, measure
from bench.settling import Settled, settle
from bench.starts import compile_all, start_twice
from bench.stock import Stock

FEW: Final = 10_000
LOOKS_THROUGH_LARGE: Final = 5

console = Console(stderr=True)


class Size(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int
    seconds: int  # of a round of retries
    settled: int  # attempts in a round of settling
    many: int  # unrelated invoices
    in_bulk: int
    list_calls: int  # of each list
    large: tuple[int, ...]  # rows of tenants that have many


FULL: Final = Size(
    rounds=3, seconds=6, settled=5_000, many=1_000_000, in_bulk=100_000, list_calls=60,
    large=(10_000, 100_000, 1_000_000),
)  # fmt: skip
QUICK: Final = Size(
    rounds=1, seconds=3, settled=2_000, many=100_000, in_bulk=20_000, list_calls=15,
    large=(10_000, 100_000),
)  # fmt: skip


class Place(msgspec.Struct, frozen=True):
    """A shop, what it has in stock, and its till."""

    shop: Shop
    stock: Stock
    till: Till


class Bench:
    """One run: opens what the asked parts need, measures them, collects figures."""

    def __init__(
        self, stack: AsyncExitStack, folder: Path, *, size: Size, database_url: str | None
    ) -> None:
        self._stack = stack
        self._folder = folder
        self._size = size
        self._database_url = database_url
        self._began = time.monotonic()
        self.figures: list[Figure] = []

    async def measure(self, parts: str) -> None:
        """Measure these parts, in the order that keeps them apart."""
        log = self._folder / "psp.log"
        psp = await self._stack.enter_async_context(
            running(sys.executable, "-m", "bench.psp", log=log, env=dict(os.environ))
        )
        if "e" in parts:
            await self._starts(psp)
        if set(parts) & set("abcd"):
            await self._attempts(parts, psp)
        if set(parts) & set("fg"):
            await self._lists(parts, psp)
        if "h" in parts:
            await self._large(psp)

    async def _attempts(self, parts: str, psp: Program) -> None:
        few = await self._open("few", psp, FEW)
        many = await self._open("many", psp, self._size.many) if "c" in parts else None
        if "b" in parts or many:
            await self._settling(few, many, psp)
        if "a" in parts or many:
            await self._retries(few, many)
        if "d" in parts:
            await self._bulk(few)

    async def _lists(self, parts: str, psp: Program) -> None:
        few = await self._open_lists("few-lists", psp, FEW)
        if "g" in parts:
            self._say("full pages …")
            seen = [
                await lists.render(few, seconds=self._size.seconds)
                for _ in range(self._size.rounds)
            ]
            page = lists.FULL_PAGE
            self._add("g", f"lists of {page} invoices, one caller", "/s",
                      [one.lists_per_second for one in seen])  # fmt: skip
            self._add("g", "  invoices in them", "/s",
                      [page * one.lists_per_second for one in seen], Target(">=", 100))  # fmt: skip
            self._add("g", "  invoices, for each second that the API is busy", "/s",
                      [page * one.of_its_own for one in seen])  # fmt: skip
        if "f" in parts:
            many = await self._open_lists("many-lists", psp, self._size.many)
            self._say("lists …")
            for times in await lists.compare(few, many, calls=self._size.list_calls):
                self._add_list(times)

    async def _large(self, psp: Program) -> None:
        shop = await self._open_shop("large", psp)
        first = 0
        for rows in self._size.large:
            self._say(f"laying in {rows:,} rows of one tenant …")
            made = await shop.installation.command("organization", "create", f"With {rows}")
            tenant = Tenant(
                made["organization_id"],
                await entity_of(shop.owner, made["organization_id"]),
                customers=rows // 10,
            )
            await lay_in_rows(shop.installation.dsn, tenant, Among(first=first, rows=rows, step=1))
            await shop.owner.execute("CHECKPOINT")
            first += rows
            seen = await lists.look_through(
                shop, made["api_key"], rows=rows, calls=LOOKS_THROUGH_LARGE
            )
            for name, times in seen.items():
                self._add("h", f"{name}, of a tenant's {rows:,}", "ms", times)

    async def _open_lists(self, name: str, psp: Program, rows: int) -> Shop:
        self._say(f"laying in {rows:,} rows for lists …")
        shop = await self._open_shop(name, psp)
        tenant = Tenant(shop.organization_id, shop.entity_id, customers=OURS // 10)
        await lay_in_lists(shop.installation.dsn, tenant, rows=rows)
        await lay_in_later(shop.installation.dsn, tenant, rows=rows, ours=OURS)
        await shop.owner.execute("CHECKPOINT")
        return shop

    async def _open_shop(self, name: str, psp: Program) -> Shop:
        installation = await self._stack.enter_async_context(
            installed(name, self._folder / name, psp=psp.address, database_url=self._database_url)
        )
        return await self._stack.enter_async_context(opened_shop(installation))

    def _add_list(self, times: lists.Times) -> None:
        rounds = self._size.rounds
        few, many = lists.in_rounds(times.few, rounds), lists.in_rounds(times.many, rounds)
        self.figures.append(
            Figure(
                part="f",
                name=times.asked.name,
                unit="ms",
                rounds=many,
                ratios=[one / other for one, other in zip(many, few, strict=True)],
                compared_with=f"of among {FEW:,}",
                target=Target("<=", 1.5, of_ratio=True),
                p99=lists.p99(times.many),
                beside_p99=lists.p99(times.few),
            )
        )

    async def _open(self, name: str, psp: Program, unrelated: int) -> Place:
        self._say(f"laying in {unrelated:,} unrelated invoices …")
        shop = await self._open_shop(name, psp)
        stock = Stock(shop)
        await stock.open(unrelated=unrelated)
        return Place(shop, stock, Till(shop, stock))

    async def _starts(self, psp: Program) -> None:
        self._say("starting …")
        await compile_all(
            self._folder / "compiling", psp=psp.address, database_url=self._database_url
        )
        starts = [
            await start_twice(
                self._folder / f"starts{number}", psp=psp.address, database_url=self._database_url
            )
            for number in range(self._size.rounds)
        ]
        self._add("e", "recoup serve: first start", "s", [one.first_seconds for one in starts],
                  Target("<", 6))  # fmt: skip
        self._add("e", "recoup serve: later start", "s", [one.later_seconds for one in starts],
                  Target("<", 3))  # fmt: skip
        self._add("e", "recoup serve: memory after its start", "MB",
                  [one.serve_megabytes for one in starts], Target("<", 200))  # fmt: skip

    async def _settling(self, few: Place, many: Place | None, psp: Program) -> None:
        seen: list[Settled] = []
        among_many: list[Settled] = []
        number = self._size.settled
        for place in filter(None, (few, many)):
            await place.stock.lay_in(number * self._size.rounds)
        for turn in range(self._size.rounds):
            self._say(f"settling, round {turn + 1} …")
            seen.append(await settle(few.shop, few.stock, psp, number))
            if many:
                among_many.append(await settle(many.shop, many.stock, psp, number))
        rates = [one.per_second for one in seen]
        self._add("b", "attempts settled by one worker", "/s", rates, Target(">=", 500))
        self._add("b", "recoup work: memory after it", "MB",
                  [one.worker_megabytes for one in seen])  # fmt: skip
        if many:
            self._among_many("settled", rates, [one.per_second for one in among_many])

    async def _retries(self, few: Place, many: Place | None) -> None:
        self._say("retries …")
        tills = [place.till for place in (few, many) if place]
        among_few, *among_many = await measure(
            tills, rounds=self._size.rounds, seconds=self._size.seconds
        )
        rates, seen = among_few.rates, among_few.recoup
        self._add("a", "PostgreSQL itself, by pgbench", "/s", among_few.postgres)
        self._add("a", "  without the queue's NOTIFY", "/s", among_few.postgres_untold)
        self._add("a", f"retries, {CLIENTS} callers, one API process", "/s", rates,
                  Target(">=", 0.4, of_ratio=True), beside=among_few.postgres,
                  compared_with="of PostgreSQL")  # fmt: skip
        self._add("a", "  the same", "/s", rates, beside=among_few.postgres_untold,
                  compared_with="of it without NOTIFY")  # fmt: skip
        self._add("a", "  half of them within", "ms", [one.p50_ms for one in seen])
        self._add("a", "  99 % of them within", "ms", [one.p99_ms for one in seen],
                  Target("<", 150))  # fmt: skip
        self._add("a", "recoup api: memory after it", "MB", [few.shop.api.resident_megabytes()])
        for of_many in among_many:
            self._add("c", "PostgreSQL itself, among many", "/s", of_many.postgres,
                      beside=among_few.postgres, compared_with="of among few")  # fmt: skip
            self._among_many("retries", rates, of_many.rates)

    async def _bulk(self, few: Place) -> None:
        self._say("bulk …")
        rate = await retry_in_bulk(few.shop, few.stock, self._size.in_bulk)
        self._add("d", f"{self._size.in_bulk:,} invoices by the bulk path", "/s", [rate],
                  Target(">=", 5_000))  # fmt: skip

    def _say(self, what: str) -> None:
        console.print(f"{time.monotonic() - self._began:4.0f} s  {what}")

    def _among_many(self, what: str, rates: Sequence[float], among_many: Sequence[float]) -> None:
        self._add("c", f"{what} among {self._size.many:,} unrelated invoices", "/s", among_many,
                  Target(">=", 0.85, of_ratio=True), beside=rates,
                  compared_with=f"of among {FEW:,}")  # fmt: skip

    def _add(
        self,
        part: str,
        name: str,
        unit: str,
        rounds: Sequence[float],
        target: Target | None = None,
        *,
        beside: Sequence[float] = (),
        compared_with: str = "",
    ) -> None:
        ratios = [one / other for one, other in zip(rounds, beside, strict=True)] if beside else []
        self.figures.append(
            Figure(
                part=part,
                name=name,
                unit=unit,
                rounds=rounds,
                ratios=ratios,
                compared_with=compared_with,
                target=target,
            )
        )
