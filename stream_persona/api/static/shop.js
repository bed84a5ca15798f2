// Shop: the same products for everybody, and in the order for each shopper, live.

import { choices, choose } from "./address.js";
import { empty, make, setText } from "./dom.js";
import { throttled } from "./scope.js";
import { Chooser, suggested } from "./shop-chooser.js";
import * as requests from "./shop-requests.js";
import { Shelf } from "./shop-shelf.js";
import { ShopShopper } from "./shop-shopper.js";
import { Visit, becomeAnother, isVisitor, visitor } from "./shop-visit.js";
import { plural } from "./words.js";

/** Shoppers that stand beside each other. */
const MOST = 2;
const AGAIN_SECONDS = 5;
const FLIPS_MS = 5_000;
/** After what a visitor did: when to look again, since tastes move without a change. */
const SOON_MS = [400, 1_200];

export function mount({ section, scope }) {
  scope.refresh(30, async () => {
    if (section.shop) return;
    const found = await requests.catalogue();
    if (scope.isOver || section.shop) return;
    if (found?.products) section.shop = new Shop({ section, scope, catalogue: found });
    else {
      section.replaceChildren(section.firstChild, noCatalogue());
      section.dataset.ready = "true";
    }
  });
}

const noCatalogue = () =>
  empty(
    "No catalogue",
    "Set STREAM_PERSONA_CATALOGUE to a file of products, and the shelves stand here.",
  );

class Shop {
  constructor({ section, scope, catalogue }) {
    Object.assign(this, { section, scope });
    this.shoppers = choices("shopper").slice(0, MOST);
    if (!this.shoppers.length) this.shoppers = [suggested() ?? visitor()];
    this.query = choices("q")[0] ?? catalogue.categories[0]?.category ?? "";
    this.with = choices("with");
    this.order = choices("order")[0] ?? "persona";
    if (!Object.hasOwn(requests.ORDERS, this.order)) this.order = "persona";
    this.#build(catalogue);
    this.#people();
    scope.on("change", (change) => this.#changed(change));
    scope.on("changes", throttled(2_000, () => this.chooser.suggest()));
    this.again = scope.refresh(AGAIN_SECONDS, () => this.#refresh());
  }

  // --- what is on the page ---

  #build(catalogue) {
    const acts = {
      choose: (product, id) => this.#choose(product, id),
      add: (product) => this.#visit(() => this.visit.add(product)),
      mayAdd: isVisitor,
    };
    this.heads = make("div", { class: "shop-heads" });
    this.status = make("p", { class: "status", role: "status", "data-testid": "shop-status" });
    this.cart = make("div", { class: "cart", "data-testid": "cart" });
    this.basket = make("p", { class: "note", "data-testid": "basket" });
    this.shelves = {
      search: new Shelf("search", "Search", { aside: this.#searchForm(), acts }),
      together: new Shelf("together", "Bought together", { acts }),
      forYou: new Shelf("for-you", "For you", {
        note: "The whole catalogue, by popularity on the left.",
        acts,
      }),
    };
    this.chooser = this.#chooser();
    this.shelves.together.element.insertBefore(this.basket, this.shelves.together.columns);
    const products = plural(catalogue.products, "product");
    this.section.append(
      make("p", { class: "lede", text: `${products}, in the order that suits who is looking.` }),
      this.chooser.element,
      this.heads,
      this.cart,
      ...Object.values(this.shelves).map(({ element }) => element),
    );
  }

  #chooser() {
    return new Chooser({
      order: this.order,
      isBeside: this.shoppers.length > 1,
      status: this.status,
      enter: (id) => this.#enter(id),
      be: () => this.#enter(this.shoppers.some(isVisitor) ? becomeAnother() : visitor()),
      reorder: (order) => {
        this.order = order;
        this.#remember();
        this.again();
      },
    });
  }

  #searchForm() {
    const input = make("input", {
      type: "search",
      name: "q",
      "data-testid": "shop-query",
      "aria-label": "Search the catalogue",
      value: this.query,
      maxlength: "200",
      autocomplete: "off",
    });
    const search = (event) => {
      event.preventDefault();
      this.query = input.value.trim();
      this.#remember();
      this.again();
      if (this.visit && this.query) this.#visit(() => this.visit.search(this.query));
    };
    return make("form", { class: "shop-search", role: "search", onsubmit: search }, input);
  }

  // --- who is looking ---

  #enter(id) {
    const isReplaced = (each) => isVisitor(id) && each.startsWith("visitor-");
    const others = this.shoppers.filter((each) => each !== id && !isReplaced(each));
    this.shoppers = this.chooser.beside.checked ? [...others.slice(-(MOST - 1)), id] : [id];
    this.#people();
    this.again();
  }

  #leave(id) {
    this.shoppers = this.shoppers.filter((each) => each !== id);
    if (!this.shoppers.length) this.shoppers = [suggested() ?? visitor()];
    this.chooser.beside.checked = this.shoppers.length > 1;
    this.#people();
    this.again();
  }

  /** Make a head for each shopper, and a visit for the one who is this browser's own. */
  #people() {
    const own = this.shoppers.find(isVisitor);
    if (own !== this.visit?.id) this.visit = own && new Visit(own, () => this.#soon());
    this.people = new Map(
      this.shoppers.map((id) => [
        id,
        this.people?.get(id) ??
          new ShopShopper(id, {
            name: isVisitor(id) ? `you, ${id}` : id,
            isVisitor: isVisitor(id),
            leave: () => this.#leave(id),
          }),
      ]),
    );
    this.heads.replaceChildren(...[...this.people.values()].map(({ element }) => element));
    this.#showCart();
    this.#remember();
  }

  #remember() {
    choose("shopper", this.shoppers);
    choose("q", this.query ? [this.query] : []);
    choose("with", this.with);
    choose("order", this.order === "persona" ? [] : [this.order]);
  }

  // --- what is shown ---

  async #refresh() {
    const [baselines, model] = await Promise.all([this.#baselines(), requests.model()]);
    if (this.scope.isOver) return;
    Object.assign(this, { items: baselines, model });
    for (const [name, shelf] of Object.entries(this.shelves))
      shelf.begin(baselines[name], this.shoppers);
    await Promise.all(this.shoppers.map((id) => this.#look(id)));
    this.section.dataset.ready = "true";
  }

  async #baselines() {
    const forYou = await requests.baseline(requests.popular());
    const ids = this.visit?.cart.length
      ? this.visit.cart.map((each) => each.product_id)
      : this.with.length
        ? this.with
        : forYou.slice(0, 1).map((each) => each.product_id);
    const [search, together] = await Promise.all([
      this.query ? requests.baseline(requests.searched(this.query)) : forYou,
      ids.length ? requests.baseline(requests.boughtTogether(ids)) : [],
    ]);
    await this.#nameBasket(ids);
    return { search, together, forYou };
  }

  async #nameBasket(ids) {
    const named = await Promise.all(ids.map((id) => requests.product(id)));
    const titles = named.map((each, i) => each?.title ?? ids[i]).join(", ");
    setText(this.basket, titles ? `With ${titles}` : "Choose a product.");
  }

  /** Show a shopper's record and orders. */
  async #look(id) {
    const shown = requests.record(id).then(
      (found) => {
        this.people.get(id)?.show(found, this.model);
        if (found) this.#flips(id);
      },
      () => null,
    );
    await Promise.all([shown, this.#turn(id)]);
  }

  /** Ask for the orders of a shopper, and show them. */
  async #turn(id) {
    const { search, together } = this.items;
    const asked = {
      search: search.length ? requests.ranked(id, search, this.order) : null,
      together: together.length ? requests.ranked(id, together, this.order) : null,
      forYou: requests.recommended(id, this.order),
    };
    await Promise.all(
      Object.entries(asked).map(async ([name, answer]) => {
        try {
          const found = await answer;
          if (this.scope.isOver || !found) return;
          this.shelves[name].turn(id, found);
          if (name === "forYou") this.people.get(id)?.rankedBy(found);
        } catch (error) {
          this.shelves[name].fail(id, error);
        }
      }),
    );
  }

  /** A change of one who is here re-orders the shelves at once. */
  async #changed(change) {
    const person = this.people.get(change.customer_id);
    if (!person || !this.items) return;
    const came = performance.now();
    person.show(change.deleted ? null : change.current, this.model);
    person.turning();
    await this.#turn(change.customer_id);
    person.turnedAfter(performance.now() - came);
    this.#flips(change.customer_id);
  }

  #flips(id) {
    const person = this.people.get(id);
    if (!person || Date.now() - (person.flippedAt ?? 0) < FLIPS_MS) return;
    person.flippedAt = Date.now();
    requests.flips(id).then(
      (found) => person.showFlips(found),
      () => person.showFlips(null),
    );
  }

  // --- what the visitor does ---

  #choose(product, id) {
    this.with = [product.product_id];
    this.#remember();
    this.again();
    if (id !== null && isVisitor(id)) this.#visit(() => this.visit.look(product));
  }

  async #visit(act) {
    try {
      await act();
      setText(this.status, "");
    } catch (error) {
      setText(this.status, `That was not counted: ${error.message}.`);
    }
    this.#showCart();
  }

  #showCart() {
    const cart = this.visit?.cart ?? [];
    this.cart.hidden = !this.visit;
    const buy = make("button", {
      type: "button",
      class: "primary",
      "data-testid": "buy",
      disabled: !cart.length,
      text: "Buy",
      onclick: () => this.#visit(() => this.visit.buy()),
    });
    const text = cart.length
      ? `In your cart: ${cart.map((each) => each.title ?? each.product_id).join(", ")}`
      : "Your cart is empty. Look at products, search, add, buy: each is a signal.";
    this.cart.replaceChildren(make("p", { text }), buy);
  }

  #soon() {
    for (const ms of SOON_MS) {
      const timer = setTimeout(() => this.scope.isOver || this.again(), ms);
      this.scope.own(() => clearTimeout(timer));
    }
  }
}
