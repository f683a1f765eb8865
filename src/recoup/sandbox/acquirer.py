"""Decide what becomes of each charge, and write it down with the event that tells of it.

Nothing here yields to the event loop: between looking for a key and writing its charge no other
call can come, so there is one charge per key without any lock.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Final

import msgspec

from recoup.sandbox.answers import Answer, charge_answer, error_answer, invalid_request
from recoup.sandbox.bodies import read_body
from recoup.sandbox.books import Books
from recoup.sandbox.charge_book import Entry, Request
from recoup.sandbox.charges import (
    Charge,
    ChargeAsk,
    Decline,
    HostedPage,
    NextAction,
    Status,
    charge_id_for,
    event_id_for,
    event_id_of,
)
from recoup.sandbox.event_book import Event, NewDelivery
from recoup.sandbox.faults import Faults
from recoup.sandbox.tokens import TOKENS, Token

PROCESSING_SECONDS: Final = (0.6, 1.8)  # promised: at least half a second, at most about two
KEY_REUSED: Final = error_answer(
    400,
    "idempotency_error",
    "idempotency_key_reused",
    "This Idempotency-Key was used with another body; another request needs another key.",
)
METHOD_UNKNOWN: Final = invalid_request(
    "payment_method_unknown", f"Known payment methods are {', '.join(TOKENS)}."
)
NO_ANSWER: Final = error_answer(
    500, "api_error", "internal_error", "Nothing was done, and nobody will read this."
)


class Acquirer:
    """Takes charges, ends them, and finds them; `news` is called whenever an event is written."""

    def __init__(
        self,
        books: Books,
        *,
        faults: Faults,
        rng: Random,
        now: Callable[[], datetime],
        news: Callable[[], None],
    ) -> None:
        self._books = books
        self._faults = faults
        self._rng = rng
        self._now = now
        self._news = news

    def charge(
        self, account: str, key: str, raw_body: bytes, *, page_url: Callable[[str], str]
    ) -> Answer:
        """Take a charge: at most one per key, however often this is called.

        `page_url` tells where the payer of a charge with this id can be sent.

        :raises Refused: for a body that cannot be read.
        """
        digest = sha256(raw_body).digest()
        if first := self._books.charges.first_request(account, key):
            return _replay(first, digest)
        ask = read_body(raw_body, ChargeAsk)
        if ask.payment_method not in TOKENS:
            return METHOD_UNKNOWN
        token = TOKENS[ask.payment_method]
        if token.forgets_first_call and self._books.charges.forget_call(account, key):
            return msgspec.structs.replace(NO_ANSWER, fault=token.first_call)
        entry = self._begin(account, key, ask, page_url)
        answer = charge_answer(entry.charge)
        event = self._event(account, entry.charge, at=entry.charge.created_at)
        request = Request(digest, answer)
        self._books.charges.insert(entry, event, paid_for=_paid_for(ask), request=request)
        self._news()
        # A token that forgets has had its fault in the call that was forgotten.
        fault = None if token.forgets_first_call else token.first_call
        return msgspec.structs.replace(answer, fault=fault)

    def charges(self) -> list[Charge]:
        """List every charge of every account as it stands, oldest first."""
        self.settle_due()
        return [entry.charge for entry in self._books.charges.all()]

    def find(self, charge_id: str) -> Entry | None:
        """Find a charge as it stands, whosever it is."""
        self.settle_due()
        return self._books.charges.find(charge_id)

    def find_by_key(self, account: str, key: str) -> Entry | None:
        """Find the charge that an account has made under this key, as it stands."""
        self.settle_due()
        return self._books.charges.find_by_key(account, key)

    def made_between(
        self, account: str, since: datetime, before: datetime, *, after: str, most: int
    ) -> list[Entry]:
        """List what an account has charged in this time, as it stands, by id."""
        self.settle_due()
        return self._books.charges.made_between(account, since, before, after=after, most=most)

    def settle_due(self) -> None:
        """End the processing charges whose time has come, each as of that time.

        Called before every read, so that what is read is true whether or not anything runs in
        the background, and however far a simulated clock has jumped.
        """
        for entry in self._books.charges.processing_until(self._now()):
            token = TOKENS[entry.charge.payment_method]
            assert token.ends, "only a token that ends by itself leaves a charge processing"
            self._end(entry, token.ends, token.decline, at=entry.settles_at or self._now())

    def approve(self, entry: Entry) -> None:
        """Let the payer's yes end an open charge."""
        self._end(entry, Status.SUCCEEDED, None, at=self._now())

    def fail(self, entry: Entry, decline: Decline) -> Charge:
        """End an open charge without money, and answer how it stands then."""
        return self._end(entry, Status.FAILED, decline, at=self._now())

    def _begin(
        self, account: str, key: str, ask: ChargeAsk, page_url: Callable[[str], str]
    ) -> Entry:
        now = self._now()
        new_id = charge_id_for(account, key)
        status, decline = self._first_status(account, ask, TOKENS[ask.payment_method])
        charge = Charge(
            id=new_id,
            amount=ask.amount,
            currency=ask.currency,
            status=status,
            idempotency_key=key,
            payment_method=ask.payment_method,
            customer=ask.customer,
            reference=ask.reference,
            metadata=ask.metadata,
            created_at=now,
            decline=decline,
            next_action=(
                NextAction(HostedPage(page_url(new_id)))
                if status is Status.REQUIRES_ACTION
                else None
            ),
        )
        if status is not Status.PROCESSING:
            return Entry(account, charge)
        seconds = self._rng.uniform(*PROCESSING_SECONDS)
        return Entry(account, charge, settles_at=now + timedelta(seconds=seconds))

    def _first_status(
        self, account: str, ask: ChargeAsk, token: Token
    ) -> tuple[Status, Decline | None]:
        if token.declines_first_of_invoice:
            if self._books.charges.has_charge_for(account, _paid_for(ask), ask.payment_method):
                return Status.SUCCEEDED, None
            return Status.FAILED, token.decline
        if token.declines_off_session and ask.off_session:
            return Status.FAILED, token.decline
        return token.begins, token.decline if token.begins is Status.FAILED else None

    def _end(
        self, entry: Entry, status: Status, decline: Decline | None, *, at: datetime
    ) -> Charge:
        ended = msgspec.structs.replace(
            entry.charge, status=status, decline=decline, next_action=None
        )
        self._books.charges.finish(ended, self._event(entry.account, ended, at=at))
        self._news()
        return ended

    def dispute(self, entry: Entry) -> None:
        """Let the payer's bank take the money of a paid charge back."""
        event_id = event_id_of("disputed", entry.charge.id)
        told = self.event(
            entry.account, event_id, "charge.disputed", {"charge": entry.charge}, at=self._now()
        )
        self._books.events.insert(told)
        self._news()

    def _event(self, account: str, charge: Charge, *, at: datetime) -> Event:
        kind = f"charge.{charge.status}"
        return self.event(account, event_id_for(charge), kind, {"charge": charge}, at=at)

    def event(
        self, account: str, event_id: str, kind: str, data: dict[str, object], *, at: datetime
    ) -> Event:
        """Make an event, and draw how it travels to each of the account's endpoints."""
        told = {"id": event_id, "type": kind, "created_at": at, "data": data}
        deliveries = []
        for endpoint in self._books.events.endpoints(account):
            journey = self._faults.draw_journey(self._rng)
            due_at = self._now() + timedelta(seconds=journey.late_seconds)
            deliveries.append(NewDelivery(endpoint.id, due_at, journey.copies, journey.is_held))
        return Event(event_id, msgspec.json.encode(told), tuple(deliveries))


def _replay(first: Request, digest: bytes) -> Answer:
    if first.digest != digest:
        return KEY_REUSED
    return msgspec.structs.replace(first.answer, headers={"Idempotent-Replayed": "true"})


def _paid_for(ask: ChargeAsk) -> str:
    """Say which invoice a charge is for, as far as the caller tells."""
    return ask.metadata.get("lago_invoice_id") or ask.reference or ask.customer
