// A pipeline: what needs somebody, the graph, the same as a table, and the last 24 hours.

import { get, path, send, session } from "../api.js";
import { charts } from "../chart.js";
import { draw, h } from "../dom.js";
import { ago, count, counted, duration, lasting, milliseconds, rate } from "../format.js";
import { doing, layout, picture } from "../graph.js";
import { every, follow } from "../live.js";
import { badge, button, failure, loading, section, sign, standing, table, tiles } from "../parts.js";
import { condition, problems } from "../problems.js";
import { to } from "../router.js";

const HISTORY_EVERY = 60_000;
const FIXES = { READONLY: "Make it the primary again, or serve that.", NOREPLICAS: "Start the missing replicas." };

export function show(place, page) {
  const { pipeline } = page;
  const narrow = matchMedia("(max-width: 640px)");
  const state = { status: null, error: null, fault: null, history: null, placed: null, shape: "", causes: [], dead: 0, asking: false };
  page.title(pipeline);

  function redraw() {
    draw(place, ...view(pipeline, state, placed(), resume));
  }

  /** Lay the graph out again only where it has become another. */
  function placed() {
    if (!state.status) return null;
    const shape = JSON.stringify([narrow.matches, state.status.graph]);
    if (shape !== state.shape) Object.assign(state, { shape, placed: layout(state.status.graph, narrow.matches) });
    return state.placed;
  }

  async function resume(stage) {
    try {
      await send(`${path("pipelines", pipeline, "stages", stage)}/resume`);
      state.error = null;
    } catch (error) {
      state.error = error;
    }
    redraw();
  }

  async function look() {
    try {
      state.history = await get(`${path("pipelines", pipeline)}/history`, { window: "24h" }, page.signal);
      redraw();
    } catch {
      // It is asked for again.
    }
  }

  /** Ask why letters are dead, once for each number of them. */
  async function why(status) {
    const dead = sum(status, "dead");
    if (dead === state.dead || state.asking) return;
    state.asking = true;
    try {
      state.causes = dead ? (await get(`${path("pipelines", pipeline)}/letters/groups`, {}, page.signal)).groups : [];
      state.dead = dead;
      redraw();
    } catch {
      // Their number is shown anyway.
    }
    state.asking = false;
  }

  function told(status) {
    Object.assign(state, { status, error: null });
    why(status);
    page.dead(sum(status, "dead"));
    redraw();
  }

  async function first() {
    try {
      told(await get(path("pipelines", pipeline), {}, page.signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      state.error = error;
      redraw();
    }
  }

  /** Say below the numbers' title why they are no longer new. */
  function lined(line) {
    page.line(line);
    if (line.fault === state.fault) return;
    state.fault = line.fault;
    redraw();
  }

  redraw();
  first();
  const again = every(HISTORY_EVERY, look);
  const end = follow(pipeline, told, lined);
  narrow.addEventListener("change", redraw);
  return () => {
    end();
    again();
    narrow.removeEventListener("change", redraw);
  };
}

export const sum = (status, name) => Object.values(status.stages).reduce((total, stage) => total + (stage[name] || 0), 0);

function view(pipeline, { status, error, fault, history, causes }, placed, resume) {
  if (!status) return [h("h1", {}, pipeline), error ? failure(error) : loading()];
  const found = problems(status, causes);
  const oldest = Math.max(...Object.values(status.stages).map((stage) => stage.oldest_age_s || 0));
  const running = status.processes > 0;
  return [
    h("h1", {}, pipeline, " ", standing(running, status.failed, sum(status, "backlog"), Object.keys(status.stages).filter((name) => status.stages[name].paused))),
    status.description ? h("p", { class: "muted" }, status.description) : null,
    status.refusal ? failure({ message: `The server takes no writes: ${status.refusal}`, fix: FIXES[status.refusal.split(" ")[0]] ?? "See to its disk." }) : null,
    status.full ? failure({ message: "The server has no room left, so sources wait.", fix: "Raise maxmemory, or let stages drain." }) : null,
    status.failed ? failure({ message: `${running ? "A" : "The last"} run ended ${duration(status.failed.seconds)} ago by an error: ${status.failed.why}` }) : null,
    [error, fault && { message: `These numbers are old: ${fault}` }].filter(Boolean).map((one) => failure(one)),
    tiles(
      { name: "Backlog", value: count(sum(status, "backlog")), note: oldest ? `oldest ${duration(oldest)}` : "records" },
      { name: "Dead letters", value: count(sum(status, "dead")), level: sum(status, "dead") ? "warn" : null },
      { name: "Read", value: rate(arriving(status)), note: "from sources" },
      { name: "Processes", value: count(status.processes), level: !running && sum(status, "backlog") ? "bad" : null },
    ),
    attention(pipeline, found, resume),
    section("Graph", placed ? picture(pipeline, placed, status.stages) : null),
    section("Stages", stageTable(pipeline, status)),
    section("Last 24 hours", charts(history, Object.keys(status.stages))),
  ];
}

function arriving(status) {
  const first = status.graph.stages.filter((stage) => !stage.from.length);
  const sources = first.map((stage) => status.stages[stage.name]);
  const rates = sources.map((stage) => stage.rate_per_s).filter((one) => one !== null && one !== undefined);
  return rates.length ? rates.reduce((a, b) => a + b, 0) : null;
}

function attention(pipeline, found, resume) {
  const pressing = found.filter((one) => one.level !== "note");
  if (!pressing.length) return h("p", { class: "muted" }, sign("ok"), " Nothing needs you.");
  return section(
    `Needs you (${pressing.length})`,
    h(
      "ul",
      { class: "attention" },
      pressing.map((one) =>
        h(
          "li",
          { key: one.key, class: one.level },
          sign(one.level),
          h(
            "div",
            {},
            h("p", {}, h("a", { href: to(["p", pipeline, "stages", one.stage]) }, one.stage), " ", one.what, one.since ? [" ", lasting(one.since)] : null, one.first ? [", the first ", ago(one.first)] : null),
            one.why ? h("p", { class: "muted clip" }, one.why) : null,
          ),
          one.action === "letters"
            ? h("a", { class: "button", href: to(["p", pipeline, "letters", one.stage]) }, "Look at them")
            : null,
          one.what.startsWith("is paused") && !session?.read_only ? button("Resume", () => resume(one.stage)) : null,
        ),
      ),
    ),
  );
}

function stageTable(pipeline, status) {
  const wiring = new Map(status.graph.stages.map((stage) => [stage.name, stage]));
  const rows = status.graph.stages.map(({ name }) => ({ name, ...status.stages[name] }));
  return table({
    label: "Stages",
    rows,
    key: (row) => row.name,
    columns: [
      { name: "stage", head: true, of: (row) => h("a", { href: to(["p", pipeline, "stages", row.name]) }, row.name) },
      { name: "does", extra: true, of: (row) => doing(wiring.get(row.name)) },
      { name: "reads", extra: true, of: (row) => (wiring.get(row.name)?.from || []).join(", ") },
      { name: "state", of: (row) => badge(...condition(row, status.stages), row.paused?.why) },
      { name: "rate", number: true, of: (row) => rate(row.rate_per_s) },
      { name: "backlog", number: true, of: (row) => count(row.backlog) },
      { name: "oldest", number: true, extra: true, title: "Age of the oldest record that is not settled", of: (row) => duration(row.oldest_age_s) },
      { name: "retries", number: true, extra: true, title: "Records that wait for another attempt", of: (row) => count(row.retries) },
      { name: "dead", number: true, of: (row) => deadLink(pipeline, row) },
      { name: "p95", number: true, extra: true, title: "Handler time, 95th percentile", of: (row) => milliseconds(row.handler_ms?.p95) },
      { name: "workers", number: true, extra: true, of: (row) => workers(row) },
    ],
  });
}

function workers(row) {
  return row.fused_into && !row.workers ? h("span", { title: `Runs in the worker of ${row.fused_into}` }, "fused") : count(row.workers);
}

function deadLink(pipeline, row) {
  if (!row.dead) return count(row.dead);
  return h("a", { href: to(["p", pipeline, "letters", row.name]), "aria-label": `${counted(row.dead, "dead letter")} of ${row.name}` }, count(row.dead));
}
