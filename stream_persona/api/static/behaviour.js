// A shopper's behaviour: the posterior over time, recent events, and counterfactuals.

import { card, disclosure, dot, keyed, make, mark, setText, table } from "./dom.js";
import { personaName } from "./persona-name.js";
import { posteriorPlot } from "./plots.js";
import {
  attribute,
  cause,
  colour,
  detail,
  flip,
  kind,
  moment,
  names,
  percent,
  plural,
  span,
  title,
} from "./words.js";

const FEW = 10;
/** Personas that were never likelier than this have no line. */
const WORTH_A_LINE = 0.05;

export class OverTime {
  #activity = null;

  constructor(scope) {
    this.chart = scope.chart({ plot: posteriorPlot, height: 220, id: "chart-posterior" });
    this.legend = make("ul", { class: "legend" });
    this.table = disclosure("Personas over time, as a table", () =>
      posteriorTable(this.#activity?.posteriors ?? []),
    );
    this.element = card(
      "How it came about",
      { note: "The persona and its confidence at each change." },
      this.chart.element,
      this.legend,
      this.table.element,
    );
  }

  show(activity, error, threshold) {
    this.#activity = activity;
    const posteriors = activity?.posteriors ?? [];
    if (!posteriors.length) {
      this.chart.set(
        null,
        error
          ? `This can\u2019t be shown for now: ${error.message}.`
          : "No persona has been published yet.",
      );
      return;
    }
    const shown = names().filter((name) =>
      posteriors.some((each) => (each.distribution[name] ?? 0) >= WORTH_A_LINE),
    );
    const at = [...posteriors.map((each) => each.at), Math.max(Date.now(), posteriors.at(-1).at)];
    const lines = shown.map((persona) => {
      const shares = posteriors.map((each) => each.distribution[persona] ?? 0);
      return { persona, shares: [...shares, shares.at(-1)] };
    });
    const last = posteriors.at(-1);
    this.chart.set(
      { at, lines, threshold },
      `${plural(posteriors.length, "statement")}; the last is ${title(last.persona)}, ` +
        `${percent(last.confidence)} sure.`,
    );
    keyed(this.legend, shown, String, (name) => make("li", null, personaName(name)));
    this.table.refresh();
  }
}

function posteriorTable(posteriors) {
  const rows = [...posteriors]
    .reverse()
    .map((each) => [
      moment(each.at),
      title(each.persona),
      each.source === "assigned" ? "assigned" : percent(each.confidence),
      cause(each.cause),
    ]);
  return table("Personas of the shopper over time", ["Time", "Persona", "Sure", "Cause"], rows);
}

/** Recent events, each with its present share of the evidence. */
export class Evidence {
  #isAll = false;
  #activity = null;

  constructor() {
    this.about = make("p", { class: "note", text: "Reading what the shopper did\u2026" });
    this.list = make("ol", { class: "events", "data-testid": "events" });
    this.more = make("button", {
      type: "button",
      class: "plain",
      hidden: true,
      onclick: () => {
        this.#isAll = true;
        this.#draw();
      },
    });
    this.element = card("Recent events", null, this.about, this.list, this.more);
  }

  show(activity, error) {
    this.#activity = activity;
    setText(
      this.about,
      activity
        ? about(activity)
        : error
          ? `These can\u2019t be shown for now: ${error.message}.`
          : "None has come in yet.",
    );
    this.#draw();
  }

  #draw() {
    const events = this.#activity?.events ?? [];
    const most = Math.max(...events.map((each) => each.share), 1e-9);
    this.more.hidden = this.#isAll || events.length <= FEW;
    setText(this.more, `All ${events.length}`);
    keyed(
      this.list,
      this.#isAll ? events : events.slice(0, FEW),
      (each) => each.event_id,
      eventRow,
      (row, each) => {
        row.querySelector(".fill").style.setProperty("--share", each.share / most);
        setText(row.querySelector(".value"), percent(each.share));
      },
    );
  }
}

function about({ half_life_seconds: half, events, complete }) {
  if (!events.length) return "None is kept any more; what they showed still counts.";
  const older = complete ? "" : " Older ones count too, and are not listed.";
  const halves = `it halves every ${span(1_000 * half)}`;
  return `The share of the evidence that each still is; ${halves}.${older}`;
}

function eventRow(each) {
  const what = each.about.map(({ feature, value }) => detail(feature, value)).join(", ");
  return make(
    "li",
    { class: "event", "data-testid": "event", "data-kind": each.kind },
    make("span", { class: "kind", text: kind(each.kind) }),
    make("span", { class: "name", text: what, title: what }),
    make("time", {
      class: "when",
      datetime: new Date(each.occurred_at).toISOString(),
      text: moment(each.occurred_at),
    }),
    make("span", { class: "value" }),
    make("span", { class: "track" }, make("span", { class: "fill" })),
  );
}

export class Counterfactuals {
  constructor() {
    this.list = make("ul", { class: "flips", "data-testid": "flips" });
    this.none = make("p", { class: "note", text: "Trying what it would take\u2026" });
    this.element = card("What would flip it", null, this.list, this.none);
  }

  show(found, error) {
    const flips = found?.flips ?? [];
    this.none.hidden = flips.length > 0;
    setText(
      this.none,
      error
        ? `This can\u2019t be told for now: ${error.message}.`
        : "Nothing within reach: it would take more than a few events.",
    );
    keyed(
      this.list,
      flips,
      (each) => each.persona,
      (each) =>
        make(
          "li",
          { "data-testid": "flip", "data-persona": attribute(each.persona) },
          dot(colour(each.persona)),
          make("span"),
        ),
      (row, each) => {
        setText(row.lastChild, flip(each));
        mark(row, "data-named", each.named);
      },
    );
  }
}
