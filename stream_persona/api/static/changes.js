// Changes: the live feed, filtered by persona and cause, and paused for reading.

import { ConfidenceSwitch, nothingSays } from "./confidence-switch.js";
import { empty, make, mark, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { HELD } from "./live.js";
import { personaName } from "./persona-name.js";
import { CAUSES, attribute, cause, count, names, plural } from "./words.js";

const MOST = 100;
const EVERY_MS = 100;
/** Milliseconds between two announcements to a screen reader. */
const ANNOUNCE_MS = 10_000;
const COLUMNS = ["Time", "Shopper", "Persona", "Sure", "Cause", "Reasons"];

export function mount({ section, scope, pause }) {
  const quiet = empty("Nothing has changed yet", "Changes appear here as they happen.");
  const waiting = make("span", { class: "new-count", "data-testid": "new-count", hidden: true });
  const announcer = createAnnouncer(scope);
  const moved = ({ waiting: n, fresh, rows }) => {
    quiet.hidden = rows > 0;
    for (const [i, text] of nothingSays(filters.isAny, confidence.hidden).entries())
      setText(quiet.children[i], text);
    waiting.hidden = !n;
    setText(waiting, `${n >= HELD ? `${count(HELD)}+` : count(n)} new`);
    announcer.add(fresh);
  };
  const isWanted = (change) => confidence.shows(change) && filters.isWanted(change);
  const again = () => {
    confidence.among((change) => filters.isWanted(change));
    feed.filter(isWanted);
  };
  const filters = new Filters(again);
  const confidence = new ConfidenceSwitch(scope, again);
  const feed = new Feed(scope, { most: MOST, every: EVERY_MS, isWanted, moved });
  const bar = make(
    "div",
    { class: "toolbar" },
    filters.personas,
    filters.cause,
    confidence.element,
    make("div", { class: "actions" }, waiting, filters.clear, pauseButton(feed, pause)),
  );
  const head = make(
    "div",
    { class: "change change-head", "aria-hidden": "true" },
    COLUMNS.map((text) => make("span", { text })),
  );
  section.append(
    bar,
    make(
      "section",
      { class: "card feed", "aria-label": "Feed of changes" },
      head,
      feed.list,
      quiet,
    ),
    announcer.element,
  );
  section.dataset.ready = "true";
}

function pauseButton(feed, pause) {
  const button = make("button", {
    type: "button",
    class: "primary",
    "data-testid": "pause",
    "aria-pressed": "false",
    text: "Pause",
    onclick: () => {
      const isPaused = !feed.isPaused;
      mark(button, "aria-pressed", isPaused);
      setText(button, isPaused ? "Resume" : "Pause");
      pause(isPaused);
      feed.pause(isPaused);
    },
  });
  return button;
}

/** Announce politely how many changes came in, instead of each of them. */
function createAnnouncer(scope) {
  const element = make("p", { class: "hidden", role: "status" });
  let fresh = 0;
  const timer = setInterval(() => {
    if (fresh) setText(element, `${plural(fresh, "change")} in the last ten seconds`);
    fresh = 0;
  }, ANNOUNCE_MS);
  scope.own(() => clearInterval(timer));
  return {
    element,
    add: (n) => {
      fresh += n;
    },
  };
}

/** Filters the changes shown: of these personas, from or to, and of this cause. */
class Filters {
  #chosen = new Set();
  #cause = "";
  isAny = false;

  constructor(changed) {
    this.changed = changed;
    const chips = [...names(), null].map((name) => this.#chip(name));
    this.personas = make(
      "div",
      { class: "chips", role: "group", "aria-label": "Only these personas" },
      chips,
    );
    const options = Object.keys(CAUSES).map((each) =>
      make("option", { value: each, text: cause(each) }),
    );
    this.select = make(
      "select",
      { "data-testid": "filter-cause", "aria-label": "Cause", onchange: () => this.#notify() },
      make("option", { value: "", text: "Any cause" }),
      options,
    );
    this.cause = make("div", { class: "field" }, this.select);
    this.clear = make("button", {
      type: "button",
      class: "plain",
      hidden: true,
      "data-testid": "filter-clear",
      text: "Clear filters",
      onclick: () => this.#none(),
    });
  }

  #chip(name) {
    const chip = make(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": "false",
        "data-testid": "filter-persona",
        "data-persona": attribute(name),
        onclick: () => this.#toggle(name, chip),
      },
      personaName(name),
    );
    return chip;
  }

  #toggle(name, chip) {
    if (!this.#chosen.delete(name)) this.#chosen.add(name);
    mark(chip, "aria-pressed", this.#chosen.has(name));
    this.#notify();
  }

  #none() {
    this.#chosen.clear();
    for (const chip of this.personas.children) mark(chip, "aria-pressed", false);
    this.select.value = "";
    this.#notify();
    this.select.focus(); // the button is about to go
  }

  #notify() {
    this.#cause = this.select.value;
    this.isAny = this.#chosen.size > 0 || this.#cause !== "";
    this.clear.hidden = !this.isAny;
    this.changed();
  }

  isWanted({ deleted, cause: why, current, previous }) {
    if (!this.isAny) return true;
    if (deleted || (this.#cause && why !== this.#cause)) return false;
    const { size } = this.#chosen;
    return (
      !size ||
      this.#chosen.has(current.persona) ||
      (previous !== null && this.#chosen.has(previous.persona))
    );
  }
}
