// A shelf: the baseline's products beside the order for each shopper, with the reason of each move.

import { personaName } from "./persona-name.js";
import { card, empty, keyed, make, mark, setText } from "./dom.js";
import { feature, plural, times, title, value } from "./words.js";

/** Places of an order that are shown. */
const SHOWN = 8;
const MOVE_MS = 350;
/** A lift that differs less from 1 is no reason. */
const LEAST_LIFT = 1.05;
const COPIED_MS = 2_000;

const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** `acts`: `choose(product, id)`, and `add(product, id)` for those who may put into the cart. */
export class Shelf {
  constructor(name, heading, { aside, note, acts }) {
    Object.assign(this, { heading, acts });
    this.columns = make("div", {
      class: "orders",
      tabindex: "0",
      role: "group",
      "aria-label": `${heading}: orders next to each other`,
    });
    this.element = card(
      heading,
      { aside, note, class: "shelf", "data-testid": `shelf-${name}` },
      this.columns,
    );
  }

  /** Show the products in the caller's order, and a place for the order of each shopper. */
  begin(items, shoppers) {
    const baseline = { id: null, items: items.map((item, position) => ({ item, position })) };
    keyed(
      this.columns,
      [baseline, ...shoppers.map((id) => ({ id }))],
      (each) => each.id ?? "",
      (each) => new Order(each.id, this.heading, this.acts).element,
      (element, each) => each.items && element.order.show(each.items),
    );
    const none = items.length ? null : empty("Nothing found", "Try fewer words, or others.");
    this.columns.hidden = !items.length;
    this.none?.remove();
    this.none = none;
    if (none) this.element.append(none);
  }

  /** Show the order for a shopper, with the answer of the API that gave it. */
  turn(id, answer) {
    this.#orderOf(id)?.turn(answer);
  }

  fail(id, error) {
    this.#orderOf(id)?.fail(error);
  }

  #orderOf(id) {
    return [...this.columns.children].find((each) => each.dataset.key === (id ?? ""))?.order;
  }
}

/** One column: the baseline, or the order for a shopper. */
class Order {
  constructor(id, shelf, acts) {
    Object.assign(this, { id, acts });
    this.head = make("div", { class: "order-head" });
    this.list = make("ol", { class: "places" });
    this.status = make("p", { class: "status", role: "status" });
    const name = `${shelf}: ${id === null ? "baseline" : `for ${id}`}`;
    this.element = make(
      "section",
      { class: "order", "data-testid": id === null ? "baseline" : "order", "aria-label": name },
      this.head,
      this.list,
      this.status,
    );
    this.element.order = this;
    if (id === null) this.head.append(make("h3", { text: "Baseline" }));
    else mark(this.element, "data-customer", id);
  }

  turn(answer) {
    const { persona, fallback, items } = answer;
    mark(this.element, "data-persona", persona ?? "");
    mark(this.element, "data-fallback", fallback ?? "");
    this.#headOf(answer);
    this.show(items, persona);
    setText(this.status, items.every(({ position }, i) => position === i) ? stays(fallback) : "");
  }

  fail(error) {
    setText(this.status, `This can\u2019t be ordered for now: ${error.message}.`);
  }

  show(ranked, persona) {
    const before = tops(this.list);
    keyed(
      this.list,
      ranked.slice(0, SHOWN).map((each, place) => ({ ...each, place })),
      ({ item }) => item.product_id,
      (each) => new Place(this.id, this.acts).element,
      (element, each) => element.place.show(each, persona),
    );
    glide(this.list, before);
  }

  #headOf({ persona, request }) {
    const copy = make("button", { type: "button", class: "plain", text: "Copy request" });
    copy.addEventListener("click", () => copied(copy, request()));
    const name = persona === null ? make("bdi", { text: this.id }) : personaName(persona);
    this.head.replaceChildren(make("h3", { title: this.id }, name), copy);
  }
}

/** One product in its place; nodes are kept while it stays in the list. */
class Place {
  constructor(id, acts) {
    this.number = make("span", { class: "place-number" });
    this.title = make("button", { type: "button", class: "place-title" });
    this.about = make("span", { class: "place-about" });
    this.moved = make("span", { class: "moved" });
    this.why = make("ul", { class: "place-why" });
    this.title.addEventListener("click", () => acts.choose(this.item, id));
    this.element = make(
      "li",
      { class: "place", "data-testid": "place" },
      this.number,
      this.title,
      this.moved,
      this.about,
      this.why,
    );
    if (id !== null && acts.mayAdd(id)) this.#addButton(id, acts);
    this.element.place = this;
  }

  #addButton(id, acts) {
    this.add = make("button", { type: "button", class: "place-add", text: "Add" });
    this.add.addEventListener("click", () => acts.add(this.item, id));
    this.element.append(this.add);
  }

  show({ item, position, place, why, why_own: own }, persona) {
    this.item = item;
    setText(this.number, String(place + 1));
    setText(this.title, item.title ?? item.product_id);
    if (this.add) mark(this.add, "aria-label", `Put ${this.title.textContent} into the cart`);
    setText(this.about, facts(item));
    mark(this.element, "data-product", item.product_id);
    const places = position - place;
    mark(this.element, "data-moved", places);
    this.#showMove(places);
    const reasons = why ? sentences({ why, own: own ?? [], places, persona }) : [];
    keyed(
      this.why,
      reasons,
      String,
      (text) => make("li", { text }),
    );
  }

  #showMove(places) {
    const arrow = places > 0 ? "\u25b2" : "\u25bc";
    const inWords = `${places > 0 ? "up" : "down"} ${plural(Math.abs(places), "place")}`;
    this.moved.replaceChildren(
      ...(places
        ? [
            make("span", { "aria-hidden": "true", text: `${arrow}\u2009${Math.abs(places)}` }),
            make("span", { class: "hidden", text: inWords }),
          ]
        : []),
    );
  }
}

/** What a move owes to, in words: what goes the way that the product went, the strongest first. */
function sentences({ why, own, places, persona }) {
  if (!places) return [];
  const goes = ({ lift }) => (places > 0 ? lift > LEAST_LIFT : lift < 1 / LEAST_LIFT);
  const group = persona === null ? "shoppers like this one" : title(persona);
  const found = [
    ...why
      .filter(goes)
      .map((each) => ({ ...each, text: `${named(each)}: ${times(each.lift)} with ${group}` })),
    ...own
      .filter(goes)
      .map((each) => ({ ...each, text: `${named(each)}: ${times(each.lift)} than others` })),
  ];
  found.sort((a, b) => Math.abs(Math.log(b.lift)) - Math.abs(Math.log(a.lift)));
  const texts = found.slice(0, 2).map(({ text }) => text);
  const others = places > 0 ? "What was ahead of it moved down" : "Others moved ahead of it";
  return texts.length ? texts : [others];
}

const named = ({ feature: name, value: raw }) => `${feature(name)} ${value(name, raw)}`;

function facts({ category, brand, price }) {
  const level = category ? value("category", category.split("/").slice(-1)[0]) : null;
  const cost = price === null || price === undefined ? null : money.format(price);
  return [level, brand, cost].filter(Boolean).join(" \u00b7 ");
}

/** Why an order is the baseline's. */
function stays(fallback) {
  const why = {
    ambiguous: "Not sure enough of this shopper: the baseline stays.",
    unknown: "Nothing is known of this shopper: the baseline stays.",
    holdout: "Held out for comparison: the baseline stays.",
    unreachable: "What the persona likes can\u2019t be read: the baseline stays.",
    unreadable: "The shopper\u2019s record can\u2019t be read: the baseline stays.",
  };
  return why[fallback] ?? "Nothing here moves for this shopper.";
}

async function copied(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    setText(button, "Copied");
  } catch {
    setText(button, "The browser refused");
  }
  setTimeout(() => setText(button, "Copy request"), COPIED_MS);
}

// --- moves that one sees ---

const tops = (list) =>
  new Map([...list.children].map((row) => [row.dataset.key, row.getBoundingClientRect().top]));

/** Let each row glide from where it was; a new one fades in. */
function glide(list, before) {
  if (!before.size || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const timing = { duration: MOVE_MS, easing: "ease-out" };
  for (const row of list.children) {
    const top = before.get(row.dataset.key);
    if (top === undefined) row.animate([{ opacity: 0 }, { opacity: 1 }], timing);
    else {
      const way = top - row.getBoundingClientRect().top;
      if (way) row.animate([{ transform: `translateY(${way}px)` }, { transform: "none" }], timing);
    }
  }
}
