"""How many retries one API process takes per second, beside PostgreSQL at the same writes.

The rounds alternate, so that whatever else the machine does hits all sides. No worker runs: what is
begun here stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from bench import load, pgbench
from bench.installation import Shop
from bench.load import Seen
from bench.pgbench import Measured
from bench.processes import run
from bench.stock import Stock

CLIENTS: Final = 32
WARM_UP_SECONDS: Final = 1.0
CALIBRATION_SECONDS: Final = 1
SPARE: Final = 1.5  # times what a round is expected to use

_BEGUN: Final = """
    SELECT (SELECT count(*) FROM payments
             WHERE organization_id = $1 AND state = 'ready') AS payments,
           -- Not those of documents: what settled before has left some.
           (SELECT count(*) FROM pgqueuer WHERE entrypoint = 'submit_attempt') AS jobs
"""


class MiscountError(Exception):
    """The database does not hold what was counted outside."""


class Rounds(msgspec.Struct, frozen=True):
    """What the rounds at one shop gave, in their order."""

    postgres: list[float]  # transactions per second
    postgres_untold: list[float]
    recoup: list[Seen]

    @property
    def rates(self) -> list[float]:
        """Recoup's retries per second."""
        return [seen.per_second for seen in self.recoup]


class Till:
    """Measures retries at one shop, and checks each round by what the database then holds."""

    def __init__(self, shop: Shop, stock: Stock) -> None:
        self._shop = shop
        self._stock = stock
        self._begun = 0

    async def prepare(self, *, rounds: int, seconds: int) -> None:
        """Find out how fast this machine is, and lay in invoices for all rounds."""
        await self._stock.lay_in(30_000 * CALIBRATION_SECONDS)
        self._begun = await self._count()
        by_itself = await self.postgres_untold(seconds=CALIBRATION_SECONDS)
        recoup = await self.recoup(seconds=CALIBRATION_SECONDS)
        both = 2 * by_itself.per_second * seconds + recoup.per_second * (seconds + WARM_UP_SECONDS)
        await self._stock.lay_in(int(rounds * both * SPARE))

    async def postgres(self, *, seconds: int) -> Measured:
        """A round of pgbench."""
        measured = await pgbench.measure(
            self._shop, first=self._stock.used, clients=CLIENTS, seconds=seconds
        )
        await self._check(measured.transactions)
        return measured

    async def postgres_untold(self, *, seconds: int) -> Measured:
        """A round of pgbench that tells no worker of its jobs.

        With the queue's NOTIFY, PostgreSQL lets transactions commit one after the other. Who shares
        a transaction among many asks pays for that once, and pgbench every time.
        """
        await self._shop.owner.execute("ALTER TABLE pgqueuer DISABLE TRIGGER USER")
        try:
            return await self.postgres(seconds=seconds)
        finally:
            await self._shop.owner.execute("ALTER TABLE pgqueuer ENABLE TRIGGER USER")

    async def recoup(self, *, seconds: int) -> Seen:
        """A round of `POST /api/v1/invoices/{lago_id}/retry_payment`."""
        host, _, port = self._shop.api.address.removeprefix("http://").rpartition(":")
        ask = load.Ask(
            host=host,
            port=int(port),
            api_key=self._shop.api_key,
            first=self._stock.used,
            end=self._stock.made,
            clients=CLIENTS,
            warm_up_seconds=WARM_UP_SECONDS,
            seconds=seconds,
        )
        said = await run(
            *(sys.executable, "-m", "bench.load"), env={}, asked=msgspec.json.encode(ask)
        )
        seen = msgspec.json.decode(said, type=Seen)
        await self._check(seen.answered)
        return seen

    async def _check(self, counted: int) -> None:
        begun = await self._count()
        if begun - self._begun != counted:
            raise MiscountError(f"{counted} were counted, {begun - self._begun} attempts are there")
        self._begun = begun
        await self._stock.count_used()

    async def _count(self) -> int:
        row = await self._shop.owner.fetchrow(_BEGUN, self._shop.organization_id)
        assert row is not None, "an aggregate has one row"
        if row["payments"] != row["jobs"]:
            raise MiscountError(f"{row['payments']} attempts wait, {row['jobs']} jobs")
        return int(row["payments"])


async def measure(tills: Sequence[Till], *, rounds: int, seconds: int) -> list[Rounds]:
    """Measure each till in turn, again and again; answer what each gave, in their order.

    Without NOTIFY, PostgreSQL is measured at the first till only.
    """
    for till in tills:
        await till.prepare(rounds=rounds, seconds=seconds)
    given = [Rounds([], [], []) for _ in tills]
    for _ in range(rounds):
        for till, of_till in zip(tills, given, strict=True):
            of_till.postgres.append((await till.postgres(seconds=seconds)).per_second)
        for till, of_till in zip(tills, given, strict=True):
            of_till.recoup.append(await till.recoup(seconds=seconds))
        untold = await tills[0].postgres_untold(seconds=seconds)
        given[0].postgres_untold.append(untold.per_second)
    return given
