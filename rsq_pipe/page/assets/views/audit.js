// Audit: who did what to this pipeline's records, and to how many.

import { get, path } from "../api.js";
import { draw, h } from "../dom.js";
import { ago, count } from "../format.js";
import { empty, failure, loading, table } from "../parts.js";

export async function show(place, page) {
  const { pipeline } = page;
  page.title("Audit", pipeline);
  draw(place, h("h1", {}, "Audit"), loading());
  try {
    const found = await get(`${path("pipelines", pipeline)}/audit`, {}, page.signal);
    draw(place, h("h1", {}, "Audit"), view(found.audit || found.entries));
  } catch (error) {
    if (error.name !== "AbortError") draw(place, h("h1", {}, "Audit"), failure(error));
  }
}

function view(entries) {
  if (!entries.length) return empty("Nothing was replayed, purged, paused or resumed from a page yet.");
  const details = ({ at, who, what, action, stage, count: many, id, ...more }) =>
    Object.entries(more)
      .filter(([, value]) => value !== null && value !== "" && value !== false)
      .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
      .join(", ");
  return table({
    label: "Audit",
    rows: entries,
    key: (one) => one.id ?? `${one.at} ${one.stage} ${one.action}`,
    columns: [
      { name: "when", head: true, of: (one) => ago(one.at) },
      { name: "who", of: (one) => one.who || "this machine" },
      { name: "what", of: (one) => one.action || one.what },
      { name: "stage", of: (one) => one.stage },
      { name: "records", number: true, of: (one) => count(one.count) },
      { name: "details", extra: true, class: "wide", of: (one) => h("span", { class: "clip" }, details(one)) },
    ],
  });
}
