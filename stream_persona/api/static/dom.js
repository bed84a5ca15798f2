// Builds the page from nodes: text of the server is always text, never markup.

/** Create an element; `props`: attributes, `on…` listeners, `style` custom properties, `text`. */
export function make(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) give(element, name, value);
  element.append(...children.flat().filter((child) => child || child === 0));
  return element;
}

function give(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "text") element.textContent = value;
  else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "style")
    for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
  else element.setAttribute(name, value === true ? "" : value);
}

/** Write a text only when it differs, so that nothing is drawn or read out needlessly. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Update a list by the keys of its items: rows that stay keep their nodes, and so the focus. */
export function keyed(parent, items, key, build, update = () => {}) {
  const old = new Map([...parent.children].map((row) => [row.dataset.key, row]));
  const rows = items.map((item) => {
    const id = String(key(item));
    const row = old.get(id) ?? Object.assign(build(item), {});
    row.dataset.key = id;
    old.delete(id);
    update(row, item);
    return row;
  });
  for (const row of old.values()) row.remove();
  rows.forEach((row, i) => {
    if (parent.children[i] !== row) parent.insertBefore(row, parent.children[i] ?? null);
  });
}

export const find = (root, id) => root.querySelector(`[data-testid="${id}"]`);

export function dot(colour) {
  return make("span", { class: "dot", "aria-hidden": "true", style: { "--colour": colour } });
}

/** A link to a shopper: an id may be long, and of any script. */
export const shopperLink = (id) =>
  make("a", {
    class: "who",
    href: `#/shopper/${encodeURIComponent(id)}`,
    title: id,
    dir: "auto",
    text: id,
  });

export function card(title, props, ...children) {
  const { level = "h2", aside, note, ...rest } = props ?? {};
  const head = make("div", { class: "card-head" }, make(level, { text: title }), aside);
  const about = note ? make("p", { class: "note", text: note }) : null;
  return make("section", { ...rest, class: `card ${rest.class ?? ""}` }, head, about, children);
}

/** A choice of one among few, as radio buttons that look like one control. */
export function segmented(name, label, options, chosen, choose) {
  const legend = make("legend", { class: "hidden", text: label });
  const each = options.map(([value, text]) => {
    const input = make("input", {
      type: "radio",
      name,
      value,
      checked: value === chosen,
      onchange: () => choose(value),
    });
    return make("label", null, input, make("span", { text }));
  });
  return make("fieldset", { class: "segmented", "data-testid": name }, legend, each);
}

/** A chart's figures as a table, which is built only while it is open. */
export function disclosure(summary, build) {
  const inside = make("div", {
    class: "table-wrap",
    tabindex: "0",
    role: "region",
    "aria-label": summary,
  });
  const element = make("details", { class: "data" }, make("summary", { text: summary }), inside);
  const refresh = () => element.open && inside.replaceChildren(build());
  element.addEventListener("toggle", refresh);
  return { element, refresh };
}

/** Cells that may be cut off show all of their text on hover. */
const MOST_LETTERS = 24;
const whole = (text) => (text.length > MOST_LETTERS ? text : null);

export function table(caption, head, rows, props) {
  const columns = head.map((text, i) =>
    make("th", { scope: "col", class: i ? "number" : null, title: whole(text), text }),
  );
  const body = rows.map(([first, ...rest]) =>
    make(
      "tr",
      null,
      make("th", { scope: "row", title: whole(first), text: first }),
      rest.map((text) => make("td", { class: "number", title: whole(text), text })),
    ),
  );
  return make(
    "table",
    props,
    make("caption", { class: "hidden", text: caption }),
    make("thead", null, make("tr", null, columns)),
    make("tbody", null, body),
  );
}

export function empty(title, text, ...more) {
  return make(
    "div",
    { class: "empty" },
    make("p", { class: "empty-title", text: title }),
    make("p", { text }),
    more,
  );
}
