"""How much is collected at once when a customer leaves a new payment method.

A new method is the best moment to collect, and a bad one to overdo it: the issuer has just seen the
card for the first time. What goes beyond these caps is left to the schedule and to people.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

MOST_INVOICES: Final = 100  # of one customer, longest due first
# Of one invoice, whatever the method. The networks count per card (Visa 20 and Mastercard 35 in
# thirty days, `reference` of `rules/retry_policy`); a card tried for the first time is far below.
MOST_CHARGES: Final = 8
WITHIN: Final = timedelta(days=30)
