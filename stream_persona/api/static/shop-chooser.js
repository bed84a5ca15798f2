// Who is to be shown the shop: a shopper's id, one of those who have just changed, or oneself.

import { card, keyed, make, segmented } from "./dom.js";
import { since } from "./live.js";
import { personaName } from "./persona-name.js";
import { ORDERS } from "./shop-requests.js";

const SUGGESTED = 6;

export class Chooser {
  /** `enter(id)` shows a shopper, `be()` the visitor; `reorder(order)` orders by something else. */
  constructor({ order, isBeside, status, enter, be, reorder }) {
    this.enter = enter;
    const beVisitor = make("button", {
      type: "button",
      class: "primary",
      "data-testid": "be-a-shopper",
      text: "Be a shopper",
      onclick: be,
    });
    this.beside = make("input", { type: "checkbox", checked: isBeside });
    const beside = make("label", { class: "check" }, this.beside, " beside the one who is here");
    this.chips = make("ul", { class: "chips", "data-testid": "shop-suggested" });
    const options = Object.entries(ORDERS).map(([key, [text]]) => [key, text]);
    this.element = card(
      "Who is looking?",
      {
        class: "shop-chooser",
        aside: segmented("order", "What moves the products", options, order, reorder),
      },
      make("div", { class: "shop-controls" }, this.#form(), beVisitor, beside),
      this.chips,
      status,
    );
    this.suggest();
  }

  #form() {
    const input = make("input", {
      name: "shopper",
      "data-testid": "shop-customer",
      "aria-label": "A shopper\u2019s id",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: "256",
      placeholder: "Shopper id",
    });
    const show = (event) => {
      event.preventDefault();
      if (input.value.trim()) this.enter(input.value.trim());
      input.value = "";
    };
    const button = make("button", { text: "Show" });
    return make("form", { class: "shop-pick", onsubmit: show }, input, button);
  }

  /** Offer those who have changed last. */
  suggest() {
    keyed(
      this.chips,
      suggestions(),
      ({ customer_id: id }) => id,
      ({ customer_id: id }) => make("li", null, this.#chip(id)),
      (row, { customer_id: id, current }) =>
        row.firstChild.replaceChildren(
          personaName(current.persona, { title: id }),
          make("bdi", { class: "quiet", text: id }),
        ),
    );
  }

  #chip(id) {
    const onclick = () => this.enter(id);
    return make("button", { type: "button", class: "chip", title: id, onclick });
  }
}

/** Changes of the shoppers to offer: those with a persona first, each once, the newest first. */
function suggestions() {
  const seen = new Map();
  for (const each of since(0))
    if (!each.deleted && !seen.has(each.customer_id)) seen.set(each.customer_id, each);
  const found = [...seen.values()];
  found.sort((a, b) => (b.current.persona !== null) - (a.current.persona !== null));
  return found.slice(0, SUGGESTED);
}

/** The first shopper to offer; undefined before there is any. */
export const suggested = () => suggestions()[0]?.customer_id;
