// What a chart shows of the place that is pointed at: a line, and its figures in a box.

import { dot, make } from "./dom.js";

const GAP = 14;
const MOST_ROWS = 12;

let shown = null; // of all charts one at most

document.addEventListener("keydown", ({ key }) => key === "Escape" && shown?.hide());
document.addEventListener(
  "pointerdown",
  ({ target }) => shown && !shown.place.contains(target) && shown.hide(),
);

/** `find(x, y, target)` returns `{title, rows: [{colour, name, text}], x}`, or null for nothing. */
export class Tip {
  #find = () => null;
  #last = null;

  constructor(place) {
    this.place = place;
    this.box = make("div", { class: "tip", "data-testid": "tip", hidden: true });
    this.line = make("div", { class: "tip-line", hidden: true });
    for (const kind of ["pointermove", "pointerdown"])
      place.addEventListener(kind, (event) => this.#at(event));
    // A finger leaves at once: what it has touched stays until the next touch.
    place.addEventListener(
      "pointerleave",
      ({ pointerType }) => pointerType === "touch" || this.hide(),
    );
  }

  /** Use another drawing's figures; what is shown follows it. */
  follow(find) {
    this.#find = find ?? (() => null);
    if (shown !== this) return;
    const { clientX, clientY } = this.#last;
    this.#at({ clientX, clientY, target: document.elementFromPoint(clientX, clientY) });
  }

  hide() {
    this.box.hidden = this.line.hidden = true;
    if (shown === this) shown = null;
  }

  #at({ clientX, clientY, target }) {
    this.#last = { clientX, clientY };
    const { left, top } = this.place.getBoundingClientRect();
    this.#show(clientX - left, clientY - top, target);
  }

  #show(x, y, target) {
    const found = this.#find(x, y, target);
    if (!found) {
      this.hide();
      return;
    }
    if (shown !== this) shown?.hide();
    shown = this;
    this.box.replaceChildren(...written(found));
    this.box.hidden = false;
    this.line.hidden = found.x === undefined;
    if (found.x !== undefined) this.line.style.setProperty("left", `${found.x}px`);
    this.#put(found.x ?? x, y);
  }

  /** Beside the place, on the side that has room for it. */
  #put(x, y) {
    const { clientWidth: wide, clientHeight: high } = this.place;
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const isRight = x + GAP + width <= wide || x < wide / 2;
    const left = isRight ? Math.min(x + GAP, wide - width) : Math.max(0, x - GAP - width);
    this.box.style.setProperty("left", `${Math.max(0, left)}px`);
    this.box.style.setProperty("top", `${Math.max(0, Math.min(y - height / 2, high - height))}px`);
  }
}

function written({ title, rows }) {
  const kept = rows
    .slice(0, MOST_ROWS)
    .map(({ colour, name, text }) =>
      make(
        "p",
        { class: "tip-row" },
        colour && dot(colour),
        make("bdi", { class: "tip-name", text: name }),
        text && make("span", { class: "tip-value", text }),
      ),
    );
  const more = rows.length - kept.length;
  return [
    title && make("p", { class: "tip-title", text: title }),
    ...kept,
    more > 0 && make("p", { class: "tip-title", text: `and ${more} more` }),
  ].filter(Boolean);
}
