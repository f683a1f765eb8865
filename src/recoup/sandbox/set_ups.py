"""Open pages on which customers leave a payment method, and keep what they leave.

Like the acquirer, nothing here yields to the event loop between looking for a page and writing:
of two clicks that come at once the second finds a page that was used.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Final

from yarl import URL

from recoup.sandbox.acquirer import KEY_REUSED, Acquirer
from recoup.sandbox.answers import Answer, invalid_request, json_answer
from recoup.sandbox.bodies import read_body
from recoup.sandbox.books import Books
from recoup.sandbox.charges import event_id_of
from recoup.sandbox.method_book import PageEntry
from recoup.sandbox.methods import PAGE_LASTS, Method, SetUpAsk, SetUpPage, set_up_page_id_for
from recoup.sandbox.tokens import OFFERED

NO_ADDRESS: Final = invalid_request(
    "parameter_invalid", "success_redirect_url is no address that a browser could go to."
)


class SetUps:
    """Opens pages and finds them; `news` is called whenever an event is written."""

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

    def open(
        self, account: str, key: str, raw_body: bytes, *, page_url: Callable[[str], str]
    ) -> Answer:
        """Open a page for a customer: the same key again gets the same page, as it stands.

        `page_url` tells where a page with this id can be seen.

        :raises Refused: for a body that cannot be read.
        """
        digest = sha256(raw_body).digest()
        if before := self._books.methods.find_page_by_key(account, key):
            return _answer(before.page) if before.digest == digest else KEY_REUSED
        ask = read_body(raw_body, SetUpAsk)
        if not _is_address(ask.success_redirect_url):
            return NO_ADDRESS
        new_id, now = set_up_page_id_for(account, key), self._now()
        page = SetUpPage(
            id=new_id,
            url=page_url(new_id),
            idempotency_key=key,
            customer=ask.customer,
            success_redirect_url=ask.success_redirect_url,
            metadata=ask.metadata,
            created_at=now,
            expires_at=now + PAGE_LASTS,
        )
        self._books.methods.insert_page(PageEntry(account, page, digest))
        return _answer(page)

    def find(self, page_id: str) -> SetUpPage | None:
        """Find a page, whosever it is."""
        entry = self._books.methods.find_page(page_id)
        return entry.page if entry else None

    def leave(self, page_id: str, method_id: str) -> SetUpPage | None:
        """Let the customer leave this method on the page, and answer the page that they used.

        None, and nothing was done: the page is not open, or does not offer the method.
        """
        entry, now = self._books.methods.find_page(page_id), self._now()
        if entry is None or not entry.page.is_open(now) or method_id not in OFFERED:
            return None
        customer = entry.page.customer
        method = Method(method_id, customer, is_default=True, attached_at=now)
        told = {"payment_method": method, "set_up_page": page_id, "metadata": entry.page.metadata}
        event_id = event_id_of("attached", page_id)
        kind = "payment_method.attached"
        event = self._acquirer.event(entry.account, event_id, kind, told, at=now)
        self._books.methods.use_page(entry, method, event)
        self._news()
        return entry.page

    def methods(self, account: str, customer: str) -> list[Method]:
        """List what a customer of this account has left, the newest first: their default."""
        return self._books.methods.of_customer(account, customer)


def _answer(page: SetUpPage) -> Answer:
    return json_answer({"set_up_page": page})


def _is_address(text: str) -> bool:
    try:
        return bool(URL(text).host)
    except ValueError:
        return False
