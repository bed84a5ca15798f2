// Building the page from nodes: what the server says is always text, never markup.

/** An element; `props` are attributes, `on…` listeners, `style` custom properties, `text`. */
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

/** Text that is written only when it differs, so that nothing is drawn or read out for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** A list that follows items by key: rows that stay keep their nodes, and with them the focus. */
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

/** A table that is built only while somebody looks at it: what a chart shows, in figures. */
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

export function table(caption, head, rows, props) {
  const columns = head.map((text, i) =>
    make("th", { scope: "col", class: i ? "number" : null, text }),
  );
  const body = rows.map(([first, ...rest]) =>
    make(
      "tr",
      null,
      make("th", { scope: "row", text: first }),
      rest.map((text) => make("td", { class: "number", text })),
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
