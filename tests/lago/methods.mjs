// Asks Lago's published JavaScript client what it can do, or has it do so.
//
// `list`: prints every method, and the call that it makes. `call`: reads `[[method, [argument, …]],
// …]`, makes the calls one after the other, and prints what became of each.

import { Client, getLagoError } from "lago-javascript-client";

const { RECOUP_API, RECOUP_KEY } = process.env;

/** Every method of the client, as `group.method`. */
function methods(client) {
  return Object.entries(client).flatMap(([group, held]) =>
    held && typeof held === "object"
      ? Object.entries(held)
          .filter(([, one]) => typeof one === "function")
          .map(([name, one]) => [`${group}.${name}`, one])
      : [],
  );
}

/** What each method asks for: it is called with nonsense, and the call goes nowhere. */
async function list() {
  const found = [];
  let asked = null;
  const customFetch = async (url, { method }) => {
    asked = [method, new URL(url).pathname];
    return new Response("{}", { headers: { "Content-Type": "application/json" } });
  };
  const client = Client("nobody", { baseUrl: "http://nowhere/api/v1", customFetch });
  for (const [name, method] of methods(client)) {
    asked = null;
    await method(...Array.from({ length: method.length }, (_, place) => `x${place}`));
    if (asked) found.push([name, ...asked]); // the others are the client's own
  }
  return found;
}

async function call(wanted) {
  const client = Client(RECOUP_KEY, { baseUrl: `${RECOUP_API}/api/v1` });
  const known = Object.fromEntries(methods(client));
  const seen = {};
  for (const [name, given] of wanted) {
    try {
      const { status, data, error } = await known[name](...given);
      seen[name] = { status, data, error: error && String(error) };
    } catch (error) {
      seen[name] = { refused: await getLagoError(error) };
    }
  }
  return seen;
}

async function input() {
  let text = "";
  for await (const part of process.stdin) text += part;
  return JSON.parse(text);
}

const answer = process.argv[2] === "list" ? await list() : await call(await input());
process.stdout.write(JSON.stringify(answer), () => process.exit(0)); // connections stay open
