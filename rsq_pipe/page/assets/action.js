// Actions on dead letters: counted first, then confirmed with that count, then watched.

import { get, path, send } from "./api.js";
import { draw, h } from "./dom.js";
import { count, counted } from "./format.js";
import { button, failure, field, loading } from "./parts.js";

const PATIENCE = 350;
const LOOK_EVERY = 500;

/** What a value may be. */
export const VALUE = "EUR, 12.5 or = price * 2";

const KINDS = {
  replay: { title: "Replay", done: "replayed", verb: "Replay", words: "They go back to the stage that failed them, each once, with their attempts reset." },
  purge: { title: "Purge", done: "purged", verb: "Purge for good", words: "They are deleted, and cannot be brought back.", danger: true },
};

const ENDS = { stopped: ", then stopped.", running: ", as far as is known." };
const LOST = { message: "The page's server was started again meanwhile, and no longer knows how it ended", fix: "The audit and the number of dead letters say." };

/**
 * Replay or purge dead letters.
 *
 * `what` is {ids} | {group} | {where} | {all: true}; `words` says it; `set` are the fields that are set to begin
 * with, `payload` is the whole record of one; `finished()` is called once letters may be gone.
 */
export function act(kind, { pipeline, stage, what, words, set, payload, finished }) {
  const own = KINDS[kind];
  const base = path("pipelines", pipeline, "stages", stage, "letters");
  const state = {
    mends: Object.entries(set || {}).map(([name, value]) => ({ name, value })),
    rate: "",
    counted: null,
    counting: true,
    error: null,
    job: null,
    result: null,
  };
  const dialog = document.createElement("dialog");
  dialog.className = own.danger ? "danger" : "";
  dialog.setAttribute("aria-labelledby", "action-title");
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    clearTimeout(state.timer);
    state.closed = true;
    dialog.remove();
    if (state.job || state.result) finished();
  });

  function request(more) {
    const mended = Object.fromEntries(state.mends.filter(({ name }) => name.trim()).map(({ name, value }) => [name.trim(), value]));
    const body = { ...what, ...more };
    if (kind === "replay" && Object.keys(mended).length) body.set = mended;
    if (payload) body.payload = payload;
    if (kind === "replay" && state.rate) body.rate = Number(state.rate);
    return send(`${base}/${kind}`, body);
  }

  async function countThem() {
    const round = (state.round = (state.round || 0) + 1);
    Object.assign(state, { counting: true, error: null });
    redraw();
    try {
      const found = await request({ dry_run: true });
      if (round === state.round) Object.assign(state, { counted: found, counting: false });
    } catch (error) {
      if (round === state.round) Object.assign(state, { counted: null, counting: false, error });
    }
    redraw();
  }

  function changed() {
    Object.assign(state, { counting: true });
    clearTimeout(state.timer);
    state.timer = setTimeout(countThem, PATIENCE);
    redraw();
  }

  async function begin() {
    // What came after the count is not meant.
    const { count: confirm, until } = state.counted;
    Object.assign(state, { busy: true, error: null });
    redraw();
    try {
      const answer = await request({ confirm, until });
      return watch(answer.job);
    } catch (error) {
      Object.assign(state, { busy: false, error, counted: null });
      if (error.status === 409) await countThem();
      const now = state.counted?.count ?? confirm;
      state.error = now === confirm ? error : { message: `${counted(confirm, "dead letter")} had been counted; by now it is ${count(now)}` };
    }
    redraw();
  }

  async function watch(job) {
    state.job = job;
    redraw();
    if (["done", "stopped", "failed"].includes(job.state)) {
      Object.assign(state, { busy: false, result: job });
      return redraw();
    }
    state.timer = setTimeout(async () => {
      try {
        const found = await get(path("pipelines", pipeline, "jobs", job.id));
        state.error = null;
        watch(found);
      } catch (error) {
        if (error.status === 404) Object.assign(state, { busy: false, result: job, error: LOST });
        else state.error = error;
        if (state.result) redraw();
        else watch(job);
      }
    }, LOOK_EVERY);
  }

  async function stop() {
    try {
      await send(`${path("pipelines", pipeline, "jobs", state.job.id)}/stop`);
    } catch (error) {
      state.error = error;
    }
    redraw();
  }

  function redraw() {
    if (!state.closed) draw(dialog, view());
  }

  function view() {
    const { error, result, job } = state;
    return h(
      "form",
      { method: "dialog", onsubmit: (event) => (event.preventDefault(), !result && !job && begin()) },
      h("h2", { id: "action-title" }, `${own.title} dead letters of ${stage}`),
      h("p", {}, words),
      result ? told(result) : job ? progress(job) : asking(),
      error ? failure(error) : null,
      h("div", { class: "buttons" }, buttons()),
    );
  }

  function asking() {
    const { counted: found, counting } = state;
    return [
      h("p", { class: own.danger ? "" : "muted" }, own.words),
      kind === "replay" && !payload ? mends() : null,
      kind === "replay"
        ? field("Letters a second, at most (empty: as fast as it goes)", state.rate, (value) => ((state.rate = value), redraw()), { type: "number", min: "0.1", step: "any", class: "short" })
        : null,
      h(
        "p",
        { role: "status", class: "dry" },
        counting ? "Counting…" : found ? [h("strong", {}, counted(found.count, "dead letter")), ` would be ${own.done}.`] : null,
        !counting && found ? leftOver(found) : null,
      ),
    ];
  }

  function leftOver(found) {
    return [
      found.left.map((one) => h("span", { class: "block" }, `${counted(one.count, "dead letter")} cannot be: ${one.why}`)),
      found.missing ? h("span", { class: "block" }, `${counted(found.missing, "dead letter")} of these ${found.missing === 1 ? "is" : "are"} gone: replayed or purged by somebody else.`) : null,
      found.passed_over ? h("span", { class: "block" }, `${counted(found.passed_over, "dead letter")} could not be judged: ${found.why}`) : null,
    ];
  }

  function mends() {
    return h(
      "fieldset",
      {},
      h("legend", {}, "Set fields first"),
      state.mends.map((mend, at) =>
        h(
          "div",
          { key: at, class: "mend" },
          field("Field", mend.name, (value) => ((mend.name = value), changed())),
          field("Value", mend.value, (value) => ((mend.value = value), changed()), { placeholder: VALUE }),
          button("Remove", () => (state.mends.splice(at, 1), changed()), { class: "plain" }),
        ),
      ),
      button("Set a field", () => (state.mends.push({ name: "", value: "" }), redraw()), { class: "plain" }),
    );
  }

  function progress(job) {
    const { total } = job;
    return [
      h("label", { class: "field" }, h("span", { role: "status" }, `${count(job.done)} of ${count(total)} ${own.done}`), h("progress", { max: String(total || 1), value: job.done })),
    ];
  }

  function told(found) {
    return [
      h("p", { role: "status", class: "result" }, h("strong", {}, `${counted(found.done, "dead letter")} ${own.done}`), ENDS[found.state] || "."),
      found.gone ? h("p", {}, `${counted(found.gone, "dead letter")} ${found.gone === 1 ? "was" : "were"} replayed or purged by somebody else meanwhile.`) : null,
      found.held ? h("p", {}, `${counted(found.held, "dead letter")} stay: their stage has too many records before it.`) : null,
      found.error ? failure({ message: found.error }) : null,
    ];
  }

  function buttons() {
    const { result, job, counted: found, counting, busy } = state;
    if (result) return button("Close", () => dialog.close(), { class: "main", made: (node) => node.focus() });
    if (job) return [button("Stop", stop), button("Close, and let it go on", () => dialog.close(), { class: "plain" })];
    const words = found && !counting ? `${own.verb}: ${counted(found.count, "dead letter")}` : own.verb;
    return [
      button("Cancel", () => dialog.close()),
      !found && !counting ? button("Count again", countThem) : null,
      h("button", { type: "submit", class: own.danger ? "danger" : "main", disabled: busy || counting || !found?.count }, words),
    ];
  }

  draw(dialog, loading());
  dialog.showModal();
  countThem();
}
