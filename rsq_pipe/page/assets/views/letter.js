// One dead letter: why it failed, what it holds, and how it would look corrected.

import { get, parsed, path, send, session } from "../api.js";
import { VALUE, act } from "../action.js";
import { draw, h } from "../dom.js";
import { absolute, ago, cause, count } from "../format.js";
import { compared, pretty, recordOf, shown } from "../json.js";
import { badge, button, facts, failure, field, loading, section } from "../parts.js";
import { go, to } from "../router.js";

const PATIENCE = 300;
/** Characters of a message that may have to be scrolled, also by keys. */
const LONG = 200;

export function show(place, page) {
  const { pipeline, stage, id } = page;
  const where = path("pipelines", pipeline, "stages", stage, "letters", id);
  const state = { letter: null, error: null, mends: [{ name: "", value: "" }], whole: null, mended: null, wrong: null, text: {} };
  let timer = 0;
  let round = 0;
  page.title(`Dead letter ${id}`, stage);

  const redraw = () => draw(place, ...view(page, state, { changed, act: begin, redraw }));

  async function look() {
    try {
      state.letter = (await get(where, {}, page.signal)).exact;
    } catch (error) {
      if (error.name === "AbortError") return;
      state.error = error;
    }
    redraw();
  }

  /** Say what is to be changed: some fields, or the whole record; null where nothing is. */
  function change() {
    if (state.whole !== null) return { payload: parsed(state.whole) };
    const set = Object.fromEntries(state.mends.filter(({ name }) => name.trim()).map(({ name, value }) => [name.trim(), value]));
    return Object.keys(set).length ? { set } : null;
  }

  function changed() {
    clearTimeout(timer);
    timer = setTimeout(mend, PATIENCE);
    state.busy = true;
    redraw();
  }

  /** See what the fields as they are set would make of it; nothing is written. */
  async function mend() {
    const number = (round += 1);
    try {
      const changed = change();
      const mended = changed && (await send(`${where}/mend`, changed)).exact;
      if (number === round) Object.assign(state, { mended, wrong: null });
    } catch (error) {
      if (number === round) Object.assign(state, { mended: null, wrong: error });
    }
    if (number === round) state.busy = false;
    redraw();
  }

  function begin(kind, what, words) {
    act(kind, { pipeline, stage, what, words, ...(kind === "replay" ? change() : null), finished: () => page.signal.aborted || go(["p", pipeline, "letters", stage]) });
  }

  redraw();
  look();
  return () => clearTimeout(timer);
}

function view(page, state, can) {
  const { pipeline, stage, id } = page;
  const { letter } = state;
  const above = h("p", {}, h("a", { href: to(["p", pipeline, "letters", stage]) }, `Dead letters of ${stage}`));
  if (!letter) return [above, h("h1", {}, `Dead letter ${id}`), state.error ? failure(state.error) : loading()];
  const headers = Object.entries(letter.headers || {});
  return [
    above,
    h("h1", {}, `Dead letter ${id}`),
    h("p", { class: "why", tabindex: letter.message?.length > LONG ? "0" : null }, badge("warn", letter.reason), " ", h("code", {}, [letter.error_type, letter.message].filter(Boolean).join(": "))),
    facts(
      ["Failed", ago(letter.at), h("small", {}, absolute(letter.at))],
      ["Stage", h("a", { href: to(["p", pipeline, "stages", stage]) }, stage)],
      ["Attempts", count(letter.attempts)],
      ["Record", h("a", { href: to(["p", pipeline, "records", letter.rid]) }, letter.rid)],
      ["Entry", letter.entry],
      letter.trace_id ? ["Trace", trace(letter)] : null,
    ),
    h(
      "div",
      { class: "halves" },
      section("Record", "payload" in letter ? null : h("p", { class: "muted" }, "It could not be read as a record."), shown("Record", recordOf(letter), state.text, can.redraw)),
      session?.read_only ? null : section("Mend and replay", editing(page, state, can)),
    ),
    letter.traceback ? section("Traceback", h("pre", { tabindex: "0", role: "group", "aria-label": "Traceback" }, letter.traceback)) : null,
    headers.length ? section("Headers", facts(...headers.map(([name, value]) => [name, h("code", {}, value)]))) : null,
  ];
}

function trace(letter) {
  const id = h("code", {}, letter.trace_id);
  return letter.trace_url ? h("a", { href: letter.trace_url, rel: "noreferrer" }, id, " in Jaeger") : id;
}

/** A field that is new may be a slip of the pen. */
function added({ before, after }) {
  const names = Object.keys(after || {}).filter((name) => !Object.hasOwn(before || {}, name));
  return names.length ? h("p", {}, badge("warn", "new"), ` The record has no ${names.join(", ")}; it would be added.`) : null;
}

function editing(page, state, { changed, act, redraw }) {
  const { letter, mends, mended, wrong, whole, busy } = state;
  const ready = !wrong && !busy && (mended || (whole === null && !mends.some(({ name }) => name.trim())));
  const kind = cause(letter);
  return [
    whole === null ? fields(state, changed, redraw) : text(state, changed),
    wrong ? failure(wrong) : null,
    mended ? added(mended) : null,
    mended ? compared(mended.before, mended.after) : null,
    h(
      "div",
      { class: "buttons" },
      button("Replay this one", () => act("replay", { ids: [letter.id] }, `The letter ${letter.id}.`), { class: "main", disabled: !ready }),
      letter.group && whole === null
        ? button("Replay all of this cause", () => act("replay", { group: letter.group }, `All letters of the cause “${kind}”.`), { disabled: !ready })
        : null,
      button("Purge", () => act("purge", { ids: [letter.id] }, `The letter ${letter.id}.`), { class: "danger" }),
    ),
  ];
}

function fields(state, changed, redraw) {
  const { letter, mends } = state;
  const isRecord = "payload" in letter;
  const edit = () => {
    state.whole = isRecord ? pretty(letter.payload) : "{}";
    changed();
  };
  return [
    isRecord
      ? [
          mends.map((mend, at) =>
            h(
              "div",
              { key: at, class: "mend" },
              field("Set field", mend.name, (value) => ((mend.name = value), changed()), { list: "fields" }),
              field("to", mend.value, (value) => ((mend.value = value), changed()), { placeholder: VALUE }),
            ),
          ),
          h("datalist", { id: "fields" }, Object.keys(letter.payload).slice(0, 100).map((name) => h("option", { value: name }))),
          button("Another field", () => (mends.push({ name: "", value: "" }), redraw()), { class: "plain" }),
        ]
      : null,
    parsed ? button(isRecord ? "Edit the whole record" : "Write the record that it should be", edit, { class: "plain" }) : null,
  ];
}

function text(state, changed) {
  const set = (value) => {
    state.whole = value;
    changed();
  };
  return [
    h("label", { class: "field" }, h("span", {}, "The record, as JSON"), h("textarea", { rows: 14, spellcheck: "false", value: state.whole, oninput: (event) => set(event.target.value) })),
    button("Set single fields instead", () => set(null), { class: "plain" }),
  ];
}
