// Personas: their mix over time, the flows between them, and a portrait of each.

import { choices, choose } from "./address.js";
import { ask } from "./api.js";
import { card, disclosure, empty, keyed, make, setText, segmented, table } from "./dom.js";
import { MixOverTime } from "./mix.js";
import { FLOWS_HEIGHT, flowPlot } from "./flow-plot.js";
import { Portrait } from "./portrait.js";
import { flowSeries, flowSummary } from "./series.js";
import { attribute, count, percent, title } from "./words.js";

const WINDOWS = [
  ["900", "15 min"],
  ["3600", "1 h"],
  ["21600", "6 h"],
];
/** Seconds between two requests of the history: a longer window moves more slowly. */
const PACE = { 900: 10, 3600: 10, 21600: 30 };
const PORTRAITS_SECONDS = 10;
const FLOWS_SECONDS = 15;
const HOUR = "3600";

export function mount({ section, scope }) {
  const threshold = make("p", { class: "lede", "data-testid": "threshold", text: "\u00a0" });
  const grid = make("div", { class: "portraits" });
  const folding = new Folding();
  section.append(
    overTime(scope),
    flows(scope),
    make(
      "div",
      { class: "section-head" },
      make("h2", { text: "Portraits" }),
      folding.all,
      threshold,
    ),
    grid,
  );
  portraits({ section, scope, threshold, grid, folding });
}

function overTime(scope) {
  const mix = new MixOverTime(scope, 300);
  let seconds = HOUR;
  let again = () => {};
  const choice = segmented("window", "Window", WINDOWS, seconds, (value) => {
    seconds = value;
    again();
  });
  const look = async () => {
    const asked = seconds;
    const history = await ask(`/v1/history?seconds=${asked}`);
    if (asked === seconds) mix.show(history);
  };
  again = scope.refresh(PACE[HOUR], look, () => mix.show(null));
  return card(
    "Mix over time",
    { aside: make("div", { class: "controls" }, choice, mix.scale) },
    ...mix.elements,
  );
}

function flows(scope) {
  const chart = scope.chart({ plot: flowPlot, height: FLOWS_HEIGHT, id: "chart-flows" });
  let known = [];
  const details = disclosure("The flows as a table", () => flowTable(known));
  scope.refresh(
    FLOWS_SECONDS,
    async () => {
      known = (await ask(`/v1/history?seconds=${HOUR}`)).flows;
      const series = flowSeries(known);
      chart.set(
        series,
        series
          ? flowSummary(known)
          : "Nobody has moved from one persona to another in the last hour.",
      );
      details.refresh();
    },
    () => chart.set(null, "The flows can\u2019t be shown for now."),
  );
  const note = "Left what shoppers were, right what they have become.";
  return card("Flows in the last hour", { note }, chart.element, details.element);
}

function flowTable(list) {
  const rows = [...list]
    .sort((a, b) => b.count - a.count)
    .map((each) => [title(each.from), title(each.to), count(each.count)]);
  return table("Moves between personas in the last hour", ["From", "To", "Shoppers"], rows);
}

/** Which portraits are folded; the address remembers it. */
class Folding {
  shown = new Map(); // persona -> Portrait

  constructor() {
    this.all = make("button", {
      type: "button",
      class: "plain",
      hidden: true,
      "data-testid": "fold-all",
      onclick: () => {
        const isWanted = this.#isAnyOpen();
        for (const portrait of this.shown.values()) portrait.fold(isWanted);
        this.#keep();
      },
    });
  }

  add(scope, each) {
    const portrait = new Portrait(scope, each, () => this.#keep());
    portrait.fold(choices("folded").includes(attribute(each.name)));
    this.shown.set(each.name, portrait);
    this.#name();
    return portrait.element;
  }

  #isAnyOpen() {
    return [...this.shown.values()].some(({ isFolded }) => !isFolded);
  }

  #keep() {
    const folded = [...this.shown].filter(([, { isFolded }]) => isFolded);
    choose(
      "folded",
      folded.map(([name]) => attribute(name)),
    );
    this.#name();
  }

  #name() {
    this.all.hidden = false;
    setText(this.all, this.#isAnyOpen() ? "Fold all" : "Unfold all");
  }
}

function portraits({ section, scope, threshold, grid, folding }) {
  const { shown } = folding;
  scope.refresh(
    PORTRAITS_SECONDS,
    async () => {
      const found = await ask("/v1/portraits");
      setText(threshold, rule(found));
      const all = [...found.personas, { ...found.ambiguous, name: null }];
      if (grid.firstChild && !shown.size) grid.replaceChildren();
      keyed(
        grid,
        all,
        (each) => each.name,
        (each) => folding.add(scope, each),
      );
      for (const each of all) shown.get(each.name).show(each, found);
      section.dataset.ready = "true";
    },
    (error) => {
      if (!shown.size)
        grid.replaceChildren(empty("No portraits for now", `The server says: ${error.message}.`));
    },
  );
}

/** The ambiguity threshold, as a sentence. */
function rule({ threshold, counted }) {
  const counting = counted === false ? " The first count of all shoppers is under way." : "";
  if (threshold === null)
    return `The threshold of ambiguity is not known yet: no worker has reported.${counting}`;
  if (threshold >= 1)
    return `Nobody is named yet: too few labels to tell how sure is sure enough.${counting}`;
  return (
    `A shopper is named when the likeliest persona reaches ${percent(threshold)}, ` +
    `or more where names of that persona were right too seldom. ` +
    `Below that the shopper is ambiguous, and rankings are left as they are.${counting}`
  );
}
