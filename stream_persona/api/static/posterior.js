// The probability of each persona now, and the evidence for and against the chosen one.

import { card, keyed, make, mark, setText } from "./dom.js";
import { personaName } from "./persona-name.js";
import { attribute, colour, feature, percent, times, title, value, words } from "./words.js";

const MOST_REASONS = 10;

export class Posterior {
  #hits = [];
  #chosen = null;

  constructor() {
    this.list = make("ul", { class: "bars", "data-testid": "posterior" });
    this.element = card(
      "How likely each persona is",
      { note: "As of now. Choose one to see why." },
      this.list,
    );
    this.subject = make("p", { class: "note" });
    this.why = make("ul", { class: "reasons", "data-testid": "why" });
    this.none = make("p", { class: "note", text: "Nothing yet but how common the persona is." });
    this.reasons = card("Why", null, this.subject, this.why, this.none);
  }

  show(hits, record) {
    this.#hits = hits;
    this.element.querySelector(".note").hidden = record === null;
    const isThere = hits.some((hit) => hit.persona === this.#chosen);
    if (!isThere) this.#chosen = record?.persona ?? hits[0]?.persona ?? null;
    keyed(
      this.list,
      hits,
      (hit) => hit.persona,
      (hit) => this.#row(hit),
      (row, hit) => {
        setText(row.querySelector(".value"), percent(hit.$p));
        row.querySelector(".fill").style.setProperty("--share", hit.$p);
      },
    );
    this.#explain();
  }

  #row({ persona }) {
    const fill = make("span", { class: "fill", style: { "--colour": colour(persona) } });
    const button = make(
      "button",
      {
        type: "button",
        class: "bar",
        "data-persona": attribute(persona),
        onclick: () => {
          this.#chosen = persona;
          this.#explain();
        },
      },
      personaName(persona, { class: "name" }),
      make("span", { class: "value" }),
      make("span", { class: "track" }, fill),
    );
    return make("li", null, button);
  }

  #explain() {
    for (const row of this.list.querySelectorAll("button"))
      mark(row, "aria-pressed", row.dataset.persona === this.#chosen);
    const hit = this.#hits.find((each) => each.persona === this.#chosen);
    const factors = hit ? strongest(hit.$why.factors) : [];
    setText(
      this.subject,
      `What speaks for and against ${title(this.#chosen)}, against what is usual of all personas.`,
    );
    this.none.hidden = factors.length > 0;
    const most = Math.max(...factors.map((each) => Math.abs(each.log)), 1e-9);
    keyed(
      this.why,
      factors,
      (each) => `${each.feature}:${each.value}`,
      reason,
      (row, each) => {
        const side = each.log > 0 ? "for" : "against";
        mark(row, "data-side", side);
        mark(row.querySelector(".side"), "class", `side ${side}`);
        row.querySelector(".side").style.setProperty("--share", Math.abs(each.log) / most);
        setText(row.querySelector(".value"), times(each.lift));
      },
    );
  }
}

/** The strongest factors, from the one most in favour to the one most against. */
function strongest(factors) {
  return factors
    .filter((factor) => factor.type === "relatedPropositionLift" && factor.value !== 1)
    .map((factor) => {
      const [[name, { $has }]] = Object.entries(factor.proposition);
      return { feature: name, value: $has, lift: factor.value, log: Math.log(factor.value) };
    })
    .sort((a, b) => Math.abs(b.log) - Math.abs(a.log))
    .slice(0, MOST_REASONS)
    .sort((a, b) => b.log - a.log);
}

function reason(each) {
  const name = make(
    "span",
    { class: "name", title: words(each.feature, each.value) },
    make("span", { class: "feature", text: `${feature(each.feature)}: ` }),
    value(each.feature, each.value),
  );
  return make(
    "li",
    {
      class: "reason",
      "data-testid": "why-factor",
      "data-feature": each.feature,
      "data-value": each.value,
    },
    name,
    make("span", { class: "signed", "aria-hidden": "true" }, make("span", { class: "side" })),
    make("span", { class: "value" }),
  );
}
