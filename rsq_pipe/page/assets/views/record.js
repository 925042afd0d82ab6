// A record: its way over the stages as a waterfall, with what it waited for and each attempt.

import { get, path } from "../api.js";
import { draw, h } from "../dom.js";
import { absolute, duration, moment } from "../format.js";
import { badge, empty, failure, field, loading, sign } from "../parts.js";
import { go, to } from "../router.js";

const LEVELS = { "dead-lettered": "bad", retried: "warn", "to be retried": "warn", dropped: "idle", waiting: "note", "in flight": "note", unsettled: "warn" };

export function show(place, page) {
  const { pipeline, rid } = page;
  const state = { typed: rid || "", found: null, error: null };
  page.title(rid ? `Record ${rid}` : "Records", pipeline);

  const redraw = () => draw(place, ...view(page, state, search, redraw));

  function search(event) {
    event.preventDefault();
    if (state.typed.trim()) go(["p", pipeline, "records", state.typed.trim()]);
  }

  async function look() {
    try {
      state.found = await get(path("pipelines", pipeline, "records", rid), {}, page.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      state.error = error;
    }
    redraw();
  }

  redraw();
  if (rid) look();
}

function view(page, state, search, redraw) {
  const { rid } = page;
  return [
    h("h1", {}, rid ? `Record ${rid}` : "Records"),
    h(
      "form",
      { class: "ask", onsubmit: search },
      field("Record id, entry id or trace id", state.typed, (value) => ((state.typed = value), redraw())),
      h("button", { type: "submit" }, "Find"),
    ),
    state.error ? failure(state.error) : null,
    rid && !state.found && !state.error ? loading("Looking") : null,
    rid ? null : empty("Dead letters and records in a stage link here. What was settled and trimmed is known only where the pipeline says ", h("code", {}, "keep:"), " or its traces are kept."),
    state.found ? trace(page, state.found) : null,
  ];
}

function trace(page, found) {
  const { steps } = found;
  if (!steps.length) return empty("The server holds nothing of it any more.");
  const times = steps.flatMap((step) => [moment(step.began), moment(step.ended)]).filter((time) => time !== null);
  const waits = steps.map((step) => moment(step.began ?? step.ended) - (step.waited || 0) * 1000).filter(Number.isFinite);
  const [began, ended] = times.length ? [Math.min(...times, ...waits), Math.max(...times)] : [0, 0];
  const several = new Set(steps.map((step) => step.rid)).size > 1;
  return [
    h("p", { class: "muted" }, times.length ? `${absolute(began / 1000)}, ${duration((ended - began) / 1000)} in all` : ""),
    h("p", {}, found.traces.map(traced)),
    h(
      "ol",
      { class: "waterfall", "aria-label": "Steps" },
      steps.map((step, at) => bar(page, step, at, { began, total: ended - began || 1, several })),
    ),
  ];
}

function traced({ id, url }) {
  const words = ["Trace ", h("code", {}, id)];
  return h("span", { key: id, class: "block" }, url ? h("a", { href: url, rel: "noreferrer" }, words, " in Jaeger") : words);
}

function bar({ pipeline }, step, at, { began, total, several }) {
  const place = (time) => `${(Math.max(0, Math.min(1, (time - began) / total)) * 100).toFixed(2)}%`;
  const end = moment(step.ended);
  const start = moment(step.began) ?? end;
  const called = start === null ? null : start - (step.waited || 0) * 1000;
  const level = LEVELS[step.outcome] || "ok";
  const numbers = [
    start === null || start === began ? null : `after ${duration((start - began) / 1000)}`,
    step.waited === null ? null : `waited ${duration(step.waited)}`,
    step.ran === null || step.ran === undefined ? null : `ran ${duration(step.ran)}`,
    step.attempt > 1 ? `attempt ${step.attempt}` : null,
  ].filter(Boolean);
  return h(
    "li",
    { key: at, class: level },
    h("div", { class: "what" }, h("a", { href: to(["p", pipeline, "stages", step.stage]) }, step.stage), " ", badge(level, step.outcome)),
    h("div", { class: "muted" }, numbers.join(", ")),
    several ? h("code", { class: "clip" }, step.rid) : null,
    start === null
      ? null
      : h(
          "div",
          { class: "track", "aria-hidden": "true" },
          called < start ? h("span", { class: "wait", style: { left: place(called), right: `calc(100% - ${place(start)})` } }) : null,
          h("span", { class: "run", style: { left: `min(${place(start)}, 100% - 3px)`, right: `calc(100% - ${place(end ?? start)})` } }),
        ),
    step.error ? h("p", {}, sign("bad"), " ", h("code", {}, step.error)) : null,
    step.letter ? h("a", { href: to(["p", pipeline, "letters", step.stage, step.letter]) }, "Its dead letter") : null,
    step.note && step.outcome !== "dead-lettered" ? h("p", { class: "muted" }, step.note) : null,
  );
}
