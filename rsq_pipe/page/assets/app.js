// The page's frame: which view stands where, its title, whether its numbers are live, who is logged in.

import { logOut, readSession, session, whenLoginIsNeeded } from "./api.js";
import { draw, h } from "./dom.js";
import { clock, count } from "./format.js";
import { badge, button, failure } from "./parts.js";
import { go, to, where } from "./router.js";

const VIEWS = [
  ["home"],
  ["login", "login"],
  ["pipeline", "p", ":pipeline"],
  ["stage", "p", ":pipeline", "stages", ":stage"],
  ["letters", "p", ":pipeline", "letters"],
  ["letters", "p", ":pipeline", "letters", ":stage"],
  ["letter", "p", ":pipeline", "letters", ":stage", ":id"],
  ["record", "p", ":pipeline", "records"],
  ["record", "p", ":pipeline", "records", ":rid"],
  ["workers", "p", ":pipeline", "workers"],
  ["audit", "p", ":pipeline", "audit"],
];

const TABS = [
  ["pipeline", "Overview", []],
  ["letters", "Dead letters", ["letters"]],
  ["record", "Records", ["records"]],
  ["workers", "Workers", ["workers"]],
  ["audit", "Audit", ["audit"]],
];
/** The tab that a view without one of its own stands under. */
const UNDER = { stage: "pipeline", letter: "letters" };

const header = document.getElementById("header");
const place = document.getElementById("main");

let shown = 0;
let stop = () => {};
let frame = { name: "", params: {}, line: null, dead: null };

function match(parts) {
  for (const [name, ...pattern] of VIEWS) {
    if (pattern.length !== parts.length) continue;
    const params = {};
    const fits = pattern.every((part, at) =>
      part.startsWith(":") ? ((params[part.slice(1)] = parts[at]), true) : part === parts[at],
    );
    if (fits) return { name, params };
  }
  return null;
}

async function show() {
  const number = (shown += 1);
  const { parts, query } = where();
  const found = match(parts);
  stop();
  stop = () => {};
  for (const open of document.querySelectorAll("dialog")) open.close();
  const same = found?.params.pipeline === frame.params.pipeline;
  frame = { name: found?.name || "", params: found?.params || {}, line: null, dead: same ? frame.dead : null };
  drawHeader();
  if (!found) {
    draw(place, h("h1", {}, "Nothing is here"), h("p", {}, h("a", { href: to([]) }, "All pipelines")));
    place.setAttribute("data-shown", number);
    return;
  }
  try {
    if (!session?.authenticated && found.name !== "login" && !(await readSession()).authenticated) return;
    const view = await import(`./views/${found.name}.js`);
    if (number !== shown) return;
    drawHeader();
    // Each view has a place of its own: an answer that comes late draws where nobody looks.
    draw(place, h("div", { key: number }));
    scrollTo(0, 0);
    if (number > 1) place.focus({ preventScroll: true }); // who cannot see it is told of the new view
    const ended = new AbortController();
    const ends = view.show(place.firstChild, { ...found.params, query, signal: ended.signal, line: tellLine, dead: tellDead, title });
    stop = () => {
      ended.abort();
      ends?.();
    };
    place.setAttribute("data-shown", number); // how many views there were, for whoever waits for the next one
  } catch (error) {
    if (number === shown && error.status !== 401) draw(place, failure(error));
  }
}

function title(...words) {
  document.title = [...words, "rsq-pipe"].join(" · ");
}

function tellLine(line) {
  frame.line = line;
  drawHeader();
}

function tellDead(dead) {
  frame.dead = dead;
  drawHeader();
}

function drawHeader() {
  const { name, params, line, dead } = frame;
  const tab = UNDER[name] || name;
  draw(
    header,
    h("a", { class: "brand", href: to([]), "aria-current": name === "home" ? "page" : null }, "rsq-pipe"),
    params.pipeline ? h("a", { key: "pipeline", class: "pipeline", href: to(["p", params.pipeline]) }, params.pipeline) : null,
    params.pipeline
      ? h(
          "nav",
          { key: "tabs", "aria-label": "Views" },
          TABS.map(([view, words, more]) =>
            h(
              "a",
              { key: view, href: to(["p", params.pipeline, ...more]), "aria-current": tab === view ? "page" : null },
              words,
              view === "letters" && dead ? [" ", h("span", { class: "badge warn" }, count(dead))] : null,
            ),
          ),
        )
      : null,
    h("span", { key: "space", class: "space" }),
    line ? lineBadge(line) : null,
    session?.read_only ? h("span", { key: "read-only", class: "badge", title: "Actions are switched off on this server" }, "read-only") : null,
    session?.token_name
      ? h("span", { key: "who", class: "who" }, session.token_name, " ", button("Log out", leave, { class: "plain" }))
      : null,
  );
}

function lineBadge({ live, at, why }) {
  const words = live ? "live" : at ? `not live: numbers of ${clock(at)}` : "not live";
  return h("span", { key: "line", role: "status" }, badge(live ? "ok" : "warn", words, why || "New numbers every second"));
}

async function leave() {
  await logOut();
  go(["login"]);
}

whenLoginIsNeeded(() => {
  const { parts } = where();
  if (parts[0] !== "login") go(["login"], { to: location.hash });
});
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault(); // behind the # stands the view
  place.focus();
};
addEventListener("hashchange", show);
show();
