"""The sandbox's books: charges, events and who is to be told, in one SQLite file.

Every call is one short transaction and does not yield to the event loop, so nothing comes between
looking and writing. One process writes; others may read the file meanwhile.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from recoup.sandbox.answers import Answer
from recoup.sandbox.charges import Charge, Decline, NextAction, Refund, Status

SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS charges (
        seq             INTEGER PRIMARY KEY,
        id              TEXT    NOT NULL UNIQUE,
        account         TEXT    NOT NULL,
        idempotency_key TEXT    NOT NULL,
        amount          INTEGER NOT NULL CHECK (amount > 0),
        currency        TEXT    NOT NULL,
        status          TEXT    NOT NULL
            CHECK (status IN ('succeeded', 'failed', 'processing', 'requires_action')),
        payment_method  TEXT    NOT NULL,
        customer        TEXT    NOT NULL,
        reference       TEXT    NOT NULL,
        metadata        TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,  -- instants are microseconds since 1970
        decline         TEXT    CHECK ((status = 'failed') = (decline IS NOT NULL)),
        next_action     TEXT,
        settles_at      INTEGER CHECK ((status = 'processing') = (settles_at IS NOT NULL)),
        paid_for        TEXT    NOT NULL,  -- what a test token counts as one invoice
        request_digest  BLOB    NOT NULL,
        answer_status   INTEGER NOT NULL,  -- the first answer, for replays
        answer_body     BLOB    NOT NULL,
        UNIQUE (account, idempotency_key)  -- one key, one charge: whatever the code above does
    );
    CREATE INDEX IF NOT EXISTS processing ON charges (settles_at) WHERE status = 'processing';
    CREATE INDEX IF NOT EXISTS by_invoice ON charges (account, paid_for, payment_method);

    -- Calls that were lost before anything was done. Not in `charges`: they leave no trace there.
    CREATE TABLE IF NOT EXISTS forgotten_calls (
        account         TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        PRIMARY KEY (account, idempotency_key)
    ) WITHOUT ROWID;

    CREATE TABLE IF NOT EXISTS refunds (
        seq             INTEGER PRIMARY KEY,
        id              TEXT    NOT NULL UNIQUE,
        account         TEXT    NOT NULL,
        idempotency_key TEXT    NOT NULL,
        charge          TEXT    NOT NULL REFERENCES charges (id),
        amount          INTEGER NOT NULL CHECK (amount > 0),
        currency        TEXT    NOT NULL,
        status          TEXT    NOT NULL CHECK (status IN ('succeeded', 'failed')),
        reference       TEXT    NOT NULL,
        metadata        TEXT    NOT NULL,
        created_at      INTEGER NOT NULL,
        request_digest  BLOB    NOT NULL,
        UNIQUE (account, idempotency_key)  -- one key, one refund: whatever the code above does
    );

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
CHARGE: Final = """
    SELECT account, id, amount, currency, status, idempotency_key, payment_method, customer,
           reference, metadata, created_at, decline, next_action, settles_at
      FROM charges
"""
INSERT_CHARGE: Final = """
    INSERT INTO charges (account, id, amount, currency, status, idempotency_key, payment_method,
                         customer, reference, metadata, created_at, decline, next_action,
                         settles_at, paid_for, request_digest, answer_status, answer_body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
REFUND: Final = """
    SELECT id, idempotency_key, charge, amount, currency, status, reference, metadata, created_at,
           request_digest
      FROM refunds
"""
INSERT_REFUND: Final = """
    INSERT INTO refunds (id, account, idempotency_key, charge, amount, currency, status, reference,
                         metadata, created_at, request_digest)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
FINISH_CHARGE: Final = """
    UPDATE charges SET status = ?, decline = ?, next_action = NULL, settles_at = NULL
     WHERE id = ? AND status IN ('processing', 'requires_action')
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
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(msgspec.Struct, frozen=True):
    """A charge with what only the sandbox knows of it: whose it is, and when it ends by itself."""

    account: str
    charge: Charge
    settles_at: datetime | None = None


class Request(msgspec.Struct, frozen=True):
    """What the call that made a charge sent and was answered, kept for replays."""

    digest: bytes
    answer: Answer


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


class Books:
    """The books in one file. Made again from the same file, they know everything they knew."""

    def __init__(self, ledger: Path | str) -> None:
        """Open the file, making it if need be; `:memory:` keeps nothing.

        :raises sqlite3.Error: if the file cannot be opened or is something else.
        """
        self._db = sqlite3.connect(ledger, isolation_level=None, timeout=5.0)
        self._db.execute("PRAGMA journal_mode = WAL")
        # With WAL this survives the death of the process; only a power cut may take the last word.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()

    def insert(self, entry: Entry, event: Event, *, paid_for: str, request: Request) -> None:
        """Write down a new charge, the answer to its call, and the event that tells of it."""
        charge = entry.charge
        row = (
            entry.account,
            charge.id,
            charge.amount,
            charge.currency,
            charge.status.value,
            charge.idempotency_key,
            charge.payment_method,
            charge.customer,
            charge.reference,
            _json(charge.metadata),
            _micros(charge.created_at),
            _json(charge.decline) if charge.decline else None,
            _json(charge.next_action) if charge.next_action else None,
            _micros(entry.settles_at) if entry.settles_at else None,
            paid_for,
            request.digest,
            request.answer.status,
            request.answer.body,
        )
        with self._transaction():
            self._db.execute(INSERT_CHARGE, row)
            self._insert_event(event)

    def finish(self, charge: Charge, event: Event) -> None:
        """Write down that an open charge has ended as `charge` says."""
        decline = _json(charge.decline) if charge.decline else None
        with self._transaction():
            done = self._db.execute(FINISH_CHARGE, (charge.status.value, decline, charge.id))
            assert done.rowcount == 1, "only an open charge ends, and it ends once"
            self._insert_event(event)

    def all_charges(self) -> list[Entry]:
        """List every charge of every account, oldest first."""
        return self._entries(CHARGE + "ORDER BY seq")

    def find(self, charge_id: str) -> Entry | None:
        """Find a charge, whosever it is."""
        return next(iter(self._entries(CHARGE + "WHERE id = ?", charge_id)), None)

    def find_by_key(self, account: str, idempotency_key: str) -> Entry | None:
        """Find the one charge that an account has made under this key."""
        where = "WHERE account = ? AND idempotency_key = ?"
        return next(iter(self._entries(CHARGE + where, account, idempotency_key)), None)

    def made_between(
        self, account: str, since: datetime, before: datetime, *, after: str, most: int
    ) -> list[Entry]:
        """List what an account has charged in this time, by id; `after` is the last one seen."""
        where = "WHERE account = ? AND created_at >= ? AND created_at < ? AND id > ? ORDER BY id"
        sql = f"{CHARGE}{where} LIMIT {most:d}"
        return self._entries(sql, account, _micros(since), _micros(before), after)

    def processing_until(self, now: datetime) -> list[Entry]:
        """List the charges that should have settled by now, in the order in which they do."""
        where = "WHERE status = 'processing' AND settles_at <= ? ORDER BY settles_at, seq"
        return self._entries(CHARGE + where, _micros(now))

    def has_charge_for(self, account: str, paid_for: str, payment_method: str) -> bool:
        """Tell whether the account has charged this method for this invoice before."""
        sql = "SELECT 1 FROM charges WHERE account = ? AND paid_for = ? AND payment_method = ?"
        return self._db.execute(sql, (account, paid_for, payment_method)).fetchone() is not None

    def first_request(self, account: str, idempotency_key: str) -> Request | None:
        """Find what made the charge under this key, and how it was answered."""
        sql = """SELECT request_digest, answer_status, answer_body FROM charges
                  WHERE account = ? AND idempotency_key = ?"""
        row = self._db.execute(sql, (account, idempotency_key)).fetchone()
        return Request(row[0], Answer(row[1], row[2])) if row else None

    def forget_call(self, account: str, idempotency_key: str) -> bool:
        """Note that a call got lost with nothing done; False if one under this key was before."""
        sql = "INSERT INTO forgotten_calls VALUES (?, ?) ON CONFLICT DO NOTHING"
        with self._transaction():
            return self._db.execute(sql, (account, idempotency_key)).rowcount == 1

    def insert_event(self, event: Event) -> None:
        """Write down an event that tells of something else than a charge's status, once."""
        with suppress(sqlite3.IntegrityError), self._transaction():  # told before
            self._insert_event(event)

    def insert_refund(self, account: str, refund: Refund, event: Event, *, digest: bytes) -> None:
        """Write down a refund, and the event that tells of it."""
        row = (
            refund.id, account, refund.idempotency_key, refund.charge, refund.amount,
            refund.currency, refund.status, refund.reference, _json(refund.metadata),
            _micros(refund.created_at), digest,
        )  # fmt: skip
        with self._transaction():
            self._db.execute(INSERT_REFUND, row)
            self._insert_event(event)

    def find_refund(self, account: str, idempotency_key: str) -> tuple[Refund, bytes] | None:
        """The one refund under this key, and the digest of what asked for it."""
        where = "WHERE account = ? AND idempotency_key = ?"
        row = self._db.execute(REFUND + where, (account, idempotency_key)).fetchone()
        return (_refund(row), row[-1]) if row else None

    def refunds(self) -> list[Refund]:
        """List every refund of every account, oldest first."""
        return [_refund(row) for row in self._db.execute(REFUND + "ORDER BY seq")]

    def refunded(self, charge_id: str) -> int:
        """How much of a charge has gone back, in minor units."""
        sql = "SELECT coalesce(sum(amount), 0) FROM refunds WHERE charge = ? AND status <> 'failed'"
        amount: int = self._db.execute(sql, (charge_id,)).fetchone()[0]
        return amount

    def save_endpoint(self, account: str, url: str, secret: str) -> None:
        """Keep where an account wants its events; the same address again changes its secret."""
        with self._transaction():
            self._db.execute(SAVE_ENDPOINT, (account, url, secret))

    def endpoints(self, account: str) -> list[Endpoint]:
        """List an account's endpoints, oldest first."""
        sql = "SELECT id, url, secret FROM endpoints WHERE account = ? ORDER BY id"
        return [Endpoint(*row) for row in self._db.execute(sql, (account,))]

    def endpoints_with_work(self, now: datetime) -> list[Endpoint]:
        """List the endpoints that should be sent something by now."""
        return [Endpoint(*row) for row in self._db.execute(ENDPOINTS_WITH_WORK, (_micros(now),))]

    def due_deliveries(self, endpoint: int, now: datetime, *, limit: int) -> list[Delivery]:
        """List what should have been sent to an endpoint by now, longest due first."""
        rows = self._db.execute(DUE_DELIVERIES, (endpoint, _micros(now), limit))
        return [Delivery(*row) for row in rows]

    def note_delivered(self, delivery: Delivery, now: datetime) -> None:
        """Note an event's arrival, which sets free the earlier ones held back for it."""
        with self._transaction():
            self._end_delivery(delivery, "delivered")
            self._db.execute(RELEASE_OVERTAKEN, (_micros(now), delivery.endpoint, delivery.event))

    def note_not_delivered(self, delivery: Delivery, *, next_try_at: datetime | None) -> None:
        """Note a try in vain, and when to try again; None gives up."""
        with self._transaction():
            if next_try_at is None:
                self._end_delivery(delivery, "given_up")
                return
            sql = """UPDATE deliveries SET tries = tries + 1, due_at = ?, is_held = 0
                      WHERE endpoint = ? AND event = ?"""
            self._db.execute(sql, (_micros(next_try_at), delivery.endpoint, delivery.event))

    def _end_delivery(self, delivery: Delivery, state: str) -> None:
        sql = """UPDATE deliveries SET tries = tries + 1, state = ?
                  WHERE endpoint = ? AND event = ?"""
        self._db.execute(sql, (state, delivery.endpoint, delivery.event))

    def _insert_event(self, event: Event) -> None:
        sql = "INSERT INTO events (id, body) VALUES (?, ?)"
        seq = self._db.execute(sql, (event.id, event.body)).lastrowid
        rows = (
            (
                seq,
                delivery.endpoint,
                "waiting" if delivery.copies else "lost",
                _micros(delivery.due_at),
                delivery.copies,
                delivery.is_held,
            )
            for delivery in event.deliveries
        )
        self._db.executemany(INSERT_DELIVERY, rows)

    def _entries(self, sql: str, *args: object) -> list[Entry]:
        return [_entry(row) for row in self._db.execute(sql, args)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _entry(row: Sequence[Any]) -> Entry:
    account, charge_id, amount, currency, status, key, method, customer, reference = row[:9]
    metadata, created_at, decline, next_action, settles_at = row[9:]
    charge = Charge(
        id=charge_id,
        amount=amount,
        currency=currency,
        status=Status(status),
        idempotency_key=key,
        payment_method=method,
        customer=customer,
        reference=reference,
        metadata=msgspec.json.decode(metadata, type=dict[str, str]),
        created_at=_instant(created_at),
        decline=msgspec.json.decode(decline, type=Decline) if decline else None,
        next_action=msgspec.json.decode(next_action, type=NextAction) if next_action else None,
    )
    return Entry(account, charge, _instant(settles_at) if settles_at is not None else None)


def _refund(row: Sequence[Any]) -> Refund:
    refund_id, key, charge, amount, currency, status, reference, metadata, created_at, _ = row
    return Refund(
        id=refund_id, idempotency_key=key, charge=charge, amount=amount, currency=currency,
        status=status, reference=reference,
        metadata=msgspec.json.decode(metadata, type=dict[str, str]),
        created_at=_instant(created_at),
    )  # fmt: skip


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
