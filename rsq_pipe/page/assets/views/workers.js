// Workers: the processes that run a pipeline, what they have in flight, and those that are gone.

import { get, path } from "../api.js";
import { draw, h } from "../dom.js";
import { ago, count } from "../format.js";
import { badge, empty, failure, loading, table } from "../parts.js";
import { to } from "../router.js";

const EVERY = 3000;

export function show(place, page) {
  const { pipeline } = page;
  let timer = 0;
  page.title("Workers", pipeline);
  draw(place, h("h1", {}, "Workers"), loading());

  async function look() {
    try {
      const { workers } = await get(`${path("pipelines", pipeline)}/workers`, {}, page.signal);
      draw(place, h("h1", {}, "Workers"), view(pipeline, workers));
    } catch (error) {
      if (error.name === "AbortError") return;
      draw(place, h("h1", {}, "Workers"), failure(error));
    }
    timer = setTimeout(look, EVERY);
  }

  look();
  return () => clearTimeout(timer);
}

function view(pipeline, workers) {
  if (!workers.length) return empty("None: nothing runs this pipeline now.");
  return table({
    label: "Workers",
    rows: workers,
    key: (one) => `${one.stage} ${one.consumer || `${one.host} ${one.pid}`}`,
    columns: [
      { name: "process", head: true, of: (one) => `${one.host}, ${one.pid}` },
      { name: "stage", of: (one) => h("a", { href: to(["p", pipeline, "stages", one.stage]) }, one.stage) },
      { name: "state", of: (one) => (one.gone ? badge("warn", "gone", "Its process is gone, or silent; others take over what it had") : badge("ok", "works")) },
      { name: "in flight", number: true, of: (one) => count(one.in_flight) },
      { name: "since", number: true, extra: true, title: "When it began", of: (one) => ago(one.since) },
      { name: "last seen", number: true, of: (one) => ago(one.last_seen) },
    ],
  });
}
