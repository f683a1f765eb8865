"""News of an attempt, as it is brought to `settle_attempt`, and what it turned out to mean."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

import msgspec

from recoup.providers.protocol import Canceled, Fate, GivenBack, NotKnown
from recoup.rules.attempt_state import Contradicted, Moved, Repeated
from recoup.rules.records.keys import RowKey

News: TypeAlias = Fate | GivenBack | Canceled | NotKnown


class Source(StrEnum):
    """Who told."""

    ANSWER = "answer"  # to our own call
    EVENT = "event"  # the provider's webhook
    LOOK_UP = "look_up"
    EXPIRY = "expiry"  # the answer to our asking for an end, since the payer's time was up
    PERSON = "person"  # an operator, audited


class Report(msgspec.Struct, frozen=True):
    """News of one attempt."""

    attempt: RowKey
    outcome: News
    source: Source
    jitter: timedelta = timedelta()  # delays the next try, drawn by the edge
    is_implied: bool = False  # by other news: its amount and id are not the provider's own word


class NothingSuch(msgspec.Struct, frozen=True):
    """There is no such attempt: the news is of something else."""


Settled: TypeAlias = Moved | Repeated | Contradicted | NothingSuch
