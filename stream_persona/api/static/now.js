// Now: the key figures, the mix of the last hour, and what has just changed.

import { ask } from "./api.js";
import { ConfidenceSwitch, nothingSays } from "./confidence-switch.js";
import { card, empty, make, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { Heaviest, Oddities } from "./last-hour.js";
import { live } from "./live.js";
import { MixOverTime, mixBars } from "./mix.js";
import { sparkPlot } from "./plots.js";
import { sparkSeries } from "./series.js";
import { UNKNOWN, count, percent, rate, span } from "./words.js";

const HISTORY_SECONDS = 10;
const NEWEST = 8;
const CALM_MS = 1_000;

/** Key, label, the figure's text, and the values over time below it. */
const FIGURES = [
  [
    "events-per-second",
    "Events a second",
    (now) => rate(now.events_per_second),
    (h) => h.events_per_second,
  ],
  ["lag-events", "Lag, events", (now) => count(now.lag_events), (h) => h.lag_events],
  ["shoppers", "Shoppers known", (now) => count(now.shoppers), (h) => h.shoppers],
  [
    "ambiguous-share",
    "Ambiguous",
    (now) => (now.shoppers ? percent(now.ambiguous_share) : UNKNOWN),
    ambiguousShares,
  ],
  [
    "changes-per-minute",
    "Changes a minute",
    (now) => count(now.changes_per_minute),
    (h) => h.changes,
  ],
  ["change-p99", "p99 to change", (now) => span(now.change_p99_ms), (h) => h.change_p99_ms],
  ["workers", "Workers", (now) => count(now.workers), null],
  ["model-version", "Model", (now) => now.model_version?.slice(0, 8) ?? UNKNOWN, null],
];

function ambiguousShares(history) {
  return history.ambiguous.map((n, i) =>
    n === null || !history.shoppers[i] ? null : n / history.shoppers[i],
  );
}

/** The note below a figure: what it means. */
const NOTES = {
  "lag-events": (now) => behind(now.lag_seconds),
  shoppers: (now) =>
    now.counted === false
      ? "still counting"
      : now.assigned
        ? `${count(now.assigned)} assigned`
        : "",
  workers: (now) => (now.workers === 0 ? "none has reported" : ""),
  "model-version": (now) => (now.labelled === undefined ? "" : `${count(now.labelled)} labelled`),
};

function behind(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 1 ? "up to date" : `${span(1_000 * seconds)} behind`;
}

export function mount({ section, scope }) {
  const strip = new Strip(scope);
  const mix = new MixOverTime(scope, 280);
  const bars = mixBars();
  const oddities = new Oddities();
  const heaviest = new Heaviest();
  section.append(
    strip.element,
    oddities.element,
    make(
      "div",
      { class: "columns level" },
      card("Mix over the last hour", { aside: mix.scale }, ...mix.elements),
      card("Mix now", null, bars.list),
    ),
    heaviest.element,
    newest(scope),
  );
  const overview = (now) => {
    strip.show(now);
    bars.show(now);
    oddities.show(now.last_hour);
    heaviest.show(now.last_hour);
    section.dataset.ready = "true";
  };
  if (live.overview) overview(live.overview);
  scope.on("overview", overview);
  scope.refresh(
    HISTORY_SECONDS,
    async () => {
      const history = await ask("/v1/history?seconds=3600");
      mix.show(history);
      strip.draw(history);
    },
    () => mix.show(null),
  );
}

/** The key figures, with small lines of the last hour under those that have any. */
class Strip {
  #sparks = new Map();
  #values = new Map();
  #notes = new Map();

  constructor(scope) {
    const items = FIGURES.map(([key, label, , series]) => this.#figure(scope, key, label, series));
    this.element = make("dl", { class: "figures", "aria-label": "Key figures" }, items);
  }

  show(now) {
    for (const [key, , text] of FIGURES) {
      setText(this.#values.get(key), text(now));
      setText(this.#notes.get(key), NOTES[key]?.(now) ?? "");
    }
  }

  draw(history) {
    for (const [key, spark] of this.#sparks) {
      const [, label, , series] = FIGURES.find(([each]) => each === key);
      const values = sparkSeries(series(history));
      if (values) spark.set(values, `${label} over the last hour`);
    }
  }

  #figure(scope, key, label, series) {
    const value = make("dd", { class: "figure", "data-testid": key, text: UNKNOWN });
    const note = make("dd", {
      class: "figure-note",
      "data-testid": key === "lag-events" ? "lag-seconds" : null,
    });
    this.#values.set(key, value);
    this.#notes.set(key, note);
    const spark =
      series && scope.chart({ plot: sparkPlot, height: 26, isStill: true, class: "chart spark" });
    if (spark) this.#sparks.set(key, spark);
    return make(
      "div",
      { class: "figure-cell" },
      make("dt", { text: label }),
      value,
      note,
      spark && make("dd", { class: "spark-cell" }, spark.element),
    );
  }
}

function newest(scope) {
  const quiet = empty("Nothing has changed yet", "Changes appear here as they happen.");
  const isWanted = (change) => confidence.shows(change);
  const all = make("a", { class: "more", text: "All changes" });
  const lead = () => (all.href = `#/changes${confidence.choice}`);
  const confidence = new ConfidenceSwitch(scope, () => {
    feed.filter(isWanted);
    lead();
  });
  lead();
  const moved = ({ rows }) => {
    quiet.hidden = rows > 0;
    for (const [i, text] of nothingSays(false, confidence.hidden).entries())
      setText(quiet.children[i], text);
  };
  const feed = new Feed(scope, { most: NEWEST, every: CALM_MS, isWanted, moved });
  const aside = make("div", { class: "controls" }, confidence.element, all);
  return card("Newest changes", { class: "feed", aside }, feed.list, quiet);
}
