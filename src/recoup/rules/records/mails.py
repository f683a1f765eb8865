"""A mail to a customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey


class MailKind(StrEnum):
    """What a mail is about: a word of `email_settings`, where a setting turns it on.

    A reminder is asked for by whoever makes the payment request: no setting is about it.
    """

    INVOICE_FINALIZED = "invoice.finalized"
    CREDIT_NOTE_CREATED = "credit_note.created"
    PAYMENT_RECEIPT_CREATED = "payment_receipt.created"
    PAYMENT_REQUEST_CREATED = "payment_request.created"


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `mails`. What it says is written when it is sent.

    It is `sent` when the server has it for anybody, and nothing more is to be done for the others.
    """

    organization_id: UUID
    id: UUID
    kind: str  # a `MailKind`; one that a newer release has written is given up by name
    object_id: UUID  # the row it is about
    recipients: Sequence[str]
    copies: Sequence[str] = ()
    blind_copies: Sequence[str] = ()
    taken_for: Sequence[str] = ()  # of all three: the server has it for these
    refused_for: Sequence[str] = ()  # and will not take it for these
    state: str = "waiting"  # or sent, given_up
    tries: int = 0
    send_at: datetime | None  # None: nothing more to do
    error: str | None = None  # why the last try failed
    created_at: datetime
    ended_at: datetime | None = None

    @property
    def key(self) -> RowKey:
        """Which mail this is."""
        return RowKey(self.organization_id, self.id)
