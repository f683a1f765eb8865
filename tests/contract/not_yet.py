"""What of the contract is not here yet. Each of these lists is to shrink until it is empty.

Tests fail when something on them has come: then it is taken off, and held to the contract.
"""

from __future__ import annotations

from typing import Final

OPERATIONS: Final = frozenset({"POST /credit_notes/{lago_id}/download"})
PERMISSIONS: Final = "permissions"
FEATURES: Final = frozenset[str]()  # API keys that may not do everything (section 1.3)
# Keys of what is served that are null whatever one does.
KEYS: Final = frozenset(
    {
        "BillingEntityObject.logo_url",
        "CreditNoteObject.file_url",
        "PaymentReceiptObject.file_url",
    }
)
EVENTS: Final = frozenset({"credit_note.generated", "payment_receipt.generated"})
