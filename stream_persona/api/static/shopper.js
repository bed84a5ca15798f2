// Shopper: the persona and its reasons, counterfactuals, and commands of the team.

import { ask, askOrNull, customerPath, send } from "./api.js";
import { assignment } from "./assign.js";
import { empty, make, mark, setText } from "./dom.js";
import { deletion } from "./forget.js";
import { since } from "./live.js";
import { personaName } from "./persona-name.js";
import { Posterior } from "./posterior.js";
import { Evidence, Counterfactuals, OverTime } from "./behaviour.js";
import { throttled } from "./scope.js";
import { attribute, cause, moment, percent, plural, title } from "./words.js";

const AGAIN_SECONDS = 15;
const CHANGED_MS = 1_000;
/** Milliseconds between two requests of what is read from Kafka. */
const CLOSER_MS = 5_000;
const SUGGESTED = 8;

export function mount({ section, heading, argument, scope }) {
  if (argument) new Shopper({ section, heading, id: argument, scope });
  else begin(section);
}

/** No shopper is named yet: offer those that have just changed. */
function begin(section) {
  const recent = [
    ...new Set(
      since(0)
        .filter((each) => !each.deleted)
        .map((each) => each.customer_id),
    ),
  ].slice(0, SUGGESTED);
  const links = recent.map((id) =>
    make(
      "li",
      null,
      make("a", { class: "chip", href: link(id), title: id }, make("bdi", { text: id })),
    ),
  );
  const more = recent.length
    ? [
        make("p", { class: "note", text: "Changed just now:" }),
        make("ul", { class: "chips" }, links),
      ]
    : [];
  const state = empty(
    "Look up a shopper",
    "Type an id into the search, or press / from anywhere.",
    ...more,
  );
  mark(state, "data-testid", "shopper-empty");
  section.append(state);
  section.dataset.ready = "true";
}

const link = (id) => `#/shopper/${encodeURIComponent(id)}`;

class Shopper {
  #isForgotten = false;
  #isBuilt = false;

  constructor({ section, heading, id, scope }) {
    Object.assign(this, { section, id, scope });
    setText(heading, id);
    heading.className = "code";
    this.headline = make("div", { class: "headline-place" }, make("div", { class: "bone wide" }));
    this.receipts = make("div", { class: "receipts", "aria-live": "polite" });
    this.place = make("div", { class: "columns even level" });
    section.append(this.headline, this.receipts, this.place);
    this.again = scope.refresh(
      AGAIN_SECONDS,
      () => this.#look(),
      (error) => this.#failed(error),
    );
    this.soon = [
      throttled(CHANGED_MS, () => scope.isOver || this.again()),
      throttled(CLOSER_MS, () => scope.isOver || this.closer?.()),
    ];
    scope.on("change", (change) => change.customer_id === id && this.#changed(change));
  }

  /** Update the headline from the change itself, and request the rest. */
  #changed(change) {
    if (change.deleted) {
      this.#forget();
      return;
    }
    this.#isForgotten = false;
    this.#head({ ...change.current, updated_at: change.published_at, cause: change.cause });
    this.assignment?.changed(change);
    for (const look of this.soon) look();
  }

  async #look() {
    const { id } = this;
    const query = {
      where: { customer_id: id },
      predict: "persona",
      select: ["$p", "$why", "persona"],
      limit: 1_000,
    };
    const [record, predicted] = await Promise.all([
      askOrNull(customerPath(id, "/persona")),
      send("POST", "/api/v1/_predict", query),
    ]);
    if (this.scope.isOver || (this.#isForgotten && record === null)) return;
    if (record === null && this.#isBuilt && this.deletion.isAsked) {
      this.#forget();
      return;
    }
    this.#isForgotten = false;
    this.#build();
    this.#head(record);
    for (const part of this.known) part.hidden = record === null; // there is nothing to explain
    this.actions.classList.toggle("stack", record === null);
    this.posterior.show(predicted.hits, record);
    this.likeliest = predicted.hits[0]?.persona;
    this.assignment.show(record, this.likeliest);
    this.section.dataset.ready = "true";
    this.isKnown = record !== null;
    this.closer ??= this.scope.refresh(AGAIN_SECONDS, () => this.#lookCloser());
  }

  /** Show what takes the server longer when it comes, each section by itself. */
  async #lookCloser() {
    if (!this.isKnown || this.#isForgotten) return;
    const threshold = ask("/v1/model").then(
      ({ thresholds, threshold }) => thresholds[this.likeliest] ?? threshold,
      () => null,
    );
    await Promise.all([
      this.#part("/activity", async (activity, error) => {
        this.evidence.show(activity, error);
        this.overTime.show(activity, error, await threshold);
      }),
      this.#part("/flips", (flips, error) => this.flips.show(flips, error)),
    ]);
  }

  async #part(end, show) {
    const [found, error] = await ask(customerPath(this.id, end)).then(
      (answer) => [answer],
      (reason) => [null, reason],
    );
    if (!this.scope.isOver && !this.#isForgotten) await show(found, error);
  }

  #build() {
    if (this.#isBuilt) return;
    this.#isBuilt = true;
    this.posterior = new Posterior(this.scope);
    this.overTime = new OverTime(this.scope);
    this.evidence = new Evidence();
    this.flips = new Counterfactuals();
    this.assignment = assignment(this.id, this.scope);
    this.deletion = deletion(this.id, this.receipts);
    const course = make("div", { class: "stack" }, this.overTime.element, this.flips.element);
    this.actions = make("div", { class: "pair" }, this.assignment.element, this.deletion.element);
    this.known = [this.posterior.reasons, course, this.evidence.element];
    this.place.replaceChildren(
      this.posterior.element,
      this.posterior.reasons,
      this.actions, // before what comes later, which would move them away from under a click
      course,
      this.evidence.element,
    );
  }

  #head(record) {
    this.headline.replaceChildren(...(record ? headline(record) : unknown(this.id)));
  }

  #forget() {
    this.#isForgotten = true;
    this.#isBuilt = false;
    const text =
      `Nothing of ${this.id} is kept any more. ` +
      "Should there be new events, the shopper begins anew.";
    const state = empty("Forgotten", text);
    mark(state, "data-testid", "forgotten");
    this.headline.replaceChildren(state);
    this.place.replaceChildren();
  }

  #failed(error) {
    if (this.#isBuilt) return; // the banner shows the error; the page stays readable
    const state = empty(
      "This look-up did not work",
      `The server says: ${error.message}. It is tried again.`,
    );
    mark(state, "data-testid", "shopper-error");
    this.headline.replaceChildren(state);
    this.section.dataset.ready = "true";
  }
}

function headline(record) {
  const { persona, source } = record;
  const name = make(
    "p",
    {
      class: "headline",
      "data-testid": "headline",
      "data-persona": attribute(persona),
      "data-source": source,
    },
    personaName(persona, { isWhole: true }),
  );
  const lines = [name, make("p", { class: "facts", text: sureness(record) })];
  if (record.ambiguous && record.candidates?.length) {
    lines.push(
      make("p", { class: "facts" }, "Still possible: ", ...listed(record.candidates)),
    );
  }
  return lines;
}

/** Titles with commas between them, each by itself where it runs from right to left. */
const listed = (personas) =>
  personas.flatMap((name, i) => [i ? ", " : "", make("bdi", { text: title(name) })]);

function sureness({ source, confidence, evidence, updated_at: at, revision, cause: why }) {
  const parts = [source === "assigned" ? "Assigned by the team" : `${percent(confidence)} sure`];
  if (evidence !== undefined)
    parts.push(
      `from ${plural(Math.round(10 * evidence) / 10, "recent event")}`.replace(/(\d)\.0/, "$1"),
    );
  if (revision !== undefined) parts.push(plural(revision, "change"));
  if (at !== undefined) parts.push(`last change ${moment(new Date(at))}`);
  if (why !== undefined) parts.push(cause(why).toLowerCase());
  return parts.join(" \u00b7 ");
}

function unknown(id) {
  const text = `Nothing is known of ${id} yet. Below is what the model expects of anybody.`;
  const state = empty("An unknown shopper", text);
  mark(state, "data-testid", "unknown");
  return [state];
}
