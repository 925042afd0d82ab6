// Workers: the processes that run a pipeline, what they have in flight, and those that are gone.

import { get, path } from "../api.js";
import { draw, h } from "../dom.js";
import { ago, count } from "../format.js";
import { every, patient } from "../live.js";
import { badge, empty, failure, loading, section, table } from "../parts.js";
import { to } from "../router.js";

const EVERY = 3000;

export function show(place, page) {
  const { pipeline } = page;
  page.title("Workers", pipeline);
  draw(place, h("h1", {}, "Workers"), loading());

  async function look() {
    try {
      draw(place, h("h1", {}, "Workers"), ...view(pipeline, await get(`${path("pipelines", pipeline)}/workers`, {}, patient(page.signal))));
    } catch (error) {
      if (error.name === "AbortError") return;
      draw(place, h("h1", {}, "Workers"), failure(error));
    }
  }

  return every(EVERY, look);
}

const GONE = "Its process is gone, or silent; others take over what it had";
const process = (one) => (one.pid ? `${one.host}, process ${one.pid}` : one.name || one.consumer);
const state = (one) => (one.gone ? badge("warn", "gone", GONE) : badge("ok", "works"));

function view(pipeline, { processes, workers }) {
  return [
    section(
      "Processes",
      processes.length
        ? table({
            label: "Processes",
            rows: processes,
            key: (one) => one.name,
            columns: [
              { name: "process", head: true, of: process },
              { name: "state", of: state },
              { name: "last seen", number: true, of: (one) => ago(one.last_seen) },
            ],
          })
        : empty("None: nothing runs this pipeline now."),
    ),
    section("By stage", workers.length ? byStage(pipeline, workers) : empty("None.")),
  ];
}

function byStage(pipeline, workers) {
  return table({
    label: "Workers",
    rows: workers,
    key: (one) => `${one.stage} ${one.consumer}`,
    columns: [
      { name: "stage", head: true, of: (one) => h("a", { href: to(["p", pipeline, "stages", one.stage]) }, one.stage) },
      { name: "process", of: process },
      { name: "state", of: state },
      { name: "in flight", number: true, title: "Records delivered to it and not settled", of: (one) => count(one.in_flight) },
      { name: "since", number: true, title: "When the oldest of them was delivered, or last shown to be in work", of: (one) => ago(one.since) },
      { name: "last seen", number: true, extra: true, of: (one) => ago(one.last_seen) },
    ],
  });
}
