"""How an attempt ended, as `settle_attempt` hands it to those who plan and tell what follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from recoup.providers.protocol import Declined
from recoup.rules.declines import Decline, DeclineClass
from recoup.rules.records.collection import Attempt, Covered
from recoup.rules.records.keys import RowKey


class Success(msgspec.Struct, frozen=True):
    """An attempt that was paid, and the invoices that it has paid."""

    attempt: Attempt
    changed: tuple[RowKey, ...]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that was not paid, and why."""

    attempt: Attempt
    covered: Sequence[Covered]
    declined: Declined
    decline: Decline
    decline_class: DeclineClass
    later: bool  # the provider had taken it first, so that Lago would tell of the change
    payer_was_asked: bool  # to authenticate this very attempt: asking again would not help
    jitter: timedelta  # delays the next try
