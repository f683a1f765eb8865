"""The provider's events on their way to us: late, lost, twice, forged, and against each other.

Each act answers what came of it, in a line for the trace; None: there is nothing to do it with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from uuid import UUID

import asyncpg
import msgspec

from recoup.flows.open_provider import Providers
from recoup.flows.receive_event import receive_event
from recoup.rules.records.collection import idempotency_key
from recoup.rules.refusal import Refused
from recoup.sandbox.charge_book import Entry
from recoup.sandbox.charges import Charge, Status
from recoup.store.db import Pool
from tests.shop import MovableClock
from tests.simulation.psp import Account, Letter, Psp, event_of

AN_AGE = timedelta(minutes=20)  # beyond what a webhook's signature lasts
RECENT = 4  # of what there is, only the last ones are told of out of turn
FITTING = {
    "failed_and_paid": {Status.FAILED},
    "charged_twice": {Status.FAILED, Status.SUCCEEDED},
    "paid_and_failed": {Status.SUCCEEDED},
}


class _Told(msgspec.Struct):
    charge: Charge | None = None  # None: it tells of a refund


class _Event(msgspec.Struct):
    data: _Told


class Post:
    """Takes letters out of the provider's mailbox, and brings them to our webhook addresses."""

    def __init__(
        self,
        pool: Pool,
        owner: asyncpg.Connection,
        providers: Providers,
        psp: Psp,
        accounts: Sequence[Account],
        chance: Random,
        clock: MovableClock,
        *,
        new_id: Callable[[], UUID],
        happened: Counter[str],
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._providers = providers
        self._psp = psp
        self._accounts = {(one.tenant, one.code): one for one in accounts}
        self._chance = chance
        self._clock = clock
        self._new_id = new_id
        self._happened = happened
        self._old: list[tuple[Letter, dict[str, str]]] = []
        self.brought: set[tuple[str, Status]] = set()  # charges, and how we were told they stand

    async def the_mailbox_is_away(self) -> str:
        """Nobody takes the provider's events in, or somebody does again."""
        self._psp.mailbox_is_away = not self._psp.mailbox_is_away
        return f"the mailbox is {'away' if self._psp.mailbox_is_away else 'back'}"

    async def news_is_sent(self) -> str:
        before = len(self._psp.mailbox)
        await self._psp.run_errands()
        return f"{len(self._psp.mailbox) - before} events come in"

    async def news_arrives(self) -> str | None:
        """Any event of those that came: in any order, and some stay to come again."""
        if not self._psp.mailbox:
            return None
        position = self._chance.randrange(len(self._psp.mailbox))
        if position:
            self._happened["event_out_of_order"] += 1
        letter = self._psp.mailbox[position]
        luck = self._chance.random()
        if luck < 0.1 and not letter.is_registered:
            del self._psp.mailbox[position]
            self._happened["event_lost"] += 1
            return "an event is lost"
        headers = self._account(letter).signed(letter.body, at=self._clock.now())
        new = await self._bring(letter, headers)
        if luck > 0.3:
            del self._psp.mailbox[position]
        if not new:
            self._happened["event_twice"] += 1
        self._old.append((letter, headers))
        return f"{'news' if new else 'the same news again'}"

    async def all_news_arrives(self) -> None:
        """The rest of it, in any order; some is lost for good."""
        mailbox = self._psp.mailbox
        while mailbox:
            letter = mailbox.pop(self._chance.randrange(len(mailbox)))
            if letter.is_registered or self._chance.random() < 0.7:
                headers = self._account(letter).signed(letter.body, at=self._clock.now())
                await self._bring(letter, headers)

    async def old_news_arrives(self) -> str | None:
        """Somebody has kept an event with its signature, or has changed it."""
        if not self._old:
            return None
        letter, headers = self._chance.choice(self._old)
        body = letter.body
        if self._chance.random() < 0.5:
            body = body.replace(b"failed", b"succeeded").replace(b"}", b" }", 1)
        else:
            headers = self._account(letter).signed(body, at=self._clock.now() - AN_AGE)
        try:
            await self._receive(letter.tenant, letter.code, body, headers)
        except Refused:
            self._happened["event_forged"] += 1
            return "a forged event is turned away"
        raise AssertionError("a forged event was taken")

    async def another_account_tells(self) -> str | None:
        """Who has the secret of one account tells of what was sent through another, as paid."""
        sent = await self._owner.fetch(
            "SELECT organization_id, id, amount_cents, currency, provider_account_id,"
            "       provider_customer_id, provider_method_id FROM payments"
            " WHERE organization_id = ANY ($1::uuid[]) AND sent_at IS NOT NULL"
            " ORDER BY ended_at IS NULL, sent_at, id",
            [one.tenant for one in self._accounts.values()],
        )
        if not sent:
            return None
        row = self._chance.choice(sent[-RECENT:])
        others = [one for one in self._accounts.values() if one.id != row["provider_account_id"]]
        teller = self._chance.choice(others)
        charge = Charge(
            id=f"ch_of_another_account_{self._new_id().hex}",
            amount=row["amount_cents"],
            currency=row["currency"],
            status=Status.SUCCEEDED,
            idempotency_key=idempotency_key(row["id"]),
            payment_method=row["provider_method_id"],
            customer=row["provider_customer_id"],
            reference="",
            metadata={},
            created_at=self._clock.now(),
        )
        body = event_of(charge, at=self._clock.now())
        headers = teller.signed(body, at=self._clock.now())
        assert await self._receive(teller.tenant, teller.code, body, headers) == 1
        whose = "account" if teller.tenant == row["organization_id"] else "tenant"
        self._happened[f"another_{whose}_tells"] += 1
        return f"another {whose} tells that somebody has paid"

    async def the_provider_contradicts_itself(self) -> str | None:
        """A no is taken back, the same order is charged again, or a yes is taken back."""
        what = self._chance.choice(["failed_and_paid"] * 2 + ["charged_twice", "paid_and_failed"])
        fitting = [
            entry
            for entry in self._psp.entries()
            if entry.charge.status in FITTING[what]
            and entry.charge.idempotency_key not in self._psp.contradicted
        ]
        if not fitting:
            return None
        entry = self._chance.choice(fitting[-RECENT:])
        charge = entry.charge
        if what == "failed_and_paid":
            told = self._psp.pay_after_all(charge)
        elif not await self._has_ended(charge):
            return None  # the truth might get lost, and the lie be all that we ever hear
        elif what == "charged_twice":
            told = self._psp.charge_again(entry)
        else:
            told = self._psp.take_back(charge)
        account = self._account_of(entry)
        body = event_of(told, at=self._clock.now())
        self._psp.mailbox.append(Letter(account.tenant, account.code, body, is_registered=True))
        self._happened[what] += 1
        return f"the provider contradicts itself: {what.replace('_', ' ')}"

    async def _has_ended(self, charge: Charge) -> bool:
        attempt = UUID(charge.metadata["lago_payment_id"])
        state = await self._owner.fetchval("SELECT state FROM payments WHERE id = $1", attempt)
        return state in {"succeeded", "failed"}

    async def _bring(self, letter: Letter, headers: dict[str, str]) -> int:
        charge = msgspec.json.decode(letter.body, type=_Event).data.charge
        new = await self._receive(letter.tenant, letter.code, letter.body, headers)
        if charge:
            self.brought.add((charge.id, charge.status))
        return new

    async def _receive(self, tenant: UUID, code: str, body: bytes, headers: dict[str, str]) -> int:
        return await receive_event(
            self._pool, self._providers, tenant, kind="sandbox", code=code,
            body=body, headers=headers, new_id=self._new_id, now=self._clock.now(),
        )  # fmt: skip

    def _account(self, letter: Letter) -> Account:
        return self._accounts[letter.tenant, letter.code]

    def _account_of(self, entry: Entry) -> Account:
        [account] = [one for one in self._accounts.values() if one.name_there == entry.account]
        return account
