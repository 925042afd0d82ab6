// Dead letters: groups of one cause, those of one group or search, and what to do about some or all of them.

import { get, path, session } from "../api.js";
import { act } from "../action.js";
import { draw, h } from "../dom.js";
import { ago, cause, count, counted } from "../format.js";
import { badge, button, empty, failure, field, loading, table } from "../parts.js";
import { replaceQuery, to } from "../router.js";
import { rows } from "../rows.js";

const PAGE = 1000;

export function show(place, page) {
  const { pipeline } = page;
  const state = {
    groups: null,
    error: null,
    where: page.query.where || "",
    order: page.query.order || "newest",
    chosen: new Set(),
    list: null,
    searching: false,
  };
  page.title("Dead letters", page.stage || pipeline);

  const redraw = () => draw(place, ...view(page, state, can));

  async function groups() {
    try {
      const status = await get(path("pipelines", pipeline), {}, page.signal);
      const dead = status.graph.stages.filter((one) => status.stages[one.name].dead).map((one) => one.name);
      const where = page.stage ? letters(page.stage) : `${path("pipelines", pipeline)}/letters`;
      const found = await get(`${where}/groups`, {}, page.signal);
      state.groups = found.groups;
      const others = page.stage ? dead.filter((name) => name !== page.stage) : [];
      page.dead(others.reduce((sum, name) => sum + status.stages[name].dead, found.total));
      state.error = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      state.error = error;
    }
    redraw();
  }

  const letters = (stage) => path("pipelines", pipeline, "stages", stage, "letters");

  /** Search as was typed; the address says so from now on. */
  function search() {
    replaceQuery(["p", pipeline, "letters", page.stage], { group: page.query.group, where: state.where, order: state.order });
    begun();
  }

  /** Start the list over. */
  function begun() {
    if (!page.stage) return;
    state.chosen.clear();
    const list = { rows: [], after: "", end: false, busy: false, passed: 0, why: "" };
    state.list = list;
    more(list);
  }

  async function more(list = state.list) {
    if (list.busy || list.end || list !== state.list) return;
    list.busy = true;
    redraw();
    try {
      const asked = { group: page.query.group, where: state.where, order: state.order, after: list.after, count: PAGE };
      const found = await get(letters(page.stage), asked, page.signal);
      list.rows.push(...found.letters);
      list.total = found.total;
      list.after = found.next || "";
      list.end = !found.next;
      list.passed += found.passed_over || 0;
      list.why ||= found.why || "";
      list.error = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      Object.assign(list, { error, end: true });
    }
    list.busy = false;
    if (list !== state.list) return;
    redraw();
    // A search ends after a second.
    if (!list.end && list.rows.length < PAGE) more(list);
  }

  function begin(kind, what, words) {
    act(kind, { pipeline, stage: page.stage, what, words, finished: again });
  }

  function again() {
    groups();
    begun();
  }

  const can = { search, more, begin, redraw };
  redraw();
  again();
}

function view(page, state, can) {
  const { pipeline, stage } = page;
  const group = state.groups?.find((one) => one.group === page.query.group);
  return [
    h("h1", {}, "Dead letters", stage ? [" of ", h("a", { href: to(["p", pipeline, "stages", stage]) }, stage)] : null),
    stage ? h("p", {}, h("a", { href: to(["p", pipeline, "letters"]) }, "All stages")) : null,
    state.error ? failure(state.error) : null,
    state.groups ? grouped(page, state.groups) : state.error ? null : loading("Counting by cause"),
    stage && state.list ? listed(page, state, group, can) : null,
  ];
}

function grouped(page, groups) {
  const { pipeline, query } = page;
  if (!groups.length) return empty("There are none.");
  return table({
    label: "Dead letters by cause",
    rows: groups,
    key: (group) => `${group.stage} ${group.group}`,
    level: (group) => (group.group === query.group ? "chosen" : null),
    columns: [
      page.stage ? null : { name: "stage", of: (group) => h("a", { href: to(["p", pipeline, "letters", group.stage]) }, group.stage) },
      { name: "letters", number: true, of: (group) => count(group.count) },
      { name: "error", head: true, class: "wide", of: (group) => linked(pipeline, group, query) },
      { name: "reason", extra: true, of: (group) => group.reason },
      { name: "first", number: true, extra: true, of: (group) => ago(group.first) },
      { name: "last", number: true, of: (group) => ago(group.last) },
    ],
  });
}

function linked(pipeline, group, query) {
  const here = group.group === query.group;
  return h("a", { href: to(["p", pipeline, "letters", group.stage], { group: group.group }), "aria-current": here ? "true" : null, class: "clip" }, cause(group));
}

function listed(page, state, group, can) {
  const { stage, query } = page;
  const { list, chosen } = state;
  const total = state.where ? null : query.group ? group?.count : list.total;
  return h(
    "section",
    { "aria-label": "Letters" },
    h("h2", {}, group ? ["Of this cause ", h("a", { class: "small", href: to(["p", page.pipeline, "letters", stage]) }, "show all causes")] : "All causes"),
    h(
      "form",
      { class: "ask", onsubmit: (event) => (event.preventDefault(), can.search()) },
      field("Only letters for which", state.where, (value) => ((state.where = value), can.redraw()), { placeholder: "customer == 'ada' and dlq['attempts'] > 1" }),
      h("button", { type: "submit" }, "Search"),
      h(
        "select",
        { "aria-label": "Order", onchange: (event) => ((state.order = event.target.value), can.search()) },
        ["newest", "oldest"].map((one) => h("option", { value: one, selected: one === state.order }, `${one} first`)),
      ),
    ),
    list.error ? failure(list.error) : null,
    list.passed ? h("p", { class: "muted" }, `${counted(list.passed, "letter")} could not be judged: ${list.why}`) : null,
    session?.read_only ? null : toolbar(page, state, group, total, can),
    h("p", { class: "muted", role: "status" }, loaded(list, total), chosen.size ? `, ${count(chosen.size)} chosen` : ""),
    list.rows.length
      ? rows({
          label: `Dead letters of ${stage}`,
          columns: [h("span", { class: "hidden" }, "chosen"), "id", "failed", "record", "error"],
          list,
          total: total ?? list.rows.length,
          key: (letter) => letter.id,
          cells: (letter) => cells(page, letter, chosen, can.redraw),
          more: can.more,
          redraw: can.redraw,
        })
      : null,
  );
}

function loaded(list, total) {
  if (list.busy && !list.rows.length) return "Loading…";
  if (list.end) return list.rows.length ? counted(list.rows.length, "letter") : "No letter fits.";
  return `${total ? `${count(list.rows.length)} of ` : ""}${counted(total || list.rows.length, "letter")}; more as you scroll`;
}

function cells({ pipeline, stage }, letter, chosen, redraw) {
  const pick = (event) => {
    chosen[event.target.checked ? "add" : "delete"](letter.id);
    redraw();
  };
  // Only the first part is cut off: errors that begin alike may end differently.
  const parts = cause(letter).replace(/\s+/g, " ").match(/^(.*?)(.{0,30})$/u).slice(1);
  return [
    h("input", { type: "checkbox", checked: chosen.has(letter.id), onchange: pick, "aria-label": `Choose ${letter.id}` }),
    h("a", { href: to(["p", pipeline, "letters", stage, letter.id]) }, letter.id),
    ago(letter.at),
    h("a", { href: to(["p", pipeline, "records", letter.rid]) }, letter.rid),
    h("span", { class: "ends", title: letter.message }, parts.map((part) => h("span", {}, part))),
  ];
}

/** The buttons act on what is chosen; where nothing is, on all that the list holds. */
function toolbar(page, state, group, total, { begin }) {
  const { chosen, list, where } = state;
  if (!list.rows.length) return null;
  const scope = page.query.group ? { group: page.query.group } : {};
  const what = chosen.size ? { ids: [...chosen] } : where ? { ...scope, where } : page.query.group ? scope : { all: true };
  const words = chosen.size
    ? `${counted(chosen.size, "chosen letter")}.`
    : `All ${where ? `for which \`${where}\`` : "letters"}${group ? ` of the cause “${group.message || group.reason}”` : where ? "" : ` of ${page.stage}`}.`;
  const label = chosen.size ? `${count(chosen.size)} chosen` : total ? `all ${count(total)}` : "all of these";
  return h(
    "div",
    { class: "buttons" },
    button(`Replay ${label}`, () => begin("replay", what, words), { class: "main" }),
    button(`Purge ${label}`, () => begin("purge", what, words), { class: "danger" }),
  );
}
