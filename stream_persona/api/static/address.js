// What the address keeps of a view beside its name: `#/changes?confidence=shown`.

/** The view's name, what it has chosen, and what follows a slash; a shopper's id may be anything. */
export function parts(hash) {
  const [first, ...rest] = hash.replace(/^#\/?/, "").split("/");
  const [name, query] = first.split("?");
  return { name, query: new URLSearchParams(query ?? ""), rest: rest.join("/") };
}

/** All values that the address has for a key. */
export const choices = (key) => parts(location.hash).query.getAll(key);

/** Keep these values for a key, none to drop it; no view is entered or left by that. */
export function choose(key, values) {
  const { name, query, rest } = parts(location.hash);
  query.delete(key);
  for (const value of values) query.append(key, value);
  const chosen = query.size ? `?${query}` : "";
  history.replaceState(history.state, "", `#/${name || "now"}${chosen}${rest ? `/${rest}` : ""}`);
}
