"""Lago's JavaScript client, as published and unmodified, against real processes.

`walk.mjs` makes the calls, one after the other; the tests here judge what each resolved with.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lago.conftest import Shop

HERE = Path(__file__).parent
WALK_WITHIN_SECONDS = 120
Seen = dict[str, dict[str, Any]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(node: str, shop: Shop) -> Seen:
    walked = subprocess.run(
        [node, HERE / "walk.mjs"],
        cwd=HERE,
        env=os.environ | {"RECOUP_API": shop.api, "RECOUP_KEY": shop.api_key},
        timeout=WALK_WITHIN_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert walked.returncode == 0, walked.stderr
    answers: Seen = json.loads(walked.stdout)
    return answers


def refusal(answer: dict[str, Any]) -> tuple[int, str | None]:
    return answer["refused"]["status"], answer["refused"].get("code")


def test_an_invoice_is_declined_retried_and_paid(seen: Seen, shop: Shop) -> None:
    invoice = seen["createInvoice"]["data"]["invoice"]
    assert (invoice["payment_status"], invoice["total_amount_cents"]) == ("pending", 14_400)
    assert seen["failure"]["error_details"]["decline_code"] == "insufficient_funds"
    assert seen["findDeclined"]["data"]["invoice"]["payment_status"] == "failed"
    assert seen["retryPayment"] == {"status": 200, "data": None, "error": None}
    paid = seen["findPaid"]["data"]["invoice"]
    assert (paid["payment_status"], paid["total_due_amount_cents"]) == ("succeeded", 0)
    statuses = [one["status"] for one in shop.charges(invoice["lago_id"])]
    assert statuses == ["failed", "succeeded"]


def test_refusals_are_read_by_the_client(seen: Seen) -> None:
    assert refusal(seen["wrongKey"]) == (401, None)
    assert refusal(seen["unknownInvoice"]) == (404, "invoice_not_found")
    assert refusal(seen["retryUnknown"]) == (404, "invoice_not_found")
    assert refusal(seen["retryPaid"]) == (405, "invalid_status")
    in_flight = "payment_processor_is_currently_handling_payment"
    assert refusal(seen["retryWaiting"]) == (405, in_flight)
    assert refusal(seen["voidVoided"]) == (405, "not_voidable")
    assert refusal(seen["wrongCurrency"]) == (422, "validation_errors")
    assert seen["wrongCurrency"]["refused"]["error_details"] == {"currency": ["value_is_invalid"]}
    assert refusal(seen["updateFee"]) == refusal(seen["deleteFee"]) == (405, "invoiced_fee")


def test_payments_are_found_by_every_way(seen: Seen) -> None:
    invoice = seen["createInvoice"]["data"]["invoice"]
    payment = seen["findPayment"]["data"]["payment"]
    assert payment["invoice_ids"] == [invoice["lago_id"]]
    assert (payment["payment_status"], payment["payment_provider_type"]) == ("succeeded", "sandbox")
    for listed in (seen["findAllPayments"]["data"], seen["findCustomerPayments"]["data"]):
        statuses = [one["payment_status"] for one in listed["payments"]]
        assert statuses == ["succeeded", "failed"]
    assert seen["createPayment"]["data"]["payment"]["type"] == "manual"


def test_receipts_and_requests_are_found(seen: Seen) -> None:
    [receipt] = seen["findReceipts"]["data"]["payment_receipts"]
    assert receipt["payment"] == seen["createPayment"]["data"]["payment"]
    assert seen["findReceipt"]["data"]["payment_receipt"] == receipt
    assert refusal(seen["requestEarly"]) == (405, "invoices_not_overdue")
    for listed in ("findRequests", "findCustomerRequests"):
        assert seen[listed]["data"]["payment_requests"] == []


def test_invoices_are_listed_changed_lost_and_voided(seen: Seen) -> None:
    invoice = seen["createInvoice"]["data"]["invoice"]["lago_id"]
    for listed in (seen["findAllInvoices"]["data"], seen["findCustomerInvoices"]["data"]):
        assert invoice in [one["lago_id"] for one in listed["invoices"]]
    assert seen["loseDisputeInvoice"]["data"]["invoice"]["payment_dispute_lost_at"]
    [metadata] = seen["updateInvoice"]["data"]["invoice"]["metadata"]
    assert (metadata["key"], metadata["value"]) == ("order", "17")
    assert seen["voidInvoice"]["data"]["invoice"]["status"] == "voided"


def test_customers_and_their_methods(seen: Seen) -> None:
    customer = seen["createCustomer"]["data"]["customer"]
    assert seen["findCustomer"]["data"]["customer"]["lago_id"] == customer["lago_id"]
    [listed] = seen["findAllCustomers"]["data"]["customers"]
    assert listed["external_id"] == "katherine"
    methods = seen["findMethods"]["data"]["payment_methods"]
    assert {one["provider_method_id"]: one["is_default"] for one in methods} == {
        "pm_sandbox_fail_once": True,
        "pm_sandbox_ok": False,
    }
    assert seen["setAsDefault"]["data"]["payment_method"]["is_default"]
    destroyed = seen["destroyMethod"]["data"]["payment_method"]
    assert destroyed["provider_method_id"] == "pm_sandbox_ok"
    assert seen["destroyCustomer"]["data"]["customer"]["external_id"] == "dorothy"


def test_taxes_add_ons_and_fees(seen: Seen) -> None:
    assert seen["createTax"]["data"]["tax"]["rate"] == 20
    assert seen["updateTax"]["data"]["tax"]["name"] == "VAT 20"
    assert seen["findTax"]["data"]["tax"]["code"] == "js-vat"
    assert "js-vat" in [one["code"] for one in seen["findAllTaxes"]["data"]["taxes"]]
    assert seen["destroyTax"]["data"]["tax"]["code"] == "js-vat"
    assert seen["createAddOn"]["data"]["add_on"]["amount_cents"] == 5_000
    assert seen["updateAddOn"]["data"]["add_on"]["amount_cents"] == 6_000
    assert [one["code"] for one in seen["findAddOn"]["data"]["add_on"]["taxes"]] == ["js-vat"]
    assert "js-lesson" in [one["code"] for one in seen["findAllAddOns"]["data"]["add_ons"]]
    assert seen["destroyAddOn"]["data"]["add_on"]["code"] == "js-lesson"
    fee = seen["findFee"]["data"]["fee"]
    assert fee["total_amount_cents"] == 14_400
    assert fee["lago_id"] in [one["lago_id"] for one in seen["findAllFees"]["data"]["fees"]]


def test_who_we_are_and_where_we_are_told(seen: Seen, shop: Shop) -> None:
    assert seen["findOrganization"]["data"]["organization"]["lago_id"] == shop.organization_id
    assert seen["updateOrganization"]["data"]["organization"]["legal_name"] == "Shop SA"
    entity = seen["getBillingEntity"]["data"]["billing_entity"]
    listed = seen["listBillingEntities"]["data"]["billing_entities"]
    assert [one["lago_id"] for one in listed] == [entity["lago_id"]]
    endpoint = seen["createWebhookEndpoint"]["data"]["webhook_endpoint"]
    for name in ("findWebhookEndpoint", "destroyWebhookEndpoint"):
        assert seen[name]["data"]["webhook_endpoint"]["lago_id"] == endpoint["lago_id"]
    assert seen["updateWebhookEndpoint"]["data"]["webhook_endpoint"]["event_types"] == []
    endpoints = seen["findAllWebhookEndpoints"]["data"]["webhook_endpoints"]
    assert endpoint["lago_id"] in [one["lago_id"] for one in endpoints]
    key = seen["fetchJsonPublicKey"]["data"]["webhook"]["public_key"]
    assert base64.b64decode(key).startswith(b"-----BEGIN PUBLIC KEY-----")
    assert seen["fetchPublicKey"]["data"] == key
