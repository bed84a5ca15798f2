// The mix of personas: over time as layers, and now as bars.

import { disclosure, keyed, make, setText, segmented, table } from "./dom.js";
import { personaName } from "./persona-name.js";
import { mixPlot } from "./plots.js";
import { FEWEST, mixSeries, mixSummary } from "./series.js";
import { attribute, colour, count, minute, names, percent, title } from "./words.js";

const TOO_EARLY = "Being recorded: the first minute will show here soon.";
const ROWS = 12;

/** A chart of the mix over time, its legend, and the same as a table. */
export class MixOverTime {
  #history = null;
  #isShare = true;

  constructor(scope, height) {
    this.chart = scope.chart({ plot: mixPlot, height, id: "chart-mix" });
    this.scale = segmented(
      "scale",
      "Scale",
      [
        ["share", "Share"],
        ["count", "Count"],
      ],
      "share",
      (scale) => {
        this.#isShare = scale === "share";
        this.#draw();
      },
    );
    this.table = disclosure("The mix as a table", () => mixTable(this.#history));
    this.legend = legend([...names(), null]);
    this.elements = [this.chart.element, this.legend, this.table.element];
  }

  show(history) {
    this.#history = history;
    this.#draw();
    this.table.refresh();
  }

  #draw() {
    const history = this.#history;
    if (!history || history.at.length < FEWEST) {
      this.chart.set(null, TOO_EARLY);
      return;
    }
    const series = mixSeries(history, this.#isShare);
    this.chart.set(series, mixSummary(series));
  }
}

export function legend(list) {
  const items = list.map((name) => make("li", null, personaName(name)));
  return make("ul", { class: "legend" }, items);
}

/** A few times of the window: as many as fit a readable table. */
function mixTable(history) {
  if (!history?.at.length) return make("p", { text: TOO_EARLY });
  const step = Math.max(1, Math.floor(history.at.length / ROWS));
  const moments = history.at
    .map((_, i) => i)
    .filter((i) => (history.at.length - 1 - i) % step === 0)
    .slice(-ROWS)
    .reverse();
  const rows = moments.map((i) => [
    minute(history.at[i]),
    ...names().map((name) => count(history.mix[name]?.[i])),
    count(history.ambiguous[i]),
  ]);
  return table(
    "Shoppers of each persona over time",
    ["Time", ...names().map(title), title(null)],
    rows,
  );
}

/** Bars of each persona's shoppers now; the list keeps its nodes. */
export function mixBars() {
  const list = make("ul", { class: "bars", "data-testid": "mix-now" });
  const show = ({ mix, ambiguous, shoppers }) => {
    const rows = [...names().map((name) => [name, mix[name] ?? 0]), [null, ambiguous]];
    const most = Math.max(1, ...rows.map(([, n]) => n));
    keyed(
      list,
      rows,
      ([name]) => name,
      ([name]) => bar(name),
      (row, [, n]) => {
        setText(
          row.querySelector(".value"),
          `${count(n)} \u00b7 ${percent(shoppers ? n / shoppers : 0)}`,
        );
        row.querySelector(".fill").style.setProperty("--share", n / most);
      },
    );
  };
  return { list, show };
}

function bar(name) {
  return make(
    "li",
    { class: "bar", "data-persona": attribute(name) },
    personaName(name, { class: "name" }),
    make("span", { class: "value" }),
    make(
      "span",
      { class: "track" },
      make("span", { class: "fill", style: { "--colour": colour(name), "--share": 0 } }),
    ),
  );
}
