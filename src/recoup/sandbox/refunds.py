"""Pay money of a charge back: at most once per key, and never more than was taken.

Like the acquirer, nothing here yields to the event loop between looking for a key and writing.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Final

from recoup.sandbox.acquirer import KEY_REUSED, Acquirer
from recoup.sandbox.answers import Answer, invalid_request, json_answer
from recoup.sandbox.bodies import read_body
from recoup.sandbox.books import Books
from recoup.sandbox.charges import Refund, RefundAsk, Status, event_id_of, refund_id_for
from recoup.sandbox.tokens import TOKENS

CHARGE_NOT_PAID: Final = invalid_request(
    "charge_not_refundable", "This account has no such paid charge.", status=404
)
TOO_MUCH: Final = invalid_request(
    "amount_too_large", "More than is left of the charge cannot go back."
)


class Refunds:
    """Takes refunds and finds them; `news` is called whenever an event is written."""

    def __init__(
        self,
        acquirer: Acquirer,
        books: Books,
        *,
        now: Callable[[], datetime],
        news: Callable[[], None],
    ) -> None:
        self._acquirer = acquirer
        self._books = books
        self._now = now
        self._news = news

    def refund(self, account: str, key: str, raw_body: bytes) -> Answer:
        """Pay back: the same key again gets the same refund.

        :raises Refused: for a body that cannot be read.
        """
        digest = sha256(raw_body).digest()
        if before := self._books.refunds.find(account, key):
            refund, first = before
            return _answer(refund) if first == digest else KEY_REUSED
        ask = read_body(raw_body, RefundAsk)
        entry = self._acquirer.find(ask.charge)
        if entry is None or entry.account != account or entry.charge.status != Status.SUCCEEDED:
            return CHARGE_NOT_PAID
        if ask.amount > entry.charge.amount - self._books.refunds.refunded(ask.charge):
            return TOO_MUCH
        refuses = TOKENS[entry.charge.payment_method].refuses_refunds
        refund = Refund(
            id=refund_id_for(account, key),
            idempotency_key=key,
            charge=ask.charge,
            amount=ask.amount,
            currency=entry.charge.currency,
            status="failed" if refuses else "succeeded",
            reference=ask.reference,
            metadata=ask.metadata,
            created_at=self._now(),
        )
        event_id = event_id_of(refund.id, refund.status)
        kind = f"refund.{refund.status}"
        told = self._acquirer.event(account, event_id, kind, {"refund": refund}, at=self._now())
        self._books.refunds.insert(account, refund, told, digest=digest)
        self._news()
        return _answer(refund)

    def find(self, account: str, key: str) -> list[Refund]:
        """The refund that an account has made under this key, if there is one."""
        found = self._books.refunds.find(account, key)
        return [found[0]] if found else []

    def all(self) -> list[Refund]:
        """List every refund of every account, oldest first."""
        return self._books.refunds.all()


def _answer(refund: Refund) -> Answer:
    return json_answer({"refund": refund})
