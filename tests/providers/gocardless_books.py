"""The books of a GoCardless of the tests' own: what it makes of what it is asked, and refuses.

`gocardless_stub` puts them on HTTP. They are as strict as the real one is said to be: a field that
it does not know, a fourth key of metadata, a wrong sum of refunds and a second use of a key are
turned away. Sources: https://developer.gocardless.com/api-reference/ and the official SDK's own
docstrings, which say by what reason each endpoint fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tests.providers.stand_in import NOW

TOKEN = "sandbox_canary_5f2b1c9d_of_gocardless"
FIELDS = {
    "payments": {
        *("amount", "app_fee", "charge_date", "currency", "description", "faster_ach", "links"),
        *("metadata", "reference", "retry_if_possible"),
    },
    "refunds": {"amount", "total_amount_confirmation", "links", "metadata", "reference"},
    "customers": {
        *("address_line1", "address_line2", "address_line3", "city", "company_name"),
        *("country_code", "danish_identity_number", "email", "family_name", "given_name"),
        *("language", "metadata", "phone_number", "postal_code", "region"),
        "swedish_identity_number",
    },
    "billing_requests": {"mandate_request", "links", "metadata"},
    "billing_request_flows": {"redirect_uri", "exit_uri", "links"},
}
PREFIXES = {
    "payments": "PM",
    "refunds": "RF",
    "customers": "CU",
    "billing_requests": "BRQ",
    "billing_request_flows": "BRF",
}
TAKE_NO_PAYMENTS = {"cancelled", "failed", "expired", "consumed", "blocked", "suspended_by_payer"}


class RefusedError(Exception):
    """Turned away as GoCardless does."""

    def __init__(self, status: int, kind: str, *errors: Mapping[str, Any]) -> None:
        super().__init__(kind)
        self.status = status
        self.body = {
            "error": {
                "type": kind,
                "code": status,
                "message": f"refused for {TOKEN}",  # as if it repeated what it was sent
                "documentation_url": "https://developer.gocardless.com/api-reference/",
                "request_id": "0AA4000000D1",
                "errors": list(errors),
            }
        }


class Books:
    """What there is, by the name of its endpoint, oldest first."""

    def __init__(self) -> None:
        self.now = NOW
        self.books: dict[str, list[dict[str, Any]]] = {
            name: [] for name in (*PREFIXES, "mandates", "events")
        }
        self.statuses: dict[str, str] = {}  # by mandate: what its payments are at once
        self.refuses: set[str] = set()  # endpoints where nothing is made
        self.made: list[tuple[str, str]] = []  # endpoint and key of each thing, as it was made
        self._by_key: dict[tuple[str, str], str] = {}

    def keys(self, book: str) -> list[str]:
        """The idempotency keys of what was made, oldest first, once per thing."""
        return [key for endpoint, key in self.made if endpoint == book]

    def customer(self, customer_id: str) -> None:
        """Let there be a customer, whom nobody made over HTTP."""
        if customer_id not in [one["id"] for one in self.books["customers"]]:
            self.books["customers"].append({"id": customer_id})

    def mandate(self, mandate_id: str, *, status: str = "active", customer: str = "CU1") -> None:
        """Let a customer have a mandate."""
        self.customer(customer)
        links = {"customer": customer, "creditor": "CR1", "customer_bank_account": "BA1"}
        self.books["mandates"].append(
            {"id": mandate_id, "created_at": text(self.now), "status": status, "links": links,
             "scheme": "sepa_core", "reference": None, "metadata": {}}
        )  # fmt: skip

    def become(self, thing_id: str, status: str, **details: str) -> None:
        """Let a payment (or a refund) come to this, with the event that tells of it."""
        book = "refunds" if thing_id.startswith("RF") else "payments"
        thing = self.find(book, thing_id)
        thing["status"] = status
        if status == "paid_out":
            thing["links"]["payout"] = "PO1"
        action = {"bounced": "failed"}.get(status, status)
        self.books["events"].append(
            event(
                f"EV{len(self.books['events'])}",
                book,
                action,
                {book[:-1]: thing_id},
                details=details,
                metadata=thing["metadata"],
            )
        )

    def find(self, book: str, thing_id: str) -> dict[str, Any]:
        """One thing by its id."""
        for thing in self.books[book]:
            if thing["id"] == thing_id:
                return thing
        raise RefusedError(404, "invalid_api_usage", _reason("resource_not_found"))

    def make(self, book: str, key: str, body: Any) -> dict[str, Any]:
        """Make a thing, once per key: the second time it is refused, and told what there is."""
        if book not in PREFIXES or not isinstance(body, dict) or set(body) != {book}:
            raise RefusedError(400, "invalid_api_usage", _reason("invalid_document_structure"))
        if book in self.refuses:
            raise RefusedError(422, "invalid_state", _reason("not_possible_now"))
        asked = body[book]
        if unknown := set(asked) - FIELDS[book]:
            raise _invalid(min(unknown), "is not known")
        _check_metadata(asked.get("metadata", {}))
        if made := self._by_key.get((book, key)):
            links = {"conflicting_resource_id": made}
            conflict = {**_reason("idempotent_creation_conflict"), "links": links}
            raise RefusedError(409, "invalid_state", conflict)
        thing = _MAKERS[book](self, asked)
        thing |= {"id": f"{PREFIXES[book]}{len(self.books[book]) + 1}"}
        self.books[book].append(thing)
        self.made.append((book, key))
        self._by_key[book, key] = thing["id"]
        return thing

    def cancel(self, payment_id: str) -> dict[str, Any]:
        """Cancel a payment; what the banks have, and what has ended, is too late for that."""
        payment = self.find("payments", payment_id)
        if payment["status"] != "pending_submission":
            raise RefusedError(422, "invalid_state", _reason("cancellation_failed"))
        self.become(payment_id, "cancelled", cause="payment_cancelled", origin="api")
        return payment

    def _payment(self, asked: dict[str, Any]) -> dict[str, Any]:
        mandate = self.find("mandates", asked["links"]["mandate"])
        if mandate["status"] in TAKE_NO_PAYMENTS:
            raise RefusedError(422, "invalid_state", _reason("mandate_is_inactive"))
        return {
            "amount": asked["amount"],
            "amount_refunded": 0,
            "currency": asked["currency"],
            "created_at": text(self.now),
            "status": self.statuses.get(mandate["id"], "pending_submission"),
            "links": {"mandate": mandate["id"], "creditor": "CR1"},
            "metadata": asked.get("metadata", {}),
            "retry_if_possible": asked.get("retry_if_possible", False),
        }

    def _refund(self, asked: dict[str, Any]) -> dict[str, Any]:
        payment = self.find("payments", asked["links"]["payment"])
        if payment["status"] not in {"confirmed", "paid_out"}:
            raise RefusedError(422, "invalid_state", _reason("refund_payment_invalid_state"))
        refunded = payment["amount_refunded"] + asked["amount"]
        if asked["total_amount_confirmation"] != refunded:
            raise RefusedError(422, "invalid_state", _reason("total_amount_confirmation_invalid"))
        if refunded > payment["amount"]:
            raise _invalid("amount", "is more than was paid")
        payment["amount_refunded"] = refunded
        return {
            "amount": asked["amount"],
            "currency": payment["currency"],
            "created_at": text(self.now),
            "status": "pending_submission",
            "links": {"payment": payment["id"], "mandate": payment["links"]["mandate"]},
            "metadata": asked.get("metadata", {}),
        }

    def _customer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not asked.get("company_name") and not asked.get("family_name"):
            raise _invalid("family_name", f"can't be blank, {TOKEN}")
        return {**asked, "created_at": text(self.now)}

    def _billing_request(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.find("customers", asked["links"]["customer"])
        return {"status": "pending", "links": asked["links"], "metadata": asked["metadata"]}

    def _flow(self, asked: dict[str, Any]) -> dict[str, Any]:
        request = self.find("billing_requests", asked["links"]["billing_request"])
        return {
            "authorisation_url": f"https://pay.gocardless.com/flow/{request['id']}",
            "expires_at": "2027-03-08T12:00:00.000Z",
            "links": asked["links"],
        }


_MAKERS: dict[str, Callable[[Books, dict[str, Any]], dict[str, Any]]] = {
    "payments": Books._payment,
    "refunds": Books._refund,
    "customers": Books._customer,
    "billing_requests": Books._billing_request,
    "billing_request_flows": Books._flow,
}


def event(
    event_id: str,
    resource_type: str,
    action: str,
    links: Mapping[str, str],
    *,
    details: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An event with the fields that GoCardless's have."""
    return {
        "id": event_id,
        "created_at": text(NOW),
        "resource_type": resource_type,
        "action": action,
        "links": dict(links),
        "details": {"origin": "bank", "description": "-", "scheme": "sepa_core", **(details or {})},
        "metadata": {},
        "resource_metadata": dict(metadata or {}),
    }


def text(at: datetime) -> str:
    """Write an instant as GoCardless does."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _reason(reason: str) -> dict[str, Any]:
    return {"reason": reason, "message": "-"}


def _invalid(field: str, message: str) -> RefusedError:
    pointer = f"/{field.replace('.', '/')}"
    error = {"field": field, "message": message, "request_pointer": pointer}
    return RefusedError(422, "validation_failed", error)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    is_fine = len(metadata) <= 3 and all(
        len(name) <= 50 and isinstance(value, str) and len(value) <= 500
        for name, value in metadata.items()
    )
    if not is_fine:
        raise _invalid("metadata", "is invalid")
