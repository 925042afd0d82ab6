// Parts that several views share.

import { h } from "./dom.js";

/** Words for the state of a pipeline or a stage, each with a sign of its own: colour alone says nothing. */
const SIGNS = { bad: "■", warn: "▲", ok: "●", idle: "○", note: "◆" };

export function sign(level) {
  return h("span", { class: `sign ${level}`, "aria-hidden": "true" }, SIGNS[level]);
}

export function badge(level, words, title) {
  return h("span", { class: `badge ${level}`, title }, sign(level), " ", words);
}

/** Say how a pipeline is. */
export function standing(running, failed, backlog, paused) {
  if (paused.length) return badge("warn", "paused", `Paused: ${paused.join(", ")}`);
  if (running) return badge("ok", "running");
  if (failed) return badge("bad", "ended by an error", failed.why);
  return backlog > 0 ? badge("bad", "stopped", "Records wait, and nothing runs it") : badge("idle", "at rest");
}

export function section(title, ...children) {
  return h("section", { "aria-label": typeof title === "string" ? title : undefined }, h("h2", {}, title), ...children);
}

/** Say what went wrong and what to do. */
export function failure(error) {
  return h(
    "div",
    { class: "card failure", role: "alert" },
    h("p", {}, sign("bad"), " ", h("strong", {}, error.message)),
    error.fix ? h("p", {}, error.fix) : null,
  );
}

export function loading(what = "Loading") {
  return h("p", { class: "muted", role: "status" }, `${what}…`);
}

export function empty(...words) {
  return h("p", { class: "muted" }, ...words);
}

/** A table: columns are {name, of, number, extra, head}; an `extra` one is left out where the screen is narrow. */
export function table({ label, columns, rows, key, level }) {
  const shown = columns.filter(Boolean);
  const kind = (column) => [column.number && "number", column.extra && "extra", column.class].filter(Boolean).join(" ");
  const cell = (column, row) =>
    column.head
      ? h("th", { scope: "row", class: kind(column) }, column.of(row))
      : h("td", { class: kind(column) }, column.of(row));
  return h(
    "table",
    { "aria-label": label },
    h("thead", {}, h("tr", {}, shown.map((one) => h("th", { scope: "col", class: kind(one), title: one.title }, one.name)))),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", { key: key(row), class: level?.(row) }, shown.map((column) => cell(column, row)))),
    ),
  );
}

/** Facts as names and values; those without a value are left out. */
export function facts(...pairs) {
  const known = pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== "");
  return h("dl", { class: "facts" }, known.map(([name, ...value]) => h("div", { key: name }, h("dt", {}, name), h("dd", {}, value))));
}

/** Numbers worth a glance: {name, value, level, note}. */
export function tiles(...found) {
  return h(
    "dl",
    { class: "tiles" },
    found.filter(Boolean).map((tile) =>
      h(
        "div",
        { key: tile.name, class: tile.level },
        h("dt", {}, tile.name),
        h("dd", {}, tile.level ? [sign(tile.level), " "] : null, tile.value, tile.note ? h("small", {}, tile.note) : null),
      ),
    ),
  );
}

export function button(words, onclick, props) {
  return h("button", { type: "button", onclick, ...props }, words);
}

/** A line of text to be typed, with its label. */
export function field(label, value, oninput, props) {
  return h(
    "label",
    { class: "field" },
    h("span", {}, label),
    h("input", { value, autocomplete: "off", spellcheck: "false", oninput: (event) => oninput(event.target.value), ...props }),
  );
}
