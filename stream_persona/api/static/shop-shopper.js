// Who is in the shop: the persona with its confidence, and what would flip it.

import { dot, keyed, make, mark, setText } from "./dom.js";
import { personaName } from "./persona-name.js";
import { colour, flip, percent, plural, span, title } from "./words.js";

const FLIPS = 2;

/** What the page shows of a shopper without a persona. */
const STATES = {
  ambiguous: "Ambiguous: the shelves keep the baseline.",
  unknown: "Nothing is known yet: the shelves keep the baseline.",
  holdout: "Held out for comparison: the shelves keep the baseline.",
};

export class ShopShopper {
  /** `leave` is called when the shopper is to be removed from the view. */
  constructor(id, { name, isVisitor, leave }) {
    this.persona = make("p", { class: "headline", "data-testid": "shop-persona" });
    this.sure = make("span", { class: "fill" });
    this.facts = make("p", { class: "facts" });
    this.state = make("p", { class: "shop-state", "data-testid": "shop-state" });
    this.flips = make("ul", { class: "flips", "data-testid": "shop-flips" });
    this.turned = make("p", { class: "note", "data-testid": "turned" });
    const why = make("a", { href: `#/shopper/${encodeURIComponent(id)}`, text: "Why" });
    const away = make("button", {
      type: "button",
      class: "plain shop-leave",
      text: "Remove",
      onclick: leave,
    });
    mark(away, "aria-label", `Remove ${name}`);
    this.element = make(
      "section",
      {
        class: "card shop-shopper",
        "data-testid": "shop-shopper",
        "data-customer": id,
        "aria-label": name,
      },
      make(
        "div",
        { class: "card-head" },
        make("h2", { title: id }, make("bdi", { text: isVisitor ? `You, ${id}` : id })),
        make("div", { class: "actions" }, why, away),
      ),
      this.persona,
      make("div", { class: "track" }, this.sure),
      this.facts,
      this.state,
      this.flips,
      this.turned,
    );
  }

  /** Show a public record, or what a change says; null where nothing is known. */
  show(record, model) {
    const { persona = null, confidence = 0, source, evidence } = record ?? {};
    mark(this.element, "data-persona", persona ?? "");
    this.persona.replaceChildren(
      record ? personaName(persona, { isWhole: true }) : make("bdi", { text: "Unknown so far" }),
    );
    this.sure.style.setProperty("--share", source === "assigned" ? 1 : confidence);
    this.sure.style.setProperty("--colour", colour(persona));
    const events = evidence === undefined ? [] : [plural(Math.round(evidence), "recent event")];
    const facts = record ? [sureness(record, model), ...events] : ["The first signals decide."];
    setText(this.facts, facts.join(" \u00b7 "));
  }

  /** Say whether the shelves follow the persona: `fallback` and `group` of a ranking's answer. */
  rankedBy({ fallback, persona }) {
    mark(this.element, "data-fallback", fallback ?? "");
    setText(
      this.state,
      fallback ? (STATES[fallback] ?? "The shelves keep the baseline for now.") : "",
    );
    this.state.hidden = !fallback;
    if (fallback === "holdout") setText(this.facts, `${this.facts.textContent} \u00b7 held out`);
    mark(this.element, "data-ranked", persona ?? "");
  }

  showFlips(found) {
    keyed(
      this.flips,
      (found?.flips ?? []).slice(0, FLIPS),
      (each) => each.persona,
      (each) => make("li", null, dot(colour(each.persona)), make("span")),
      (row, each) => setText(row.lastChild, flip(each)),
    );
  }

  turning() {
    this.element.removeAttribute("data-turned");
  }

  /** Say how long after a change came the shelves stood in their new order. */
  turnedAfter(ms) {
    mark(this.element, "data-turned", Math.round(ms));
    setText(this.turned, `Re-ordered ${span(ms)} after the change came.`);
  }
}

/** How sure, and from where on a persona is named: a whole one is never reached. */
function sureness({ persona, confidence, source, distribution }, model) {
  if (source === "assigned") return "Assigned by the team";
  const sure = `${percent(confidence)} sure`;
  if (persona !== null || !model) return sure;
  const [likeliest] = Object.entries(distribution).sort(([, a], [, b]) => b - a)[0] ?? [null];
  const least = model.thresholds[likeliest] ?? model.threshold;
  const from = least < 1 ? `named from ${percent(least)}` : "not named yet: too few are right";
  return `${sure} of ${title(likeliest)}, ${from}`;
}
