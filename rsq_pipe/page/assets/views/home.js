// Home: every pipeline of the server, those that need somebody first.

import { get } from "../api.js";
import { draw, h } from "../dom.js";
import { ago, count, rate } from "../format.js";
import { every, patient } from "../live.js";
import { badge, empty, failure, loading, standing, table } from "../parts.js";
import { to } from "../router.js";

const EVERY = 5000;

export function show(place, page) {
  page.title();
  let last = [];
  draw(place, h("h1", {}, "Pipelines"), loading());

  async function look() {
    try {
      const { pipelines } = await get("pipelines", {}, patient(page.signal));
      last = view(pipelines);
      draw(place, ...last);
    } catch (error) {
      if (error.name === "AbortError" || error.status === 401) return;
      const [title, ...rest] = last.length ? last : [h("h1", {}, "Pipelines")];
      draw(place, title, failure(error), ...rest); // what was known stays
    }
  }

  return every(EVERY, look);
}

function view(pipelines) {
  if (!pipelines.length) {
    return [h("h1", {}, "Pipelines"), empty("Nothing has run on this server yet. ", h("code", {}, "rsq-pipe run pipeline.yaml"), " runs one.")];
  }
  const sorted = [...pipelines].sort((a, b) => urgency(b) - urgency(a) || a.name.localeCompare(b.name));
  return [
    h("h1", {}, "Pipelines"),
    table({
      label: "Pipelines",
      rows: sorted,
      key: (one) => one.name,
      columns: [
        { name: "pipeline", head: true, of: (one) => h("a", { href: to(["p", one.name]) }, one.name) },
        { name: "state", of: state },
        { name: "rate", number: true, extra: true, of: (one) => rate(one.rate_per_s) },
        { name: "backlog", number: true, title: "Records that stages have before them", of: (one) => count(one.backlog) },
        { name: "dead", number: true, title: "Dead letters", of: letters },
        { name: "stages", number: true, extra: true, of: (one) => count(one.stages) },
        { name: "processes", number: true, extra: true, of: (one) => count(one.running_processes) },
        { name: "last read", number: true, extra: true, title: "When a stage last read a record", of: (one) => ago(one.last_record_at) },
      ],
    }),
  ];
}

function state(one) {
  if (one.fault) return badge("bad", "unknown", one.fault);
  if (one.state === "lost") return badge("bad", "lost its place", "A consumer group is gone: `rsq-pipe status` has the choices");
  return standing(one.state === "running", one.failed, one.backlog, one.paused);
}

function letters(one) {
  if (!one.dead) return count(one.dead);
  return h("a", { href: to(["p", one.name, "letters"]) }, badge("warn", count(one.dead)));
}

function urgency(one) {
  if (one.fault || one.state === "lost") return 4;
  if (one.state === "resting" && (one.failed || one.backlog > 0)) return 3;
  if (one.paused.length) return 2;
  return one.dead ? 1 : 0;
}
