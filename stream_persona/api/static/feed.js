// Changes as rows: newest first, bounded, drawn with nodes that are reused.

import { describe, isConfidenceAlone } from "./confidence.js";
import { dot, make, mark, setText } from "./dom.js";
import { position, since } from "./live.js";
import { attribute, cause, clock, colour, percent, title, words } from "./words.js";

/** Milliseconds for which rows stand still after the mouse last moved over them. */
const HOLD_MS = 10_000;
const REASONS = 3;

/** One row; `fill` writes another change into the same nodes. */
class Row {
  constructor() {
    this.time = make("time", { class: "when" });
    this.link = make("a", { class: "who", dir: "auto" });
    this.was = make("bdi", { class: "was" });
    this.now = make("span", { class: "persona" });
    this.dot = dot("var(--none)");
    this.name = make("bdi", { class: "persona-name" });
    this.now.append(this.dot, this.name);
    this.mood = make("span", { class: "mood" });
    this.sure = make("span", { class: "sure" });
    this.cause = make("span", { class: "cause" });
    this.why = make("span", { class: "why" });
    const what = make("span", { class: "what" }, this.was, this.now, this.mood);
    this.element = make(
      "li",
      { class: "change" },
      this.time,
      this.link,
      what,
      this.sure,
      this.cause,
      this.why,
    );
  }

  fill(change) {
    const { customer_id: id } = change;
    setText(this.link, id);
    mark(this.link, "title", id);
    this.link.href = `#/shopper/${encodeURIComponent(id)}`;
    mark(this.element, "data-customer", id);
    mark(this.element, "data-testid", change.deleted ? "deletion" : "change");
    const isQuiet = isConfidenceAlone(change);
    this.element.classList.toggle("is-quiet", isQuiet);
    mark(this.element, "data-about", isQuiet ? "confidence" : "persona");
    if (change.deleted) this.#forgotten(change);
    else this.#changed(change);
    return this.element;
  }

  #forgotten(change) {
    this.#at(change.received_at);
    this.#persona(null, "Forgotten");
    for (const part of [this.was, this.mood, this.sure, this.why]) setText(part, "");
    setText(this.cause, "Deleted on request");
    for (const name of ["data-persona", "data-cause", "data-id"])
      this.element.removeAttribute(name);
  }

  #changed(change) {
    const { current, previous } = change;
    this.#at(change.published_at);
    const isOther = previous && previous.persona !== current.persona;
    setText(this.was, isOther ? `${title(previous.persona)} \u2192` : previous ? "" : "New \u2192");
    this.#persona(current.persona, title(current.persona));
    const { word, from, to } = isConfidenceAlone(change) ? describe(change) : {};
    setText(this.mood, word ?? "");
    mark(this.mood, "title", word ?? "");
    const sure = current.source === "assigned" ? "assigned" : percent(current.confidence);
    setText(this.sure, word ? `${from} \u2192 ${to}` : sure);
    setText(this.cause, cause(change.cause));
    setText(
      this.why,
      change.why
        .slice(0, REASONS)
        .map((each) => words(each.feature, each.value))
        .join(" \u00b7 "),
    );
    mark(this.element, "data-persona", attribute(current.persona));
    mark(this.element, "data-cause", change.cause);
    mark(this.element, "data-id", change.change_id);
  }

  #at(time) {
    const date = new Date(time);
    setText(this.time, clock(date));
    this.time.dateTime = date.toISOString();
  }

  #persona(name, text) {
    this.dot.style.setProperty("--colour", colour(name));
    setText(this.name, text);
    mark(this.now, "title", text);
  }
}

/**
 * A list of the newest changes. It stands still while it is paused, while the mouse moves over
 * its rows and while a row has the focus: then `waiting` says how many have come meanwhile.
 */
export class Feed {
  #rows = []; // newest first
  #most;
  #every;
  #cursor = 0;
  #drawnAt = -Infinity;
  #heldUntil = 0;
  #timer = 0;
  #isWanted;

  constructor(scope, { most, every, isWanted, moved = () => {} }) {
    this.#isWanted = isWanted;
    this.#most = most;
    this.#every = every;
    this.moved = moved;
    this.isPaused = false;
    this.list = make("ol", { class: "changes", "data-testid": "feed", reversed: true });
    this.list.addEventListener("pointermove", (event) => this.#hold(event));
    this.list.addEventListener("pointerleave", () => this.#release());
    this.list.addEventListener("focusout", () => this.#later());
    scope.own(() => clearTimeout(this.#timer));
    scope.on("changes", () => this.#later());
    scope.on("resync", () => this.#later());
    this.draw();
  }

  get isHeld() {
    return (
      this.isPaused ||
      performance.now() < this.#heldUntil ||
      this.list.contains(document.activeElement)
    );
  }

  /** Filter the list: what is still held, and what comes from now on. */
  filter(isWanted) {
    this.#isWanted = isWanted;
    this.#cursor = 0;
    for (const row of this.#rows.splice(0)) row.element.remove();
    this.draw();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (!isPaused) this.draw();
  }

  /** Update the list with as few new rows as can be seen. */
  draw() {
    const fresh = since(this.#cursor).filter(this.#isWanted);
    const shown = fresh.slice(0, this.#most);
    this.#cursor = position();
    if (fresh.length) this.#drawnAt = performance.now(); // the first are shown at once
    for (const change of shown.reverse()) this.#put(change);
    this.moved({ waiting: 0, fresh: fresh.length, rows: this.#rows.length });
  }

  #put(change) {
    const row = this.#rows.length < this.#most ? new Row() : this.#rows.pop();
    this.list.prepend(row.fill(change));
    this.#rows.unshift(row);
  }

  #later() {
    clearTimeout(this.#timer);
    if (this.isHeld) {
      this.moved({
        waiting: since(this.#cursor).filter(this.#isWanted).length,
        fresh: 0,
        rows: this.#rows.length,
      });
      if (!this.isPaused) this.#timer = setTimeout(() => this.#later(), 500);
      return;
    }
    if (this.#cursor === position()) {
      this.moved({ waiting: 0, fresh: 0, rows: this.#rows.length });
      return;
    }
    const wait = this.#drawnAt + this.#every - performance.now();
    if (wait <= 0) this.draw();
    else this.#timer = setTimeout(() => this.#later(), wait);
  }

  #hold(event) {
    if (event.pointerType === "mouse") this.#heldUntil = performance.now() + HOLD_MS;
  }

  #release() {
    this.#heldUntil = 0;
    this.#later();
  }
}
