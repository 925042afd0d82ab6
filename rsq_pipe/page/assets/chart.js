// Charts of the last 24 hours, as SVG: they take their colours from the style sheet, and can be read without seeing them.

import { draw, h } from "./dom.js";
import { absolute, count, moment, rate } from "./format.js";
import { empty } from "./parts.js";

/** Lines in one chart; more cannot be told apart. */
const MOST = 6;
/** Points of a line: the highest of the steps that fall together is drawn. */
const WIDE = 360;
const HIGH = 100;

const HOUR = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** Describe the charts of some stages: rates, and backlogs. */
export function charts(history, stages) {
  if (!history) return empty("No history yet.");
  const known = stages.filter((name) => history.stages[name]?.t.length > 1);
  if (!known.length) return empty("Nothing was noted yet: a run notes each of its stages once a minute.");
  return h(
    "div",
    { class: "charts" },
    chart("Rate", "records a second", "rate", rate, history, known),
    chart("Backlog", "records", "backlog", count, history, known),
  );
}

const drawings = new WeakMap();

/** Work a chart out once for each answer of the server: it is drawn every second. */
function drawing(history, what, stages) {
  if (!drawings.has(history)) drawings.set(history, {});
  const known = drawings.get(history);
  return (known[`${what} ${stages.join(" ")}`] ||= workedOut(history, what, stages));
}

function workedOut(history, what, stages) {
  const peak = (name) => history.stages[name][what].reduce((most, value) => Math.max(most, value ?? 0), 0);
  const shown = stages
    .map((name) => ({ name, peak: peak(name) }))
    .sort((a, b) => b.peak - a.peak)
    .slice(0, MOST);
  const times = stages.flatMap((name) => history.stages[name].t).map(moment);
  const [from, to] = times.reduce(([low, high], time) => [Math.min(low, time), Math.max(high, time)], [Infinity, -Infinity]);
  const top = nice(shown[0].peak);
  const step = Math.max((to - from) / (WIDE - 1), history.step_s * 1000);
  const places = Math.max(2, Math.round((to - from) / step) + 1);
  for (const line of shown) {
    line.values = new Array(places).fill(null);
    const { t, [what]: values } = history.stages[line.name];
    t.forEach((time, at) => {
      const place = Math.min(places - 1, Math.round((moment(time) - from) / step));
      if (values[at] !== null) line.values[place] = Math.max(line.values[place] ?? 0, values[at]);
    });
    line.path = path(line.values, top);
  }
  return { shown, from, to, step, top };
}

function path(values, top) {
  let text = "";
  values.forEach((value, at) => {
    if (value === null) return;
    const begins = at === 0 || values[at - 1] === null;
    text += `${begins ? "M" : "L"}${((at / (values.length - 1)) * WIDE).toFixed(1)} ${(HIGH - (value / top) * HIGH).toFixed(1)}`;
    if (begins && (values[at + 1] ?? null) === null) text += "h1";
  });
  return text;
}

/** The next round number above one. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= value);
}

function chart(title, unit, what, format, history, stages) {
  const found = drawing(history, what, stages);
  const { shown, from, to, top } = found;
  const left = stages.length - shown.length;
  return h(
    "figure",
    { key: what },
    h("figcaption", {}, h("strong", {}, title), ` ${unit}${left ? `; the ${MOST} highest of ${stages.length} stages` : ""}`),
    h(
      "div",
      { class: "plot", onpointermove: (event) => point(event, found, format), onpointerleave: (event) => point(event, null) },
      h("span", { class: "top" }, format(top)),
      h("span", { class: "zero" }, format(0)),
      h(
        "svg",
        { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": spoken(title, format, shown) },
        [0, HIGH / 2, HIGH].map((y) => h("path", { class: "grid", d: `M0 ${y}H${WIDE}` })),
        shown.map((line, at) => h("path", { key: line.name, class: `line s${at}`, d: line.path })),
        h("path", { key: "cursor", class: "cursor", foreign: { draw() {}, data: history } }),
      ),
      h("span", { class: "times" }, [0, 1, 2, 3, 4].map((at) => h("span", {}, HOUR.format(from + ((to - from) * at) / 4)))),
    ),
    h(
      "ul",
      { class: "legend" },
      shown.map((line, at) => h("li", { key: line.name }, h("svg", { class: "swatch", viewBox: "0 0 22 4", "aria-hidden": "true" }, h("path", { class: `line s${at}`, d: "M0 2H22" })), line.name)),
    ),
    h("p", { class: "muted readout", foreign: { draw: (node) => draw(node, " "), data: history } }),
  );
}

function spoken(title, format, shown) {
  const last = (values) => values[values.length - 1];
  const each = shown.map(({ name, values, peak }) => `${name} now ${format(last(values))}, at most ${format(peak)}`);
  return `${title} over the last 24 hours: ${each.join("; ")}`;
}

/** Read the values off where the pointer is. */
function point(event, found, format) {
  const plot = event.currentTarget;
  const readout = plot.parentNode.querySelector(".readout");
  const cursor = plot.querySelector(".cursor");
  if (!found) {
    cursor.removeAttribute("d");
    return draw(readout, " ");
  }
  const area = plot.querySelector("svg").getBoundingClientRect();
  const places = found.shown[0].values.length;
  const at = Math.max(0, Math.min(places - 1, Math.round(((event.clientX - area.x) / area.width) * (places - 1))));
  cursor.setAttribute("d", `M${((at / (places - 1)) * WIDE).toFixed(1)} 0V${HIGH}`);
  const values = found.shown.map(({ name, values }) => `${name} ${format(values[at])}`);
  draw(readout, `${absolute((found.from + at * found.step) / 1000)}: ${values.join(" · ")}`);
}
