// The model in figures: its evaluation, its labels, and the workers.

import { empty, keyed, make, table } from "./dom.js";
import { personaName } from "./persona-name.js";
import {
  ago,
  attribute,
  colour,
  count,
  decimals,
  modelName,
  moment,
  percent,
  rate,
  title,
} from "./words.js";

/** With fewer labels a persona's predictions are unreliable. */
const ENOUGH_LABELS = 20;
const FIGURES = [
  ["Assignments judged", (m) => count(m.trials)],
  ["Accuracy", (m) => percent(m.accuracy)],
  ["Recent accuracy", (m) => percent(m.recent_accuracy)],
  ["Macro-F1", (m) => decimals(m.macro_f1)],
  ["Log-loss", (m) => decimals(m.log_loss, 3)],
  ["Recent log-loss", (m) => decimals(m.recent_log_loss, 3)],
  ["Log-loss of the prior", (m) => decimals(m.prior_log_loss, 3)],
  ["Calibration error", (m) => decimals(m.ece, 3)],
  ["Drift alarms", (m) => count(m.alarms)],
];

export function figures(models) {
  const rows = FIGURES.map(([label, text]) => [label, ...models.map(text)]);
  const element = table(
    "Figures of the models",
    ["Figure", ...models.map(({ name }) => modelName(name))],
    rows,
    { class: "wide-first" },
  );
  for (const [i, { name, failure }] of models.entries()) {
    const cell = element.tHead.rows[0].cells[i + 1];
    cell.dataset.testid = "model-name";
    cell.dataset.name = cell.title = name;
    if (failure) cell.append(make("span", { class: "warning", text: `stopped: ${failure}` }));
  }
  return element;
}

export function alarms(list) {
  if (!list.length) return empty("No alarm", "The model errs no more than it did before.");
  const rows = list.map(({ model, at, trial }) =>
    make(
      "li",
      { "data-testid": "alarm" },
      make("time", { datetime: new Date(at).toISOString(), text: moment(at) }),
      make("span", {
        text: `${modelName(model)}, at assignment ${count(trial)}`,
      }),
    ),
  );
  return make("ul", { class: "plain-list" }, rows);
}

export function labels(list, counts) {
  const most = Math.max(1, ...Object.values(counts));
  keyed(
    list,
    Object.entries(counts),
    ([name]) => name,
    ([name]) =>
      make(
        "li",
        { class: "bar", "data-persona": attribute(name) },
        personaName(name, { class: "name" }),
        make("span", { class: "value" }),
        make(
          "span",
          { class: "track" },
          make("span", { class: "fill", style: { "--colour": colour(name) } }),
        ),
      ),
    (row, [, n]) => {
      row
        .querySelector(".value")
        .replaceChildren(
          n < ENOUGH_LABELS ? make("span", { class: "warning", text: "too few" }) : "",
          count(n),
        );
      row.querySelector(".fill").style.setProperty("--share", n / most);
    },
  );
}

/** Titles that are longer than this don't fit above a column: the rows number them instead. */
const FITS_A_COLUMN = 24;

/** The confusion matrix: cells are shaded by their share of the row, and show their figure. */
export function confusion({ personas, counts }) {
  const titles = personas.map(title);
  const isNumbered = titles.some((each) => each.length > FITS_A_COLUMN);
  const element = table(
    "What the model named, against what the team assigned",
    ["Named as", ...titles],
    counts.map((row, i) => [titles[i], ...row.map(count)]),
    { class: "confusion" },
  );
  counts.forEach((row, i) => {
    const number = isNumbered && make("span", { text: `${i + 1}.\u00a0` });
    element.tBodies[0].rows[i].cells[0].replaceChildren(
      make("span", { class: "titled" }, number, make("bdi", { text: titles[i] })),
    );
    const sum = Math.max(
      1,
      row.reduce((total, n) => total + n, 0),
    );
    row.forEach((n, j) => {
      const cell = element.tBodies[0].rows[i].cells[j + 1];
      cell.style.setProperty("--share", n / sum);
      cell.className = `cell ${i === j ? "right" : "wrong"}${n ? "" : " none"}`;
    });
  });
  [...element.tHead.rows[0].cells].slice(1).forEach((cell, i) => {
    const text = isNumbered ? String(i + 1) : titles[i];
    cell.title = titles[i];
    if (isNumbered) cell.setAttribute("aria-label", titles[i]);
    cell.replaceChildren(make("span", { class: isNumbered ? null : "upright", text }));
  });
  return element;
}

export const isJudged = (found) => found?.counts.some((row) => row.some((n) => n > 0));

export function workers(list) {
  const rows = list.map((each) => [
    each.worker,
    count(each.partitions),
    rate(each.events_per_second),
    ago(each.at),
    ago(each.started_at),
  ]);
  const element = table(
    "Workers",
    ["Worker", "Partitions", "Events a second", "Last heard", "Started"],
    rows,
  );
  [...element.tBodies[0].rows].forEach((row, i) =>
    Object.assign(row.dataset, { testid: "worker-row", worker: list[i].worker }),
  );
  return element;
}
