// Deleting a shopper: after a typed confirmation, with a receipt that stays.

import { customerPath, send } from "./api.js";
import { card, make, setText } from "./dom.js";
import { clock, day } from "./words.js";

/** Build the card with its dialog; receipts are put into `receipts`. */
export function deletion(id, receipts) {
  const state = { isAsked: false };
  const dialog = confirmation(id, async () => {
    const receipt = await send("DELETE", customerPath(id));
    state.isAsked = true;
    receipts.append(shown(receipt));
  });
  const button = make("button", {
    type: "button",
    class: "danger",
    "data-testid": "delete-button",
    text: "Delete this shopper\u2026",
    onclick: () => dialog.open(),
  });
  const note =
    "Everything that happened until now is forgotten, by the model too. This can\u2019t be undone.";
  state.element = card("Delete", { note }, button, dialog.element);
  return state;
}

function shown({ request_id: request, customer_id: id, requested_at: at }) {
  const time = new Date(at);
  return make(
    "div",
    { class: "receipt", "data-testid": "receipt" },
    make("p", { class: "receipt-title", text: `Deletion of ${id} requested` }),
    make(
      "dl",
      null,
      make("dt", { text: "Request" }),
      make("dd", { class: "code", text: request }),
      make("dt", { text: "Time" }),
      make(
        "dd",
        null,
        make("time", { datetime: time.toISOString(), text: `${day(time)}, ${clock(time)}` }),
      ),
    ),
  );
}

/** Ask for the deletion of a shopper in a dialog that is there only while it is open. */
export function askToForget(id, place, receipts) {
  const dialog = confirmation(id, async () => {
    receipts.append(shown(await send("DELETE", customerPath(id))));
  });
  dialog.element.addEventListener("close", () => dialog.element.remove());
  place.append(dialog.element);
  dialog.open();
}

/** Build a dialog that requires the id to be typed before it calls `confirmed`. */
function confirmation(id, confirmed) {
  const status = make("p", { class: "status", role: "status" });
  const submit = make("button", {
    class: "danger",
    "data-testid": "delete-submit",
    disabled: true,
    text: "Delete",
  });
  const input = make("input", {
    id: "delete-confirm",
    "data-testid": "delete-confirm",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    oninput: () => {
      submit.disabled = input.value !== id;
    },
  });
  const element = make("dialog", {
    "aria-labelledby": "delete-title",
    "data-testid": "delete-dialog",
  });
  const cancel = make("button", {
    type: "button",
    class: "plain",
    "data-testid": "delete-cancel",
    text: "Cancel",
    onclick: () => element.close(),
  });
  const sent = async (event) => {
    event.preventDefault();
    if (input.value !== id) return;
    submit.disabled = true;
    try {
      await confirmed();
      element.close();
    } catch (error) {
      setText(status, `This did not work: ${error.message}.`);
      submit.disabled = false;
    }
  };
  element.append(
    make(
      "form",
      { onsubmit: sent },
      make("h2", { id: "delete-title", text: `Delete ${id}?` }),
      make("p", {
        text:
          "The shopper\u2019s events, persona and assignments are forgotten, and what the model " +
          "learned from them. Type the id to confirm.",
      }),
      make("label", { for: "delete-confirm", text: "Shopper id" }),
      input,
      status,
      make("div", { class: "actions" }, cancel, submit),
    ),
  );
  const open = () => {
    input.value = "";
    submit.disabled = true;
    setText(status, "");
    element.showModal();
    input.focus();
  };
  return { element, open };
}
