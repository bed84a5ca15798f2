// What the view Shop asks of the API: a baseline from the catalogue, and orders for a shopper.

import { ask, askOrNull, customerPath, send } from "./api.js";

/** Candidates of a shelf: more than are shown, so that an order can bring some up. */
const CANDIDATES = 60;

/** What ranking takes into account, by the name of the choice. */
export const ORDERS = {
  persona: ["Persona", { strength: 1, own: 0 }],
  own: ["Own tastes", { strength: 0, own: 0.5 }],
  both: ["Both", { strength: 1, own: 0.5 }],
};

const query = (given) =>
  new URLSearchParams(
    Object.entries(given).flatMap(([key, value]) =>
      [value].flat().map((each) => [key, String(each)]),
    ),
  ).toString();

export const catalogue = () => askOrNull("/v1/catalogue");
export const product = (id) => askOrNull(`/v1/catalogue/products/${encodeURIComponent(id)}`);
export const record = (id) => askOrNull(customerPath(id, "/persona"));
export const model = () => ask("/v1/model").catch(() => null);
export const flips = (id) => ask(customerPath(id, "/flips"));

/** The baselines: each is asked by its path, and gives products in the caller's order. */
export const searched = (text) => `/v1/catalogue/search?${query({ q: text, limit: CANDIDATES })}`;
export const boughtTogether = (ids) =>
  `/v1/catalogue/bought-together?${query({ product_id: ids, limit: CANDIDATES })}`;
export const popular = () => searched("");
export const baseline = (path) => ask(path).then(({ items }) => items);

/** Candidates in a shopper's order; with the request behind it, as one would send it. */
export async function ranked(id, items, order) {
  const body = { customer_id: id, items, ...ORDERS[order][1] };
  const answer = await send("POST", "/v1/rank", body);
  return { ...answer, request: () => curl("/v1/rank", body) };
}

/** The whole catalogue in a shopper's order. */
export async function recommended(id, order) {
  const path = `/v1/recommendations?${query({ customer_id: id, limit: CANDIDATES, ...ORDERS[order][1] })}`;
  const answer = await ask(path);
  return { ...answer, request: () => curl(path) };
}

/** Send what a shopper did; it counts once the broker has it. */
export const happened = (event) => send("POST", "/v1/events", event);

/** A request as a line for a terminal. */
function curl(path, body) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const data = body
    ? ` \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`
    : "";
  return `curl ${quoted(location.origin + path)}${data}`;
}
