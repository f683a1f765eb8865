"""The sandbox's books: charges, refunds, methods, and who is to be told, in one SQLite file."""

from pathlib import Path

from recoup.sandbox.charge_book import ChargeBook
from recoup.sandbox.event_book import EventBook
from recoup.sandbox.ledger_file import LedgerFile
from recoup.sandbox.method_book import MethodBook
from recoup.sandbox.refund_book import RefundBook


class Books:
    """The books in one file. Made again from the same file, they know everything they knew."""

    def __init__(self, ledger: Path | str) -> None:
        """Open the file, making it if need be; `:memory:` keeps nothing.

        :raises sqlite3.Error: if the file cannot be opened or is something else.
        """
        self.file = LedgerFile(ledger)
        self.events = EventBook(self.file)
        self.charges = ChargeBook(self.file, self.events)
        self.refunds = RefundBook(self.file, self.events)
        self.methods = MethodBook(self.file, self.events)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self.file.close()
