// The last hour: what was odd about its events, and the shoppers with far more of them than most.

import { card, keyed, make, setText, shopperLink } from "./dom.js";
import { askToForget } from "./forget.js";
import { percent, plural } from "./words.js";

/** One sentence with all reasons; opened, what each means and where to look. */
export class Oddities {
  constructor() {
    this.text = make("p", { "data-testid": "oddities-text" });
    this.list = make("ul", { class: "oddities-list" });
    const more = make("details", { class: "data" }, make("summary", { text: "What this means" }));
    more.append(this.list);
    this.element = make(
      "section",
      {
        class: "card oddities",
        "aria-label": "What was odd about the last hour\u2019s events",
        "data-testid": "oddities",
        hidden: true,
      },
      this.text,
      more,
    );
  }

  show(hour) {
    const odd = hour?.odd ?? [];
    this.element.hidden = odd.length === 0;
    if (!odd.length) return;
    const parts = odd.map((each) => each.text).join(", ");
    setText(this.text, `Of the last hour\u2019s ${plural(hour.events, "event")}: ${parts}.`);
    keyed(
      this.list,
      odd,
      (each) => each.reason,
      (each) => make("li", { "data-reason": each.reason }, make("b"), make("span")),
      (row, each) => {
        setText(row.firstChild, `${each.text} (${percent(each.share)}). `);
        setText(row.lastChild, each.about);
      },
    );
  }
}

/** The heaviest ids, each with the way to forget it. */
export class Heaviest {
  constructor() {
    this.list = make("ol", { class: "heaviest", "data-testid": "heaviest" });
    this.receipts = make("div", { class: "receipts", "aria-live": "polite" });
    const note =
      "Far more events in the last hour than other shoppers: often a bot, a test, or one id that " +
      "many share. Forgotten, it begins anew with its next event.";
    this.element = card("Heaviest ids", { note, hidden: true }, this.list, this.receipts);
  }

  show(hour) {
    const found = hour?.heaviest ?? [];
    const isAsking = this.element.querySelector("dialog") !== null;
    this.element.hidden = !found.length && !this.receipts.firstChild && !isAsking;
    keyed(
      this.list,
      found,
      (each) => each.customer_id,
      (each) => this.#row(each),
      (row, each) => {
        const text = `${plural(each.events, "event")} \u00b7 ${percent(each.share)}`;
        setText(row.querySelector(".value"), text);
      },
    );
  }

  #row({ customer_id: id }) {
    const button = make("button", {
      type: "button",
      class: "danger",
      "data-testid": "heavy-forget",
      "aria-label": `Forget ${id}`,
      text: "Forget\u2026",
      onclick: () => askToForget(id, this.element, this.receipts),
    });
    return make(
      "li",
      { "data-testid": "heavy", "data-customer": id },
      shopperLink(id),
      make("span", { class: "value" }),
      button,
    );
  }
}
