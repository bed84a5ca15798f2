// Being a shopper: what one does on the page becomes events, as a shop's own page would send them.

import { happened } from "./shop-requests.js";

const KEPT = "stream_persona.visitor";

/** The id of this browser's own shopper: the same until the tab is closed. */
export function visitor() {
  let id = sessionStorage.getItem(KEPT);
  if (!id) {
    id = `visitor-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
    sessionStorage.setItem(KEPT, id);
  }
  return id;
}

export const isVisitor = (id) => id === sessionStorage.getItem(KEPT);

/** Begin anew, as somebody unknown. */
export function becomeAnother() {
  sessionStorage.removeItem(KEPT);
  return visitor();
}

export class Visit {
  /** `sent` is called once the broker has what the shopper did. */
  constructor(id, sent) {
    Object.assign(this, { id, sent, cart: [] });
  }

  look(product) {
    return this.#browse("view", { product: item(product) });
  }

  search(text) {
    return this.#browse("search", { query: text });
  }

  async add(product) {
    await this.#browse("add_to_cart", { product: item(product) });
    if (!this.cart.some((each) => each.product_id === product.product_id)) this.cart.push(product);
  }

  async buy() {
    const items = this.cart.map((each) => ({ ...item(each), quantity: 1 }));
    await this.#send({ type: "purchase", items });
    this.cart = [];
  }

  #browse(action, what) {
    return this.#send({ type: "browse", action, ...what });
  }

  async #send(event) {
    await happened({ ...event, customer_id: this.id });
    this.sent();
  }
}

/** A product as an event's item: what the catalogue alone knows of it stays there. */
function item({ product_id: id, category, brand, price, attributes }) {
  const known = Object.entries({ category, brand, price, attributes }).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  return { product_id: id, ...Object.fromEntries(known) };
}
