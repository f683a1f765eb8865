// Calls Lago's published JavaScript client the way its users do, and prints one JSON object:
// for each call what it resolved with, or the refusal that the client read.
// Asked by test_javascript_client.py, which judges the answers.

import { createServer } from "node:http";
import { once } from "node:events";
import { Client, getLagoError } from "lago-javascript-client";

const { RECOUP_API, RECOUP_KEY } = process.env;
const client = Client(RECOUP_KEY, { baseUrl: `${RECOUP_API}/api/v1` });
const seen = {};

/** Makes a call, notes under `name` what became of it, and returns its data. */
async function call(name, promise) {
  try {
    const { status, data, error } = await promise;
    seen[name] = { status, data, error: error && String(error) };
    return data;
  } catch (error) {
    seen[name] = { refused: await getLagoError(error) };
    return null;
  }
}

/** Listens for webhooks; `about` resolves with the first of a kind that the test accepts. */
async function listen() {
  const came = [];
  const waiting = new Set();
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const told = JSON.parse(body);
    came.push({ kind: told.webhook_type, thing: told[told.object_type] });
    response.end();
    for (const look of waiting) look();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const about = (kind, accepts) =>
    new Promise((resolve) => {
      const look = () => {
        const found = came.find((one) => one.kind === kind && accepts(one.thing));
        if (found) {
          waiting.delete(look);
          resolve(found.thing);
        }
      };
      waiting.add(look);
      look();
    });
  return { url: `http://127.0.0.1:${server.address().port}/`, about, close: () => server.close() };
}

/** Attaches a payment method, which Lago's clients cannot. */
async function attach(customer, method) {
  const answer = await fetch(`${RECOUP_API}/api/v1/customers/${customer}/payment_methods`, {
    method: "POST",
    headers: { Authorization: `Bearer ${RECOUP_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ payment_method: { provider_method_id: method } }),
  });
  return (await answer.json()).payment_method.lago_id;
}

const customerOf = (external_id) => ({
  customer: {
    external_id,
    name: "Katherine",
    currency: "EUR",
    billing_configuration: {
      payment_provider: "sandbox",
      payment_provider_code: "cards",
      provider_customer_id: `cus_${external_id}`,
    },
  },
});
const invoiceOf = (external_customer_id) => ({
  invoice: {
    external_customer_id,
    currency: "EUR",
    fees: [{ add_on_code: "js-lesson", units: 2 }],
  },
});

const webhooks = await listen();
const endpoint = { webhook_endpoint: { webhook_url: webhooks.url } };
const endpointId = (
  await call("createWebhookEndpoint", client.webhookEndpoints.createWebhookEndpoint(endpoint))
).webhook_endpoint.lago_id;
await call("findWebhookEndpoint", client.webhookEndpoints.findWebhookEndpoint(endpointId));
await call("findAllWebhookEndpoints", client.webhookEndpoints.findAllWebhookEndpoints());
await call("fetchPublicKey", client.webhooks.fetchPublicKey());
await call("fetchJsonPublicKey", client.webhooks.fetchJsonPublicKey());

await call("findOrganization", client.organizations.findOrganization());
const legal = { organization: { legal_name: "Shop SA" } };
await call("updateOrganization", client.organizations.updateOrganization(legal));
const entities = await call("listBillingEntities", client.billingEntities.listBillingEntities());
const entity = entities.billing_entities[0].code;
await call("getBillingEntity", client.billingEntities.getBillingEntity(entity));

const tax = { tax: { name: "VAT", code: "js-vat", rate: "20" } }; // its types want text
await call("createTax", client.taxes.createTax(tax));
await call("updateTax", client.taxes.updateTax("js-vat", { tax: { name: "VAT 20" } }));
await call("findTax", client.taxes.findTax("js-vat"));
await call("findAllTaxes", client.taxes.findAllTaxes());

const addOn = {
  add_on: { name: "Lesson", code: "js-lesson", amount_cents: 5000, amount_currency: "EUR" },
};
await call("createAddOn", client.addOns.createAddOn(addOn));
const priced = { add_on: { amount_cents: 6000, tax_codes: ["js-vat"] } };
await call("updateAddOn", client.addOns.updateAddOn("js-lesson", priced));
await call("findAddOn", client.addOns.findAddOn("js-lesson"));
await call("findAllAddOns", client.addOns.findAllAddOns());

await call("createCustomer", client.customers.createCustomer(customerOf("katherine")));
await call("findCustomer", client.customers.findCustomer("katherine"));
await call("findAllCustomers", client.customers.findAllCustomers({ search_term: "Katherine" }));
await attach("katherine", "pm_sandbox_fail_once");
const otherMethod = await attach("katherine", "pm_sandbox_ok");
const methods = client.customers;
await call("findMethods", methods.findAllCustomersPaymentMethods("katherine"));
await call("setAsDefault", methods.paymentMethodSetAsDefault(otherMethod, "katherine"));
await call("destroyMethod", methods.destroyPaymentMethod(otherMethod, "katherine"));

// From a decline to paid.
const invoice = (await call("createInvoice", client.invoices.createInvoice(invoiceOf("katherine"))))
  .invoice;
seen.failure = await webhooks.about(
  "invoice.payment_failure",
  (thing) => thing.lago_invoice_id === invoice.lago_id,
);
await call("findDeclined", client.invoices.findInvoice(invoice.lago_id));
await call("retryPayment", client.invoices.retryPayment(invoice.lago_id));
const payment = await webhooks.about("payment.succeeded", (thing) =>
  thing.invoice_ids.includes(invoice.lago_id),
);
await call("findPaid", client.invoices.findInvoice(invoice.lago_id));
await call("retryPaid", client.invoices.retryPayment(invoice.lago_id, {}));
await call("findPayment", client.payments.findPayment(payment.lago_id));
await call("findAllPayments", client.payments.findAllPayments({ invoice_id: invoice.lago_id }));
await call("findCustomerPayments", client.customers.findAllCustomerPayments("katherine"));
await call("findCustomerInvoices", client.customers.findAllCustomerInvoices("katherine"));
const filter = { "statuses[]": ["finalized", "voided"], "payment_statuses[]": ["succeeded"] };
await call("findAllInvoices", client.invoices.findAllInvoices(filter));

const fee = invoice.fees[0].lago_id;
await call("findFee", client.fees.findFee(fee));
await call("findAllFees", client.fees.findAllFees({ fee_type: "add_on" }));
await call("updateFee", client.fees.updateFee(fee, { fee: { payment_status: "succeeded" } }));
await call("deleteFee", client.fees.deleteFee(fee));

const dispute = client.invoices.loseDisputeInvoice(invoice.lago_id);
await call("loseDisputeInvoice", dispute);
const metadata = { invoice: { metadata: [{ key: "order", value: "17" }] } };
await call("updateInvoice", client.invoices.updateInvoice(invoice.lago_id, metadata));
await call("voidInvoice", client.invoices.voidInvoice(invoice.lago_id, {}));
await call("voidVoided", client.invoices.voidInvoice(invoice.lago_id));

// A payment made by hand, and a charge that waits for its payer.
await call("createOther", client.customers.createCustomer(customerOf("dorothy")));
const owed = (await call("createOwed", client.invoices.createInvoice(invoiceOf("dorothy")))).invoice;
const byHand = { invoice_id: owed.lago_id, amount_cents: owed.total_due_amount_cents };
await call(
  "createPayment",
  client.payments.createPayment({ payment: { ...byHand, reference: "cheque 7" } }),
);
await attach("dorothy", "pm_sandbox_authentication_required");
const waits = (await call("createWaits", client.invoices.createInvoice(invoiceOf("dorothy")))).invoice;
await webhooks.about("payment.requires_action", (thing) =>
  thing.invoice_ids.includes(waits.lago_id),
);
await call("retryWaiting", client.invoices.retryPayment(waits.lago_id));

// Receipts of both, and a payment request: nothing is overdue yet.
const receipts = client.paymentReceipts;
const ofPaid = { invoice_id: owed.lago_id };
const receipt = (await call("findReceipts", receipts.findAllPaymentReceipts(ofPaid)))
  .payment_receipts[0];
await call("findReceipt", receipts.findPaymentReceipt(receipt.lago_id));
const asked = { external_customer_id: "dorothy", lago_invoice_ids: [owed.lago_id] };
const requests = client.paymentRequests;
await call("requestEarly", requests.createPaymentRequest({ payment_request: asked }));
await call("findRequests", requests.findAllPaymentRequests({ payment_status: "pending" }));
await call("findCustomerRequests", client.customers.findAllCustomerPaymentRequests("dorothy"));

// Refusals.
const nobody = "00000000-0000-7000-8000-000000000000";
const stranger = Client("nobody", { baseUrl: `${RECOUP_API}/api/v1` });
await call("wrongKey", stranger.invoices.findAllInvoices());
await call("unknownInvoice", client.invoices.findInvoice(nobody));
await call("retryUnknown", client.invoices.retryPayment("no-id"));
await call(
  "wrongCurrency",
  client.customers.createCustomer({ customer: { external_id: "x", currency: "XXX" } }),
);

const changed = { webhook_endpoint: { ...endpoint.webhook_endpoint, event_types: [] } };
await call(
  "updateWebhookEndpoint",
  client.webhookEndpoints.updateWebhookEndpoint(endpointId, changed),
);
await call("destroyWebhookEndpoint", client.webhookEndpoints.destroyWebhookEndpoint(endpointId));
await call("destroyCustomer", client.customers.destroyCustomer("dorothy"));
await call("destroyAddOn", client.addOns.destroyAddOn("js-lesson"));
await call("destroyTax", client.taxes.destroyTax("js-vat"));

webhooks.close();
process.stdout.write(JSON.stringify(seen), () => process.exit(0)); // its connections stay open
