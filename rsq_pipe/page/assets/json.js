// Records as text: pretty JSON, long strings cut until somebody asks for them, and what differs between two.

import { h } from "./dom.js";
import { count } from "./format.js";
import { button } from "./parts.js";

/** Characters of one string, and of the whole, that are shown at first. */
const LONG = 2_000;
const WHOLE = 40_000;
/** Lines that are compared one by one. */
const LINES = 1_500;

/** Write a value as JSON; strings beyond `long` characters are cut, and say so. */
export function pretty(value, long = Infinity) {
  const cut = (_, one) =>
    typeof one === "string" && one.length > long ? `${one.slice(0, long)}… (${count(one.length)} characters)` : one;
  return JSON.stringify(value, cut, 2) ?? "";
}

/** The record in a part of an answer, or the bytes that are none, as text. */
export const recordOf = (found) => ("payload" in found ? found.payload : found.text);

/** Show a record, and a button for all of it where it is long; `state` remembers what was asked for. */
export function shown(label, value, state, redraw) {
  const text = typeof value === "string" ? value : pretty(value, state.whole ? Infinity : LONG);
  const cut = state.whole ? text : text.slice(0, WHOLE);
  const isLong = !state.whole && (cut.length < text.length || text.includes("… ("));
  return h(
    "div",
    { class: "record" },
    h("pre", { tabindex: "0", role: "group", "aria-label": label }, cut),
    isLong ? button(`Show all of it (${count(pretty(value).length)} characters)`, () => ((state.whole = true), redraw())) : null,
  );
}

/** Compare two records line by line: [" " | "-" | "+", line]. */
export function difference(before, after) {
  // Without commas: a field behind it does not change the one before.
  const [a, b] = [before, after].map((one) => pretty(one, LONG).split(/,?\n/));
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const middle = between(a.slice(start, a.length - end), b.slice(start, b.length - end));
  const same = (lines) => lines.map((line) => [" ", line]);
  return [...same(a.slice(0, start)), ...middle, ...same(a.slice(a.length - end))];
}

/** The longest common lines stay; where both sides are very long, all of one goes and all of the other comes. */
function between(a, b) {
  if (a.length > LINES || b.length > LINES) return [...a.map((line) => ["-", line]), ...b.map((line) => ["+", line])];
  const long = a.map(() => new Uint16Array(b.length + 1));
  long.push(new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      long[i][j] = a[i] === b[j] ? long[i + 1][j + 1] + 1 : Math.max(long[i + 1][j], long[i][j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      found.push([" ", a[i]]);
      i += 1;
      j += 1;
    } else if (j < b.length && (i === a.length || long[i][j + 1] > long[i + 1][j])) {
      found.push(["+", b[j]]);
      j += 1;
    } else {
      found.push(["-", a[i]]);
      i += 1;
    }
  }
  return found;
}

const SIDES = { "-": ["removed", "before"], "+": ["added", "after"], " ": ["same", ""] };

/** Draw a comparison; far from any change, lines are left out. */
export function compared(before, after) {
  const lines = difference(before, after);
  const near = lines.map((_, at) => lines.slice(Math.max(0, at - 3), at + 4).some(([side]) => side !== " "));
  if (!near.includes(true)) return h("p", { class: "muted", role: "status" }, "Nothing differs.");
  return h(
    "pre",
    { class: "diff", tabindex: "0", role: "group", "aria-label": "Before and after" },
    lines.map(([side, line], at) => {
      if (!near[at]) return near[at - 1] || at === 0 ? h("span", { class: "same" }, "  …\n") : null;
      const [kind, spoken] = SIDES[side];
      return h("span", { class: kind }, spoken ? h("span", { class: "hidden" }, `${spoken}: `) : null, `${side} ${line}\n`);
    }),
  );
}
