// Model: its loss over time, its evaluation, its labels, and the workers.

import { ask } from "./api.js";
import { card, empty, make, setText } from "./dom.js";
import { alarms, confusion, figures, isJudged, labels, workers } from "./judged.js";
import { lossOverTime } from "./loss.js";
import { queue } from "./queue.js";
import { percent, plural, span } from "./words.js";

const MODEL_SECONDS = 5;

export function mount({ section, scope }) {
  const parts = {
    about: make("p", { class: "lede", text: "\u00a0" }),
    figures: wrap("model-figures", "Figures of the models"),
    alarms: make("div", { "data-testid": "alarms" }),
    labels: make("ul", { class: "bars", "data-testid": "labels" }),
    confusion: wrap("confusion", "Confusion matrix"),
    workers: wrap("workers-table", "Workers"),
  };
  section.append(
    parts.about,
    make(
      "div",
      { class: "columns level" },
      lossOverTime(scope),
      card("Figures", { note: "Each assignment is predicted, then learned." }, parts.figures),
    ),
    make(
      "div",
      { class: "columns even" },
      make(
        "div",
        { class: "stack" },
        card("Labels", { note: "Shoppers whose persona the team has assigned." }, parts.labels),
        card("Drift alarms", null, parts.alarms),
      ),
      make(
        "div",
        { class: "stack" },
        card(
          "Named against actual",
          { note: "Rows: what the model named. Columns: what the team assigned." },
          parts.confusion,
        ),
      ),
    ),
    queue(scope),
    card("Workers", null, parts.workers),
  );
  let isShown = false;
  scope.refresh(
    MODEL_SECONDS,
    async () => {
      show(parts, await ask("/v1/model"));
      isShown = true;
      section.dataset.ready = "true";
    },
    (error) =>
      isShown || setText(parts.about, `The model can\u2019t be shown for now: ${error.message}.`),
  );
}

const wrap = (id, label) =>
  make("div", {
    class: "table-wrap",
    tabindex: "0",
    role: "region",
    "aria-label": `Table: ${label}`,
    "data-testid": id,
  });

function show(parts, model) {
  setText(parts.about, about(model));
  put(
    parts.figures,
    model.models.length
      ? figures(model.models)
      : empty("No figures yet", "They come with the first worker\u2019s report."),
  );
  put(parts.alarms, alarms(model.alarms));
  labels(parts.labels, model.labels);
  put(
    parts.confusion,
    isJudged(model.confusion)
      ? confusion(model.confusion)
      : empty("Nothing judged yet", "Assign a few shoppers below."),
  );
  put(
    parts.workers,
    model.workers.length
      ? workers(model.workers)
      : empty("No worker has reported", "Start one: stream-persona worker"),
  );
}

/** Rebuild a section only when its data has changed: a table that is being read stays put. */
function put(place, fresh) {
  if (!place.firstChild?.isEqualNode(fresh)) place.replaceChildren(fresh);
}

function about({
  model_version: version,
  labelled,
  target_precision: target,
  threshold,
  oldest_record_seconds: oldest,
  sweeping,
}) {
  const parts = [
    `Version ${version.slice(0, 8)}, learned from ${plural(labelled, "labelled shopper")}.`,
  ];
  if (threshold >= 1)
    parts.push("Names nobody yet: there are too few labels to tell how sure is sure enough.");
  else if (threshold !== null)
    parts.push(
      `Names a persona from ${percent(threshold)} on, to be right ${percent(target)} of the time.`,
    );
  if (sweeping) parts.push("Shoppers who send nothing are being scored anew.");
  else if (oldest)
    parts.push(`No record is behind the model by more than ${span(1_000 * oldest)}.`);
  return parts.join(" ");
}
