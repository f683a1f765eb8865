"""The book of payment methods: which customers have left, and the pages they leave them on."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from recoup.sandbox.event_book import Event, EventBook
from recoup.sandbox.ledger_file import LedgerFile, as_json, instant, micros
from recoup.sandbox.methods import Method, SetUpPage

TABLES: Final = """
    CREATE TABLE IF NOT EXISTS set_up_pages (
        seq                  INTEGER PRIMARY KEY,
        id                   TEXT    NOT NULL UNIQUE,
        account              TEXT    NOT NULL,
        idempotency_key      TEXT    NOT NULL,
        url                  TEXT    NOT NULL,
        customer             TEXT    NOT NULL,
        success_redirect_url TEXT    NOT NULL,
        metadata             TEXT    NOT NULL,
        created_at           INTEGER NOT NULL,
        expires_at           INTEGER NOT NULL,
        request_digest       BLOB    NOT NULL,
        payment_method       TEXT    CHECK ((payment_method IS NULL) = (used_at IS NULL)),
        used_at              INTEGER CHECK (used_at < expires_at),
        UNIQUE (account, idempotency_key)  -- one key, one page: whatever the code above does
    );
    CREATE TABLE IF NOT EXISTS payment_methods (
        seq            INTEGER PRIMARY KEY,  -- the customer's highest is their default
        account        TEXT    NOT NULL,
        customer       TEXT    NOT NULL,
        payment_method TEXT    NOT NULL,
        attached_at    INTEGER NOT NULL,
        UNIQUE (account, customer, payment_method)  -- left once more, it is the newest, not another
    );
"""
PAGE: Final = """
    SELECT account, id, url, idempotency_key, customer, success_redirect_url, metadata, created_at,
           expires_at, payment_method, used_at, request_digest
      FROM set_up_pages
"""
INSERT_PAGE: Final = """
    INSERT INTO set_up_pages (account, id, url, idempotency_key, customer, success_redirect_url,
                              metadata, created_at, expires_at, request_digest)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
USE_PAGE: Final = """
    UPDATE set_up_pages SET payment_method = ?, used_at = ? WHERE id = ? AND used_at IS NULL
"""
ATTACH: Final = """
    INSERT OR REPLACE INTO payment_methods (account, customer, payment_method, attached_at)
    VALUES (?, ?, ?, ?)
"""
METHODS: Final = """
    SELECT payment_method, customer, attached_at FROM payment_methods
     WHERE account = ? AND customer = ? ORDER BY seq DESC
"""


class PageEntry(msgspec.Struct, frozen=True):
    """A page with what only the sandbox knows of it: whose it is, and what has asked for it."""

    account: str
    page: SetUpPage
    digest: bytes


class MethodBook:
    """Every page to leave a method on, and every method that was left."""

    def __init__(self, file: LedgerFile, events: EventBook) -> None:
        self._file = file
        self._events = events
        file.db.executescript(TABLES)

    def insert_page(self, entry: PageEntry) -> None:
        """Write down a new page."""
        page = entry.page
        row = (
            entry.account, page.id, page.url, page.idempotency_key, page.customer,
            page.success_redirect_url, as_json(page.metadata), micros(page.created_at),
            micros(page.expires_at), entry.digest,
        )  # fmt: skip
        with self._file.transaction():
            self._file.db.execute(INSERT_PAGE, row)

    def find_page(self, page_id: str) -> PageEntry | None:
        """Find a page, whosever it is."""
        row = self._file.db.execute(PAGE + "WHERE id = ?", (page_id,)).fetchone()
        return _page(row) if row else None

    def find_page_by_key(self, account: str, idempotency_key: str) -> PageEntry | None:
        """Find the one page that an account has asked for under this key."""
        where = "WHERE account = ? AND idempotency_key = ?"
        row = self._file.db.execute(PAGE + where, (account, idempotency_key)).fetchone()
        return _page(row) if row else None

    def use_page(self, entry: PageEntry, method: Method, event: Event) -> None:
        """Write down that a page was used, whose the method is now, and the event that tells it."""
        at = micros(method.attached_at)
        with self._file.transaction():
            done = self._file.db.execute(USE_PAGE, (method.id, at, entry.page.id))
            assert done.rowcount == 1, "a page is used once"
            self._file.db.execute(ATTACH, (entry.account, method.customer, method.id, at))
            self._events.add(event)

    def of_customer(self, account: str, customer: str) -> list[Method]:
        """List what a customer of this account has left, the newest first: their default."""
        rows = self._file.db.execute(METHODS, (account, customer)).fetchall()
        return [
            Method(method_id, whose, is_default=position == 0, attached_at=instant(at))
            for position, (method_id, whose, at) in enumerate(rows)
        ]


def _page(row: Sequence[Any]) -> PageEntry:
    account, page_id, url, key, customer, redirect, metadata, created, expires, *rest = row
    method, used_at, digest = rest
    page = SetUpPage(
        id=page_id,
        url=url,
        idempotency_key=key,
        customer=customer,
        success_redirect_url=redirect,
        metadata=msgspec.json.decode(metadata, type=dict[str, str]),
        created_at=instant(created),
        expires_at=instant(expires),
        payment_method=method,
        used_at=instant(used_at) if used_at is not None else None,
    )
    return PageEntry(account, page, digest)
