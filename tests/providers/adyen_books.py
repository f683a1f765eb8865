"""The books of a stand-in of Adyen: what each call does to them, and what it answers.

As far as the adapter asks, and as Adyen documents it. A refund and a cancel are only received: an
event tells later what became of them, so that too much is not refused either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

Said: TypeAlias = tuple[int, dict[str, Any]]  # status and body

# What comes of a charge, by the stored method that it is of.
RESULTS: Mapping[str, Mapping[str, Any]] = {
    "paid": {"resultCode": "Authorised"},
    "refused": {
        "resultCode": "Refused",
        "refusalReason": "Not enough balance",
        "refusalReasonCode": "12",
        "additionalData": {"refusalReasonRaw": "51 : Insufficient funds"},
    },
    "blocked": {
        "resultCode": "Refused",
        "refusalReason": "Blocked Card",
        "refusalReasonCode": "5",
        "additionalData": {"merchantAdviceCode": "03 : Do not try again"},
    },
    "gone": {
        "resultCode": "Refused",
        "refusalReason": "803 PaymentDetail not found",
        "refusalReasonCode": "50",
    },
    "troubled": {
        "resultCode": "Error",
        "refusalReason": "Acquirer Error",
        "refusalReasonCode": "4",
    },
    "received": {"resultCode": "Received"},
    "pending": {"resultCode": "Pending"},
    "voucher": {
        "resultCode": "PresentToShopper",
        "action": {
            "type": "voucher",
            "paymentMethodType": "multibanco",
            "url": "https://adyen.example/voucher",
        },
    },
    "redirect": {
        "resultCode": "RedirectShopper",
        "action": {
            "type": "redirect",
            "paymentMethodType": "scheme",
            "method": "GET",
            "url": "https://issuer.example/3ds",
        },
    },
}
MODELS = ("CardOnFile", "Subscription", "UnscheduledCardOnFile")


class Entry(msgspec.Struct):
    """One thing in the books: who asked for it, under which key, and what was answered."""

    account: str
    key: str
    said: dict[str, Any]


class AdyenBooks:
    """Payments, refunds, cancels, links and stored methods of every merchant account."""

    def __init__(self) -> None:
        self.payments: list[Entry] = []
        self.refunds: list[Entry] = []
        self.cancels: list[Entry] = []
        self.links: list[Entry] = []
        self.shoppers: dict[str, list[str]] | None = None  # None: everybody has every method

    def pay(self, account: str, key: str, asked: Mapping[str, Any]) -> Said:
        """`POST /payments` with a stored method."""
        method, shopper = asked["paymentMethod"]["storedPaymentMethodId"], asked["shopperReference"]
        theirs = RESULTS if self.shoppers is None else self.shoppers.get(shopper, ())
        if not theirs:
            return refused("800", "Contract not found")
        if method not in theirs:
            return refused("803", "PaymentDetail not found")
        said = {
            "pspReference": f"PSP{len(self.payments)}",
            "merchantReference": asked["reference"],
            "amount": asked["amount"],
            **RESULTS[method],
        }
        self.payments.append(Entry(account, key, said))
        return 200, said

    def change(
        self, account: str, key: str, payment: str, what: str, asked: Mapping[str, Any]
    ) -> Said:
        """`POST /payments/{payment}/refunds` or `…/cancels`: received, whatever comes of it."""
        if not any(
            (one.account, one.said["pspReference"]) == (account, payment) for one in self.payments
        ):
            return refused("167", "Original pspReference required for this operation")
        book = self.refunds if what == "refunds" else self.cancels
        said = {
            "merchantAccount": account,
            "paymentPspReference": payment,
            "pspReference": f"{what[:3].upper()}{len(book)}",
            "status": "received",
            **{name: asked[name] for name in ("amount", "reference") if name in asked},
        }
        book.append(Entry(account, key, said))
        return 201, said

    def open_link(self, account: str, key: str, asked: Mapping[str, Any]) -> Said:
        """`POST /paymentLinks`."""
        link_id = f"PL{len(self.links)}"
        said = {
            "expiresAt": "2027-03-02T12:00:00Z",
            **asked,
            "id": link_id,
            "status": "active",
            "url": f"https://pay.adyen.example/{link_id}",
        }
        self.links.append(Entry(account, key, said))
        return 201, said

    def link(self, link_id: str, changes: Mapping[str, Any]) -> Said:
        """`GET` or `PATCH /paymentLinks/{link}`: only an active link can be changed."""
        for one in self.links:
            if one.said["id"] == link_id:
                if changes and one.said["status"] != "active":
                    return refused("000", "Not allowed")
                one.said |= changes
                return 200, one.said
        return refused("000", "Not Found.")

    def methods(self, account: str, shopper: str) -> Said:
        """`GET /storedPaymentMethods`: none for a shopper whom nobody knows."""
        theirs = list(RESULTS) if self.shoppers is None else self.shoppers.get(shopper, [])
        stored = [
            {
                "id": method,
                "type": "scheme",
                "brand": "visa",
                "lastFour": "1111",
                "expiryMonth": "03",
                "expiryYear": "30",
                "shopperReference": shopper,
                "supportedRecurringProcessingModels": MODELS,
            }
            for method in theirs
        ]
        return 200, {
            "merchantAccount": account,
            "shopperReference": shopper,
            "storedPaymentMethods": stored,
        }

    def pay_on(self, link_id: str) -> None:
        """Be the payer, who pays on a link."""
        [link] = [one.said for one in self.links if one.said["id"] == link_id]
        assert link["status"] == "active", "nobody can pay on it any more"
        link["status"] = "completed"


def refused(code: str, message: str, *, status: int = 422, kind: str = "validation") -> Said:
    """A refusal in Adyen's form."""
    return status, {"status": status, "errorCode": code, "message": message, "errorType": kind}
