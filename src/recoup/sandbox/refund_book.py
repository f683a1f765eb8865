"""The book of refunds."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from recoup.sandbox.charges import Refund
from recoup.sandbox.event_book import Event, EventBook
from recoup.sandbox.ledger_file import LedgerFile, as_json, instant, micros

TABLES: Final = """
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


class RefundBook:
    """Every refund, whatever became of it."""

    def __init__(self, file: LedgerFile, events: EventBook) -> None:
        self._file = file
        self._events = events
        file.db.executescript(TABLES)

    def insert(self, account: str, refund: Refund, event: Event, *, digest: bytes) -> None:
        """Write down a refund, and the event that tells of it."""
        row = (
            refund.id, account, refund.idempotency_key, refund.charge, refund.amount,
            refund.currency, refund.status, refund.reference, as_json(refund.metadata),
            micros(refund.created_at), digest,
        )  # fmt: skip
        with self._file.transaction():
            self._file.db.execute(INSERT_REFUND, row)
            self._events.add(event)

    def find(self, account: str, idempotency_key: str) -> tuple[Refund, bytes] | None:
        """The one refund under this key, and the digest of what asked for it."""
        where = "WHERE account = ? AND idempotency_key = ?"
        row = self._file.db.execute(REFUND + where, (account, idempotency_key)).fetchone()
        return (_refund(row), row[-1]) if row else None

    def all(self) -> list[Refund]:
        """List every refund of every account, oldest first."""
        return [_refund(row) for row in self._file.db.execute(REFUND + "ORDER BY seq")]

    def refunded(self, charge_id: str) -> int:
        """How much of a charge has gone back, in minor units."""
        sql = "SELECT coalesce(sum(amount), 0) FROM refunds WHERE charge = ? AND status <> 'failed'"
        amount: int = self._file.db.execute(sql, (charge_id,)).fetchone()[0]
        return amount


def _refund(row: Sequence[Any]) -> Refund:
    refund_id, key, charge, amount, currency, status, reference, metadata, created_at, _ = row
    return Refund(
        id=refund_id, idempotency_key=key, charge=charge, amount=amount, currency=currency,
        status=status, reference=reference,
        metadata=msgspec.json.decode(metadata, type=dict[str, str]),
        created_at=instant(created_at),
    )  # fmt: skip
