// Assigning a persona from the page: the request, and when its change has arrived.

import { customerPath, send } from "./api.js";
import { card, make, setText } from "./dom.js";
import { names, title } from "./words.js";

/** If it takes longer, the worker is behind, or away. */
const PATIENCE_MS = 10_000;
export const SOURCE = "dashboard";

export const assign = (id, persona, expires) =>
  send("PUT", customerPath(id, "/assignment"), {
    persona,
    source: SOURCE,
    ...(expires ? { expires_at: expires } : {}),
  });

export function personaSelect(props, chosen) {
  const options = names().map((name) =>
    make("option", { value: name, text: title(name), selected: name === chosen }),
  );
  return make("select", props, options);
}

/** Build the form; `show(record)` fits it to a record, `changed(change)` to a change. */
export function assignment(id, scope) {
  const select = personaSelect({ id: "assign-persona", "data-testid": "assign-persona" });
  const expiry = make("input", {
    id: "assign-expiry",
    type: "date",
    "data-testid": "assign-expiry",
    min: today(),
  });
  const status = make("p", { class: "status", role: "status", "data-testid": "assign-status" });
  const withdraw = make("button", {
    type: "button",
    class: "plain",
    "data-testid": "withdraw-button",
    hidden: true,
    text: "Withdraw",
    onclick: () => submit(null),
  });
  const button = make("button", {
    class: "primary",
    "data-testid": "assign-submit",
    text: "Assign",
  });
  let waiting = null;
  let timer = 0;
  scope.own(() => clearTimeout(timer));

  async function submit(persona) {
    setText(status, "Sending\u2026");
    try {
      await assign(id, persona, persona && endOf(expiry.value));
      waiting = { persona };
      setText(status, "Sent. Waiting for a worker\u2026");
      clearTimeout(timer);
      timer = setTimeout(
        () => waiting && setText(status, "Sent, but no worker has said so yet: it may be behind."),
        PATIENCE_MS,
      );
    } catch (error) {
      setText(status, `This did not work: ${error.message}.`);
    }
  }

  function changed({ current }) {
    if (!waiting || (current.source === "assigned") !== (waiting.persona !== null)) return;
    setText(
      status,
      waiting.persona === null
        ? "Withdrawn: the model speaks again."
        : `Assigned: ${title(current.persona)}.`,
    );
    waiting = null;
    withdraw.hidden = current.source !== "assigned";
  }

  const form = make(
    "form",
    {
      class: "assign",
      "data-testid": "assign-form",
      onsubmit: (event) => {
        event.preventDefault();
        submit(select.value);
      },
    },
    make(
      "div",
      { class: "field" },
      make("label", { for: "assign-persona", text: "Persona" }),
      select,
    ),
    make(
      "div",
      { class: "field" },
      make("label", { for: "assign-expiry", text: "Until (optional)" }),
      expiry,
    ),
    make("div", { class: "actions" }, withdraw, button),
    status,
  );
  const note = "It holds at once, over what the model thinks, and teaches the model.";
  let isChosen = false;
  const show = (record, likeliest) => {
    withdraw.hidden = record?.source !== "assigned";
    if (!isChosen) select.value = record?.persona ?? likeliest;
    isChosen = true; // from now on the choice is the reader's
    if (waiting && record) changed({ current: record });
  };
  return { element: card("Assign a persona", { note }, form), show, changed };
}

/** The end of a day in the reader's time zone, in RFC 3339. */
function endOf(date) {
  return date ? new Date(`${date}T23:59:59`).toISOString() : null;
}

function today() {
  const now = new Date();
  return new Date(now.getTime() - 60_000 * now.getTimezoneOffset()).toISOString().slice(0, 10);
}
