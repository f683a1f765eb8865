"""The book of charges, and of the calls that made them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from recoup.sandbox.answers import Answer
from recoup.sandbox.charges import Charge, Decline, NextAction, Status
from recoup.sandbox.event_book import Event, EventBook
from recoup.sandbox.ledger_file import LedgerFile, as_json, instant, micros

TABLES: Final = """
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
FINISH_CHARGE: Final = """
    UPDATE charges SET status = ?, decline = ?, next_action = NULL, settles_at = NULL
     WHERE id = ? AND status IN ('processing', 'requires_action')
"""


class Entry(msgspec.Struct, frozen=True):
    """A charge with what only the sandbox knows of it: whose it is, and when it ends by itself."""

    account: str
    charge: Charge
    settles_at: datetime | None = None


class Request(msgspec.Struct, frozen=True):
    """What the call that made a charge sent and was answered, kept for replays."""

    digest: bytes
    answer: Answer


class ChargeBook:
    """Every charge, whatever became of it."""

    def __init__(self, file: LedgerFile, events: EventBook) -> None:
        self._file = file
        self._events = events
        file.db.executescript(TABLES)

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
            as_json(charge.metadata),
            micros(charge.created_at),
            as_json(charge.decline) if charge.decline else None,
            as_json(charge.next_action) if charge.next_action else None,
            micros(entry.settles_at) if entry.settles_at else None,
            paid_for,
            request.digest,
            request.answer.status,
            request.answer.body,
        )
        with self._file.transaction():
            self._file.db.execute(INSERT_CHARGE, row)
            self._events.add(event)

    def finish(self, charge: Charge, event: Event) -> None:
        """Write down that an open charge has ended as `charge` says."""
        decline = as_json(charge.decline) if charge.decline else None
        with self._file.transaction():
            done = self._file.db.execute(FINISH_CHARGE, (charge.status.value, decline, charge.id))
            assert done.rowcount == 1, "only an open charge ends, and it ends once"
            self._events.add(event)

    def all(self) -> list[Entry]:
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
        return self._entries(sql, account, micros(since), micros(before), after)

    def processing_until(self, now: datetime) -> list[Entry]:
        """List the charges that should have settled by now, in the order in which they do."""
        where = "WHERE status = 'processing' AND settles_at <= ? ORDER BY settles_at, seq"
        return self._entries(CHARGE + where, micros(now))

    def has_charge_for(self, account: str, paid_for: str, payment_method: str) -> bool:
        """Tell whether the account has charged this method for this invoice before."""
        sql = "SELECT 1 FROM charges WHERE account = ? AND paid_for = ? AND payment_method = ?"
        return (
            self._file.db.execute(sql, (account, paid_for, payment_method)).fetchone() is not None
        )

    def first_request(self, account: str, idempotency_key: str) -> Request | None:
        """Find what made the charge under this key, and how it was answered."""
        sql = """SELECT request_digest, answer_status, answer_body FROM charges
                  WHERE account = ? AND idempotency_key = ?"""
        row = self._file.db.execute(sql, (account, idempotency_key)).fetchone()
        return Request(row[0], Answer(row[1], row[2])) if row else None

    def forget_call(self, account: str, idempotency_key: str) -> bool:
        """Note that a call got lost with nothing done; False if one under this key was before."""
        sql = "INSERT INTO forgotten_calls VALUES (?, ?) ON CONFLICT DO NOTHING"
        with self._file.transaction():
            return self._file.db.execute(sql, (account, idempotency_key)).rowcount == 1

    def _entries(self, sql: str, *args: object) -> list[Entry]:
        return [_entry(row) for row in self._file.db.execute(sql, args)]


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
        created_at=instant(created_at),
        decline=msgspec.json.decode(decline, type=Decline) if decline else None,
        next_action=msgspec.json.decode(next_action, type=NextAction) if next_action else None,
    )
    return Entry(account, charge, instant(settles_at) if settles_at is not None else None)
