// Calls Lago's published JavaScript client more often than its key may, and prints one JSON object.
// Asked by test_rate_limits.py, which judges it.

import { Client } from "lago-javascript-client";

const { RECOUP_API, RECOUP_KEY, RECOUP_OTHER_KEY } = process.env;
const baseUrl = `${RECOUP_API}/api/v1`;

/** Asks so often, where three are in hand; says what was answered and told. */
async function ask(key, calls, retryOnRateLimit) {
  const told = [];
  const rateLimitRetry = { retryOnRateLimit, onRateLimitInfo: (info) => told.push(info) };
  const client = Client(key, { baseUrl, rateLimitRetry });
  const statuses = [];
  try {
    for (let call = 0; call < calls; call += 1) {
      statuses.push((await client.taxes.findAllTaxes()).status);
    }
  } catch (error) {
    const { name, limit, remaining, reset } = error;
    return { statuses, told, refused: { name, limit, remaining, reset } };
  }
  return { statuses, told };
}

console.log(
  JSON.stringify({
    patient: await ask(RECOUP_KEY, 4, true),
    hasty: await ask(RECOUP_OTHER_KEY, 30, false),
  }),
);
