// Routes: all of a view's state that another person should see stands in the part of the address behind `#`.

import { path } from "./api.js";

/** Make a link: `to(["p", "orders"], {group: "..."})`. */
export function to(parts, query) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== undefined && value !== null && value !== "") asked.set(name, value);
  }
  const text = asked.toString();
  return `#/${path(...parts)}${text ? `?${text}` : ""}`;
}

/** Read an address: its parts and its query. */
export function where() {
  const [place, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const parts = place.split("/").filter(Boolean).map(decoded);
  return { parts, query: Object.fromEntries(new URLSearchParams(query || "")) };
}

/** Change the query of this view without another step of history, as a user types. */
export function replaceQuery(parts, query) {
  history.replaceState(null, "", to(parts, query));
}

export function go(parts, query) {
  location.hash = to(parts, query);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // an address that was cut off in the middle
  }
}
