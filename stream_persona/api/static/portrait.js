// The portrait of a persona: shoppers, confidence, calibration, and defining features.

import { keyed, make, mark, setText } from "./dom.js";
import { personaName } from "./persona-name.js";
import { confidencePlot, reliabilityPlot } from "./portrait-plots.js";
import { attribute, colour, count, percent, plural, times, title, words } from "./words.js";

/** With fewer assignments the accuracy is chance. */
const ENOUGH_TRIALS = 20;
const CHART = 220;

export class Portrait {
  /** `folded` is called when somebody has folded or unfolded it. */
  constructor(scope, { name, description }, folded) {
    const persona = { "data-persona": attribute(name) };
    this.name = name;
    this.confidence = scope.chart({
      plot: confidencePlot,
      height: CHART,
      id: "chart-confidence",
      ...persona,
    });
    this.facts = make("p", { class: "facts" });
    this.inside = make(
      "div",
      { id: `portrait-${persona["data-persona"]}` },
      make("p", { class: "note", text: description || about(name) }),
      make(
        "div",
        { class: "panels" },
        panel("How sure", this.confidence.element),
        ...this.#more(scope, persona),
      ),
    );
    this.button = make(
      "button",
      {
        type: "button",
        class: "fold",
        "aria-controls": this.inside.id,
        "data-testid": "fold",
        onclick: () => {
          this.fold(!this.isFolded);
          folded();
        },
      },
      personaName(name, { isWhole: true }),
    );
    this.element = make(
      "article",
      { class: "card portrait", "data-testid": "portrait", "aria-label": title(name), ...persona },
      make("div", { class: "portrait-head" }, make("h3", null, this.button), this.facts),
      this.inside,
    );
    this.fold(false);
  }

  /** Leave the name and its facts alone, or show all of it again. */
  fold(isFolded) {
    this.isFolded = isFolded;
    this.inside.hidden = isFolded;
    this.element.classList.toggle("is-folded", isFolded);
    mark(this.button, "aria-expanded", !isFolded);
  }

  /** `portrait` is one of `whole.personas`, or its ambiguous. */
  show(portrait, whole) {
    setText(this.facts, facts(portrait));
    this.#showConfidence(portrait, whole);
    if (this.name === null) return;
    this.#showReliability(portrait);
    this.#showLifts([...portrait.lifts].sort((a, b) => b.lift - a.lift));
  }

  /** The ambiguous have no calibration and no defining features. */
  #more(scope, persona) {
    if (this.name === null) return [];
    this.reliability = scope.chart({
      plot: reliabilityPlot,
      height: CHART,
      id: "chart-reliability",
      ...persona,
    });
    this.lifts = make("ul", { class: "lifts", "data-testid": "lifts" });
    this.noLifts = make("p", { class: "note", text: "Nothing learned yet.", hidden: true });
    return [
      panel("How often right when this sure", this.reliability.element),
      panel("What defines it", this.lifts, this.noLifts),
    ];
  }

  /** A persona's threshold is its own; the ambiguous have missed that of all. */
  #showConfidence({ confidence, mean_confidence: mean, shoppers, ...own }, whole) {
    const { edges, threshold } = { ...whole, ...own };
    if (!confidence.some((n) => n > 0)) {
      this.confidence.set(null, shoppers ? "All of them were assigned." : "No shopper yet.");
      return;
    }
    const isNamed = threshold < 1;
    const limit = isNamed
      ? ` Named from ${percent(threshold)} on.`
      : " Not named: there are too few labels to measure a threshold.";
    const average = mean ? `, ${percent(mean)} on average` : "";
    const sum = `Confidence of ${plural(shoppers, "shopper")}${average}.${limit}`;
    const drawn = isNamed ? threshold : null;
    this.confidence.set(
      { persona: this.name, edges, counts: confidence, threshold: drawn },
      sum,
    );
  }

  #showReliability({ trials, reliability }) {
    if (trials < ENOUGH_TRIALS) {
      this.reliability.set(null, `Too few assignments to tell: ${trials} of ${ENOUGH_TRIALS}.`);
      return;
    }
    const right = reliability.reduce((sum, bin) => sum + bin.accuracy * bin.trials, 0) / trials;
    const sure = reliability.reduce((sum, bin) => sum + bin.confidence * bin.trials, 0) / trials;
    const sum =
      `Of ${plural(trials, "assignment")} ${percent(right)} were right ` +
      `where the model was ${percent(sure)} sure.`;
    this.reliability.set({ persona: this.name, bins: reliability }, sum);
  }

  #showLifts(lifts) {
    this.noLifts.hidden = lifts.length > 0;
    const most = Math.log(Math.max(...lifts.map((each) => each.lift), 1.01));
    keyed(
      this.lifts,
      lifts,
      (each) => `${each.feature}:${each.value}`,
      liftRow,
      (row, { lift }) => {
        setText(
          row.querySelector(".value"),
          `\u00d7\u00a0${lift >= 100 ? "100+" : lift.toFixed(lift < 10 ? 1 : 0)}`,
        );
        mark(row.querySelector(".value"), "title", times(lift));
        row.querySelector(".fill").style.setProperty("--share", Math.log(lift) / most);
      },
    );
    for (const row of this.lifts.querySelectorAll(".fill"))
      row.style.setProperty("--colour", colour(this.name));
  }
}

function liftRow({ feature, value }) {
  return make(
    "li",
    { class: "bar" },
    make("span", { class: "name", text: words(feature, value), title: words(feature, value) }),
    make("span", { class: "value" }),
    make("span", { class: "track" }, make("span", { class: "fill" })),
  );
}

function panel(name, ...children) {
  return make("div", { class: "panel" }, make("h4", { text: name }), ...children);
}

function facts({ shoppers, mean_confidence: mean, labelled }) {
  const parts = [plural(shoppers, "shopper")];
  if (mean !== undefined && mean !== null) parts.push(`${percent(mean)} sure on average`);
  if (labelled !== undefined) parts.push(`${count(labelled)} labelled`);
  return parts.join(" \u00b7 ");
}

const about = (name) =>
  name === null ? "Whoever behaves like more than one, or has done too little to tell." : "";
