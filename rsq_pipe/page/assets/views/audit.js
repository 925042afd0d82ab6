// Audit: who did what to this pipeline's records, and to how many.

import { get, path } from "../api.js";
import { draw, h } from "../dom.js";
import { ago, count, counted } from "../format.js";
import { empty, failure, loading, table } from "../parts.js";

export function show(place, page) {
  const { pipeline } = page;
  page.title("Audit", pipeline);
  const say = (what) => draw(place, h("h1", {}, "Audit"), what);
  say(loading());
  get(`${path("pipelines", pipeline)}/audit`, {}, page.signal).then(
    (found) => say(view(found.audit)),
    (error) => error.name === "AbortError" || say(failure(error)),
  );
}

function view(entries) {
  if (!entries.length) return empty("Nothing was replayed, purged, paused or resumed from a page yet.");
  return table({
    label: "Audit",
    rows: entries,
    key: (one) => one.id,
    columns: [
      { name: "when", head: true, of: (one) => ago(one.at) },
      { name: "who", of: (one) => one.who || "this machine" },
      { name: "what", of: (one) => one.action },
      { name: "stage", of: (one) => one.stage },
      { name: "records", number: true, of: (one) => count(one.done ?? one.count) },
      { name: "details", extra: true, class: "wide", of: (one) => h("span", { class: "clip" }, details(one)) },
    ],
  });
}

function details({ state, chosen, set, payload, rate, why, error }) {
  const { ids, where, group } = chosen || {};
  const meant = [ids && counted(ids, "chosen letter"), where && `where ${where}`, group && "one cause", chosen?.all && "all"];
  const more = [set && `set ${set.join(", ")}`, payload && "a new payload", rate && `${rate} a second`, why, state !== "done" && state, error];
  return [...meant, ...more].filter(Boolean).join("; ");
}
