// "Label these next": the ambiguous shoppers whose label would change the model most.

import { ask } from "./api.js";
import { assign, personaSelect } from "./assign.js";
import { card, empty, keyed, make, setText, shopperLink } from "./dom.js";
import { personaName } from "./persona-name.js";
import { events, percent, title } from "./words.js";

const QUEUE_SECONDS = 15;
const SHOWN = 10;
/** Milliseconds for which a labelled row stays. */
const LINGER_MS = 4_000;
/** Most labels that are kept: until the server has noticed, their shoppers are not shown again. */
const MOST_DONE = 200;

export function queue(scope) {
  const list = make("ol", { class: "queue", "data-testid": "queue" });
  const none = empty(
    "Nobody to ask about",
    "No shopper is ambiguous, or an answer would teach the model little.",
  );
  none.hidden = true;
  const done = new Map(); // customer -> when it was labelled
  const again = scope.refresh(QUEUE_SECONDS, async () => {
    const { shoppers, counted } = await ask(`/v1/queue?limit=${2 * SHOWN}`);
    const open = shoppers.filter(
      ({ customer_id: id }) => Date.now() - (done.get(id) ?? Infinity) < LINGER_MS || !done.has(id),
    );
    keyed(
      list,
      open.slice(0, SHOWN),
      (each) => each.customer_id,
      (each) => row(each, answered),
      showCandidates,
    );
    none.hidden = open.length > 0;
    setText(none.firstChild, counted === false ? "Still counting" : "Nobody to ask about");
  });

  function answered(id) {
    done.set(id, Date.now());
    if (done.size > MOST_DONE) done.delete(done.keys().next().value);
    const timer = setTimeout(again, LINGER_MS + 50);
    scope.own(() => clearTimeout(timer));
  }

  const note = "Ambiguous shoppers of whom an answer would teach the model most.";
  return card("Label these next", { note }, list, none);
}

/** The two likeliest personas of a distribution. */
function likeliest(distribution) {
  return Object.entries(distribution)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 2);
}

function row({ customer_id: id, distribution }, answered) {
  const [first] = likeliest(distribution);
  const select = personaSelect(
    { "data-testid": "queue-persona", "aria-label": `Persona of ${id}` },
    first?.[0],
  );
  const status = make("span", { class: "status", role: "status", "data-testid": "queue-status" });
  const button = make("button", {
    type: "button",
    class: "plain",
    "data-testid": "queue-assign",
    "aria-label": `Assign ${id}`,
    text: "Assign",
    onclick: () => submit(),
  });

  async function submit() {
    button.disabled = true;
    setText(status, "Sending\u2026");
    try {
      await assign(id, select.value);
      setText(status, `Assigned: ${title(select.value)}`);
      answered(id);
    } catch (error) {
      setText(status, `This did not work: ${error.message}`);
      button.disabled = false;
    }
  }

  return make(
    "li",
    { class: "queue-row", "data-testid": "queue-row", "data-customer": id },
    shopperLink(id),
    make("span", { class: "candidates" }),
    make("span", { class: "quiet evidence" }),
    make("span", { class: "actions" }, select, button),
    status,
  );
}

function showCandidates(element, { distribution, evidence }) {
  const parts = likeliest(distribution).map(([name, p]) =>
    make("span", { class: "candidate" }, personaName(name), make("span", { text: percent(p) })),
  );
  element.querySelector(".candidates").replaceChildren(...parts);
  setText(element.querySelector(".evidence"), events(evidence));
}
