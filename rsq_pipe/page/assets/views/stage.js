// A stage: its numbers, what it is set to, its last errors, and the records that wait for it.

import { get, path, send, session } from "../api.js";
import { charts } from "../chart.js";
import { draw, h } from "../dom.js";
import { absolute, ago, cause, count, counted, duration, lasting, milliseconds, rate } from "../format.js";
import { doing } from "../graph.js";
import { recordOf, shown } from "../json.js";
import { every, follow, patient } from "../live.js";
import { badge, button, empty, facts, failure, field, loading, section, table, tiles } from "../parts.js";
import { condition } from "../problems.js";
import { to } from "../router.js";

const EVERY = 5000;
const PARTS = 10;
const ERRORS = 5;

export function show(place, page) {
  const { pipeline, stage } = page;
  const base = path("pipelines", pipeline, "stages", stage);
  const state = { status: null, more: null, history: null, error: null, refused: null, why: "", peek: { where: page.query.where || "", found: null, busy: false, error: null } };
  page.title(stage, pipeline);

  const redraw = () => draw(place, ...view(page, state, { pause, resume, look, redraw }));

  /** Do something, and keep its error under a name: the next refresh does not clear it. */
  async function tried(name, action) {
    try {
      await action();
      state[name] = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      state[name] = error;
    }
    redraw();
  }

  const pause = () => tried("refused", () => send(`${base}/pause`, { why: state.why || "paused from the page" }));
  const resume = () => tried("refused", () => send(`${base}/resume`));

  /** Read the records that wait for the stage. */
  async function look() {
    const { peek } = state;
    Object.assign(peek, { busy: true, error: null });
    redraw();
    try {
      const found = await get(`${base}/records`, { where: peek.where, count: 20 }, page.signal);
      const records = found.exact.records.map((one, at) => ({ ...found.records[at], ...("payload" in one ? { payload: one.payload } : {}) }));
      Object.assign(peek, { found: { ...found, records } });
    } catch (error) {
      Object.assign(peek, { found: null, error });
    }
    peek.busy = false;
    redraw();
  }

  redraw();
  get(`${path("pipelines", pipeline)}/history`, { window: "24h" }, page.signal).then((found) => ((state.history = found), redraw()), () => {});
  const again = every(EVERY, () => tried("error", async () => (state.more = await get(base, {}, patient(page.signal)))));
  const end = follow(pipeline, (status) => ((state.status = status), page.dead(total(status)), redraw()), page.line);
  return () => {
    end();
    again();
  };
}

const total = (status) => Object.values(status.stages).reduce((sum, one) => sum + one.dead, 0);

function view({ pipeline, stage }, state, can) {
  const now = state.status?.stages[stage] || state.more;
  const node = state.status?.graph.stages.find((one) => one.name === stage) || state.more;
  if (!now) return [h("h1", {}, stage), state.error ? failure(state.error) : loading()];
  const [level, word] = condition(now, state.status?.stages || {});
  const time = now.handler_ms;
  return [
    h("h1", {}, stage, " ", badge(level, word)),
    h("p", { class: "muted" }, node ? doing(node) : "", now.fused_into ? [", in the worker of ", stageLink(pipeline, now.fused_into)] : null),
    [state.refused, state.error].filter(Boolean).map((one) => failure(one)),
    now.paused ? paused(now.paused) : null,
    now.stale ? failure({ message: `It works with an old table: ${now.stale.why}` }) : null,
    tiles(
      { name: "Rate", value: rate(now.rate_per_s) },
      { name: "Backlog", value: count(now.backlog), note: now.oldest_age_s ? `oldest ${duration(now.oldest_age_s)}` : null },
      { name: "In flight", value: count(now.pending) },
      { name: "Retries", value: count(now.retries), note: "waiting" },
      { name: "Dead letters", value: now.dead ? h("a", { href: to(["p", pipeline, "letters", stage]) }, count(now.dead)) : "0", level: now.dead ? "warn" : null },
      { name: "Handler time", value: milliseconds(time?.p50), note: time ? `p95 ${milliseconds(time.p95)}` : "not measured" },
      { name: "Workers", value: count(now.workers), note: now.gone_workers ? `${count(now.gone_workers)} gone` : null },
    ),
    session?.read_only ? null : holding(now, state, can),
    section("Last errors", errors(pipeline, stage, state.more)),
    section("Last 24 hours", charts(state.history, [stage])),
    section("Counted since the first run", counters(now, node)),
    now.windows ? section("Windows", windows(now.windows)) : null,
    now.remembers ? section("State", memory(now.remembers, state.more?.memory)) : null,
    section("Settings", settings(state.more)),
    node?.verb === "source" ? null : section("Records that wait for it", peek(state, can)),
  ];
}

const stageLink = (pipeline, name) => h("a", { href: to(["p", pipeline, "stages", name]) }, name);

function paused({ why, since, held }) {
  return h(
    "div",
    { class: "card failure" },
    h("p", {}, badge("warn", held ? "Paused until it is resumed" : "Pauses, and goes on by itself"), since ? [" ", lasting(since)] : null),
    why ? h("p", {}, why) : null,
  );
}

function holding(now, state, { pause, resume, redraw }) {
  if (now.paused?.held) return h("p", {}, button("Resume", resume, { class: "main" }));
  return h(
    "details",
    {},
    h("summary", {}, "Pause this stage"),
    h(
      "form",
      { class: "ask", onsubmit: (event) => (event.preventDefault(), pause()) },
      field("Why", state.why, (value) => ((state.why = value), redraw())),
      h("button", { type: "submit" }, "Pause"),
    ),
  );
}

function counters(now, node) {
  const drops = Object.entries(now.drops || {}).map(([reason, number]) => `${reason}: ${count(number)}`);
  const unknown = Object.entries(now.unknown || {}).map(([key, number]) => `${key}: ${count(number)}`);
  return facts(
    ["Records", count(now.settled)],
    node?.verb === "source" ? null : ["Attempts", count(now.read)],
    ["Emitted", count(now.emitted)],
    ["Dropped", count(now.dropped), drops.length ? h("small", { class: "clip" }, drops.join(", ")) : null],
    now.stored ? ["Stored", count(now.stored)] : null,
    ["Retried", count(now.retried)],
    ["Dead-lettered", count(now.dead_ever)],
    unknown.length ? ["Keys its table has not", h("small", { class: "clip" }, unknown.join(", "))] : null,
  );
}

function windows(found) {
  return facts(
    ["Open", count(found.open)],
    ["Groups", count(found.groups)],
    found.watermark === null ? null : ["Watermark", absolute(found.watermark)],
    found.behind_seconds === null ? null : ["Behind the clock", duration(found.behind_seconds)],
    found.closed === null ? null : ["Closed up to", absolute(found.closed)],
  );
}

function memory(found, parts) {
  return [
    facts(["Keys", `${count(found.keys)} of at most ${count(found.max_keys)}`], ["Forgotten to make room", count(found.evicted)]),
    parts?.buckets.length
      ? table({
          label: "Parts of the state",
          rows: parts.buckets.slice(0, PARTS),
          key: (one) => one.name,
          columns: [
            { name: `part, ${count(Math.min(PARTS, parts.parts))} of ${count(parts.parts)}`, head: true, of: (one) => one.name },
            { name: "keys", number: true, of: (one) => count(one.keys) },
            { name: "due", number: true, of: (one) => ago(one.due) },
          ],
        })
      : null,
  ];
}

function errors(pipeline, stage, more) {
  if (!more) return loading();
  if (!more.errors.length) return empty("None.");
  return table({
    label: "Last errors",
    rows: more.errors.slice(0, ERRORS),
    key: (one) => one.id,
    columns: [
      { name: "error", head: true, of: (one) => h("span", { class: "clip" }, cause(one)) },
      { name: "record", extra: true, of: (one) => h("a", { href: to(["p", pipeline, "records", one.rid]) }, one.rid) },
      { name: "failed", number: true, of: (one) => h("a", { href: to(["p", pipeline, "letters", stage, one.id]) }, ago(one.at)) },
    ],
  });
}

function settings(more) {
  if (!more) return loading();
  if (!Object.keys(more.settings).length) return empty("The last run kept none.");
  return shown("Settings", more.exact.settings, {}, () => {});
}

function peek({ peek: state }, { look, redraw }) {
  const { found } = state;
  return [
    h(
      "form",
      { class: "ask", onsubmit: (event) => (event.preventDefault(), look()) },
      field("Only records for which", state.where, (value) => ((state.where = value), redraw()), { placeholder: "total > 100 and entry['deliveries'] > 1" }),
      h("button", { type: "submit", disabled: state.busy }, "Look"),
    ),
    state.error ? failure(state.error) : null,
    found ? peeked(found, state, redraw) : null,
  ];
}

function peeked({ records, more, looked_at: looked, passed_over: passed, why }, state, redraw) {
  return [
    h("p", { class: "muted", role: "status" }, `${counted(records.length, "record")} of ${count(looked)} that were looked at${more ? "; there are more" : ""}`),
    passed ? h("p", { class: "muted" }, `${counted(passed, "record")} could not be judged: ${why}`) : null,
    records.map((one, at) =>
      h(
        "details",
        { key: `${one.rid} ${at}`, class: "letter" },
        h("summary", {}, badge("note", one.state), " ", h("code", {}, one.rid), one.deliveries > 1 ? ` delivered ${count(one.deliveries)} times` : "", one.due_in ? ` due in ${duration(one.due_in)}` : ""),
        shown(`Record ${one.rid}`, recordOf(one), (state[one.rid] ||= {}), redraw),
      ),
    ),
  ];
}
