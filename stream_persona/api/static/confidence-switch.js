// The switch that shows changes of confidence alone; the address remembers it.

import { choices, choose } from "./address.js";
import { isConfidenceAlone } from "./confidence.js";
import { make, mark, setText } from "./dom.js";
import { HELD, since } from "./live.js";
import { count } from "./words.js";

const KEY = "confidence";
const SHOWN = "shown";

/** It counts those that are held, whether it shows them or not; `switched` draws the list anew. */
export class ConfidenceSwitch {
  #isWanted = () => true;

  constructor(scope, switched) {
    this.isOn = choices(KEY).includes(SHOWN);
    this.text = make("span", { class: "switch-text" });
    this.element = make(
      "button",
      {
        type: "button",
        class: "switch",
        "aria-pressed": String(this.isOn),
        "data-testid": "confidence-switch",
        onclick: () => {
          this.isOn = !this.isOn;
          mark(this.element, "aria-pressed", this.isOn);
          choose(KEY, this.isOn ? [SHOWN] : []);
          switched();
        },
      },
      make("span", { class: "switch-track", "aria-hidden": "true" }),
      this.text,
    );
    scope.on("changes", () => this.#count());
    this.#count();
  }

  /** What a link to another list has to say for it to be switched as this one is. */
  get choice() {
    return this.isOn ? `?${KEY}=${SHOWN}` : "";
  }

  /** Whether the switch lets a change be shown. */
  shows(change) {
    return this.isOn || !isConfidenceAlone(change);
  }

  /** Count only those that other filters let through. */
  among(isWanted) {
    this.#isWanted = isWanted;
    this.#count();
  }

  #count() {
    const n = since(0).filter((each) => isConfidenceAlone(each) && this.#isWanted(each)).length;
    this.hidden = this.isOn ? 0 : n;
    const figure = n >= HELD ? `${count(HELD)}+` : count(n);
    setText(this.text, `${figure} ${n === 1 ? "change" : "changes"} of confidence alone`);
  }
}

/** What an empty list says: whether nothing came, or nothing of what was asked for. */
export function nothingSays(isFiltered, hidden) {
  if (hidden)
    return [
      "No persona has changed lately",
      "Changes of confidence alone have come, and are hidden.",
    ];
  const title = isFiltered ? "Nothing like this lately" : "Nothing has changed yet";
  return [title, "Changes appear here as they happen."];
}
