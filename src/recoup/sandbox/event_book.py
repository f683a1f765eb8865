"""The book of events: who is to be told of what, and who has been."""

import sqlite3
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec

from recoup.sandbox.ledger_file import LedgerFile, micros

TABLES: Final = """
    CREATE TABLE IF NOT EXISTS endpoints (
        id      INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        url     TEXT NOT NULL,
        secret  TEXT NOT NULL,
        UNIQUE (account, url)
    );
    CREATE TABLE IF NOT EXISTS events (
        seq  INTEGER PRIMARY KEY,
        id   TEXT NOT NULL UNIQUE,
        body BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS deliveries (
        event    INTEGER NOT NULL REFERENCES events (seq),
        endpoint INTEGER NOT NULL REFERENCES endpoints (id),
        state    TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'lost', 'given_up')),
        due_at   INTEGER NOT NULL,
        tries    INTEGER NOT NULL DEFAULT 0,
        copies   INTEGER NOT NULL,
        is_held  INTEGER NOT NULL,  -- until a later event has arrived, or due_at
        PRIMARY KEY (endpoint, event)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS waiting ON deliveries (endpoint, due_at, event)
        WHERE state = 'waiting';
    CREATE INDEX IF NOT EXISTS held ON deliveries (endpoint, event)
        WHERE is_held AND state = 'waiting';
"""
SAVE_ENDPOINT: Final = """
    INSERT INTO endpoints (account, url, secret) VALUES (?, ?, ?)
        ON CONFLICT (account, url) DO UPDATE SET secret = excluded.secret
"""
INSERT_DELIVERY: Final = """
    INSERT INTO deliveries (event, endpoint, state, due_at, copies, is_held)
    VALUES (?, ?, ?, ?, ?, ?)
"""
ENDPOINTS_WITH_WORK: Final = """
    SELECT id, url, secret FROM endpoints
     WHERE EXISTS (SELECT 1 FROM deliveries
                    WHERE endpoint = endpoints.id AND state = 'waiting' AND due_at <= ?)
"""
DUE_DELIVERIES: Final = """
    SELECT d.endpoint, d.event, d.tries, d.copies, e.body
      FROM deliveries d JOIN events e ON e.seq = d.event
     WHERE d.endpoint = ? AND d.state = 'waiting' AND d.due_at <= ?
     ORDER BY d.due_at, d.event LIMIT ?
"""
RELEASE_OVERTAKEN: Final = """
    UPDATE deliveries SET due_at = min(due_at, ?), is_held = 0
     WHERE endpoint = ? AND event < ? AND is_held AND state = 'waiting'
"""


class Endpoint(msgspec.Struct, frozen=True):
    """Where an account wants its events."""

    id: int
    url: str
    secret: str


class Event(msgspec.Struct, frozen=True):
    """An event as it will be sent, byte for byte, with how it travels to each endpoint."""

    id: str
    body: bytes
    deliveries: tuple["NewDelivery", ...]


class NewDelivery(msgspec.Struct, frozen=True):
    """An event's way to one endpoint; with no copies it is lost, and only the books know."""

    endpoint: int
    due_at: datetime
    copies: int = 1
    is_held: bool = False


class Delivery(msgspec.Struct, frozen=True):
    """An event that is due at an endpoint; `tries` counts those before this one."""

    endpoint: int
    event: int
    tries: int
    copies: int
    body: bytes


class EventBook:
    """Events, the endpoints that want them, and the way of each event to each endpoint."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file
        file.db.executescript(TABLES)

    def insert(self, event: Event) -> None:
        """Write down an event that tells of something else than a charge's status, once."""
        with suppress(sqlite3.IntegrityError), self._file.transaction():  # told before
            self.add(event)

    def add(self, event: Event) -> None:
        """Write down an event, in the transaction of what it tells of."""
        sql = "INSERT INTO events (id, body) VALUES (?, ?)"
        seq = self._file.db.execute(sql, (event.id, event.body)).lastrowid
        rows = (
            (
                seq,
                delivery.endpoint,
                "waiting" if delivery.copies else "lost",
                micros(delivery.due_at),
                delivery.copies,
                delivery.is_held,
            )
            for delivery in event.deliveries
        )
        self._file.db.executemany(INSERT_DELIVERY, rows)

    def save_endpoint(self, account: str, url: str, secret: str) -> None:
        """Keep where an account wants its events; the same address again changes its secret."""
        with self._file.transaction():
            self._file.db.execute(SAVE_ENDPOINT, (account, url, secret))

    def endpoints(self, account: str) -> list[Endpoint]:
        """List an account's endpoints, oldest first."""
        sql = "SELECT id, url, secret FROM endpoints WHERE account = ? ORDER BY id"
        return [Endpoint(*row) for row in self._file.db.execute(sql, (account,))]

    def endpoints_with_work(self, now: datetime) -> list[Endpoint]:
        """List the endpoints that should be sent something by now."""
        return [
            Endpoint(*row) for row in self._file.db.execute(ENDPOINTS_WITH_WORK, (micros(now),))
        ]

    def due_deliveries(self, endpoint: int, now: datetime, *, limit: int) -> list[Delivery]:
        """List what should have been sent to an endpoint by now, longest due first."""
        rows = self._file.db.execute(DUE_DELIVERIES, (endpoint, micros(now), limit))
        return [Delivery(*row) for row in rows]

    def note_delivered(self, delivery: Delivery, now: datetime) -> None:
        """Note an event's arrival, which sets free the earlier ones held back for it."""
        with self._file.transaction():
            self._end_delivery(delivery, "delivered")
            self._file.db.execute(
                RELEASE_OVERTAKEN, (micros(now), delivery.endpoint, delivery.event)
            )

    def note_not_delivered(self, delivery: Delivery, *, next_try_at: datetime | None) -> None:
        """Note a try in vain, and when to try again; None gives up."""
        with self._file.transaction():
            if next_try_at is None:
                self._end_delivery(delivery, "given_up")
                return
            sql = """UPDATE deliveries SET tries = tries + 1, due_at = ?, is_held = 0
                      WHERE endpoint = ? AND event = ?"""
            self._file.db.execute(sql, (micros(next_try_at), delivery.endpoint, delivery.event))

    def _end_delivery(self, delivery: Delivery, state: str) -> None:
        sql = """UPDATE deliveries SET tries = tries + 1, state = ?
                  WHERE endpoint = ? AND event = ?"""
        self._file.db.execute(sql, (state, delivery.endpoint, delivery.event))
