"""Files and tests that bugs of several subjects name."""

from __future__ import annotations

from typing import Final

COLLECTION: Final = "tests/flows/test_collection.py::"
EVENTS: Final = "tests/flows/test_provider_events.py"
PROMISES: Final = "tests/flows/test_promises.py"
WORLDS: Final = "tests/simulation/test_books_agree.py::test_the_books_agree_whatever_happens[0]"
HOOKS: Final = "tests/api/test_provider_webhooks.py"
MIGRATION: Final = "store/migrations/0001_collection.sql"
RETRY: Final = "flows/retry_payment.py"
SENDING: Final = "flows/begin_sending.py"
SETTLING: Final = "flows/settlement_book.py"
ASKING_AGAIN: Final = "flows/ask_again.py"
READING: Final = "flows/read_report.py"
LOOK_UP: Final = "flows/look_up_attempt.py"
COLLECTING: Final = "store/collection.py"
