// Prequential log-loss over time: the model beside its prior and its challengers.

import { ask } from "./api.js";
import { card, disclosure, keyed, make, table } from "./dom.js";
import { linesPlot } from "./plots.js";
import { lineSeries } from "./series.js";
import { decimals, minute, modelName } from "./words.js";

const HISTORY_SECONDS = 10;
const TONES = ["var(--p1)", "var(--p2)", "var(--p3)", "var(--p6)"];

export function lossOverTime(scope) {
  const chart = scope.chart({ plot: linesPlot, height: 280, id: "chart-log-loss" });
  const names = make("ul", { class: "legend" });
  let history = null;
  const details = disclosure("The log-loss as a table", () => lossTable(history));
  scope.refresh(
    HISTORY_SECONDS,
    async () => {
      history = await ask("/v1/history?seconds=3600");
      const lines = lossLines(history);
      const series = lineSeries(history, lines);
      chart.set(
        series,
        series
          ? lossSummary(lines)
          : "No assignment has been judged in the last hour: there is nothing to draw yet.",
      );
      keyed(
        names,
        series ? series.lines : [],
        (each) => each.name,
        (each) => make("li", null, key(each), modelName(each.name)),
      );
      details.refresh();
    },
    () => history ?? chart.set(null, "The log-loss can\u2019t be shown for now."),
  );
  return card(
    "Log-loss over the last hour",
    { note: "Of recent assignments; lower is better." },
    chart.element,
    names,
    details.element,
  );
}

function lossLines(history) {
  const challengers = Object.entries(history.challengers ?? {}).map(([name, values], i) => ({
    name,
    values,
    tone: TONES[i % TONES.length],
    dash: "dash",
  }));
  return [
    { name: "Model", values: history.log_loss, tone: "var(--accent)" },
    { name: "Prior alone", values: history.prior_log_loss, tone: "var(--none)", dash: "dotted" },
    ...challengers,
  ];
}

const key = ({ tone, dash }) =>
  make("span", {
    class: `key ${dash ?? "solid"}`,
    "aria-hidden": "true",
    style: { "--colour": tone },
  });
const last = (values) => values.findLast((each) => each !== null && each !== undefined);

function lossSummary(lines) {
  return `Log-loss now: ${lines
    .filter(({ values }) => last(values) !== undefined)
    .map(({ name, values }) => `${name} ${decimals(last(values), 3)}`)
    .join(", ")}.`;
}

function lossTable(history) {
  if (!history) return make("p", { text: "Nothing yet." });
  const lines = lossLines(history);
  const step = Math.max(1, Math.floor(history.at.length / 12));
  const moments = history.at
    .map((_, i) => i)
    .filter((i) => (history.at.length - 1 - i) % step === 0)
    .reverse();
  return table(
    "Log-loss over time",
    ["Time", ...lines.map(({ name }) => name)],
    moments.map((i) => [
      minute(history.at[i]),
      ...lines.map(({ values }) => decimals(values[i], 3)),
    ]),
  );
}
