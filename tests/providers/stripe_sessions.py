"""Stripe's checkout sessions, which localstripe has not: pages to pay on, and to leave a method on.

What is paid on a page is charged by localstripe. Until somebody tries to, a page has no intent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.providers.stripe_shapes import Answer, missing, page_of, refused

if TYPE_CHECKING:
    from tests.providers.stripe_gate import Gate

SHORTEST, LONGEST = 30 * 60, 24 * 60 * 60  # how long a page may be open, in seconds
MODES = ("payment", "setup")


class Sessions:
    """The pages of one account."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._asked: dict[str, dict[str, Any]] = {}
        self._kept: dict[str, dict[str, Any]] = {}

    async def answer(self, method: str, rest: list[str], params: dict[str, Any]) -> Answer:
        match method, rest:
            case "POST", []:
                return await self._open(params)
            case "GET", []:
                rows = list(self._kept.values())
                return 200, await page_of(rows, params, self._shown)
            case "GET", [session_id] if session_id in self._kept:
                return 200, await self._shown(session_id)
            case "POST", [session_id, "expire"] if session_id in self._kept:
                session = self._kept[session_id]
                if session["status"] != "open":
                    return refused(None, message="Only open sessions can be expired.")
                session |= {"status": "expired", "url": None}
                return 200, session
            case _:
                return missing("/".join(rest))

    async def _open(self, params: dict[str, Any]) -> Answer:
        status, _ = await self._gate.ask("GET", f"/v1/customers/{params.get('customer')}", {})
        if status != 200:
            return missing(str(params.get("customer")), param="customer", status=400)
        now = int(time.time())
        ends = int(params.get("expires_at", now + LONGEST))
        if not now + SHORTEST <= ends <= now + LONGEST:
            return refused(None, param="expires_at", message="30 minutes to 24 hours from now.")
        if params.get("mode") not in MODES or "success_url" not in params:
            return refused(
                "parameter_missing", message="A page has a mode and an address after it."
            )
        session_id = f"cs_test_{len(self._kept) + 1}_{now}"
        price = params.get("line_items", [{}])[0].get("price_data", {})
        self._asked[session_id] = params
        self._kept[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "mode": params["mode"],
            "status": "open",
            "payment_status": "unpaid" if params["mode"] == "payment" else "no_payment_required",
            "url": f"{self._gate.base}/pay/{session_id}",
            "payment_intent": None,
            "setup_intent": None,
            "amount_total": int(price["unit_amount"]) if price else None,
            "currency": price.get("currency", params.get("currency")),
            "customer": params["customer"],
            "created": now,
            "expires_at": ends,
            "metadata": params.get("metadata", {}),
            "livemode": False,
        }
        return 200, self._kept[session_id]

    async def _shown(self, session_id: str) -> dict[str, Any]:
        """With its intent in full: we always ask for it."""
        session = self._kept[session_id]
        intent_id = session["payment_intent"]
        return session | {
            "payment_intent": await self._gate.intent(intent_id) if intent_id else None
        }

    async def pay(self, session_id: str, method_id: str) -> None:
        """Be the payer, who tries this method on a page."""
        session, asked = self._kept[session_id], self._asked[session_id]
        assert session["status"] == "open", "nobody can pay on a page that is closed"
        params = {
            "amount": session["amount_total"],
            "currency": session["currency"],
            "customer": session["customer"],
            "payment_method": method_id,
            "confirm": True,
            "metadata": asked["payment_intent_data"]["metadata"],
            "return_url": asked["success_url"],
        }
        session["payment_intent"] = intent_id = await self._gate.charge(params, None)
        status = (await self._gate.intent(intent_id))["status"]
        if status in {"succeeded", "processing"}:
            is_paid = status == "succeeded"
            session |= {"status": "complete", "url": None}
            session["payment_status"] = "paid" if is_paid else "unpaid"
