// The graph of a pipeline: laid out by dagre, drawn as SVG, walked with the arrow keys.

import { h } from "./dom.js";
import { count, counted, duration, rate } from "./format.js";
import { condition } from "./problems.js";
import { to } from "./router.js";
import { Graph, layout as place } from "./vendor/dagre.js";

const WIDTH = 168;
const HEIGHT = 62;
const PAD = 10;
const SIGN = 20;
const SMALLEST = 0.72;
const SIGNS = { bad: "■", warn: "▲", ok: "●", idle: "○" };

/** Place the stages: along the page where it is wide, down it where it is narrow. */
export function layout(graph, down) {
  const plan = new Graph({ multigraph: true });
  plan.setGraph({ rankdir: down ? "TB" : "LR", nodesep: down ? 12 : 18, ranksep: down ? 30 : 46, marginx: 6, marginy: 6 });
  plan.setDefaultEdgeLabel(() => ({}));
  for (const stage of graph.stages) plan.setNode(stage.name, { width: WIDTH, height: HEIGHT, stage });
  graph.edges.forEach((edge, at) => {
    const from = edge.from ?? edge.stream; // a stream from outside is named by an edge alone
    if (!plan.hasNode(from)) plan.setNode(from, { width: WIDTH, height: HEIGHT, stage: null });
    plan.setEdge(from, edge.to, { edge, width: 1, height: 1 }, String(at));
  });
  place(plan);
  const { width, height } = plan.graph();
  return {
    width,
    height,
    nodes: plan.nodes().map((name) => ({ name, ...plan.node(name) })),
    edges: plan.edges().map((one) => plan.edge(one)),
  };
}

/** Draw what was placed, with what the stages are doing. */
export function picture(pipeline, placed, stages) {
  return h(
    "div",
    { class: "graph scroll", tabindex: "0", role: "group", "aria-label": "Graph; arrow keys go from stage to stage, the table below holds the same" },
    h(
      "svg",
      {
        viewBox: `0 0 ${placed.width} ${placed.height}`,
        // As wide as there is room for, as long as it can be read; beyond that it is scrolled.
        style: { "max-width": `${placed.width}px`, "min-width": `${Math.round(placed.width * SMALLEST)}px` },
        role: "group",
        "aria-label": `Stages of ${pipeline}`,
        onkeydown: walk,
      },
      placed.edges.map((one, at) => line(one, at, stages)),
      placed.nodes.map((node) => (node.stage ? box(pipeline, node, stages) : outside(node))),
    ),
  );
}

function line({ edge, points }, at, stages) {
  const fused = stages[edge.to]?.fused_into === edge.from;
  const backlog = (!fused && stages[edge.to]?.backlog) || 0;
  const width = fused ? 1.5 : Math.min(9, 1.5 + 1.2 * Math.log10(1 + backlog));
  const end = points[points.length - 1];
  const before = points[points.length - 2];
  const angle = (Math.atan2(end.y - before.y, end.x - before.x) * 180) / Math.PI;
  const middle = points[Math.floor(points.length / 2)];
  const words = edge.port && edge.port !== edge.to && edge.port !== "out" ? edge.port : "";
  return h(
    "g",
    { key: `edge ${at}`, class: `edge${fused ? " fused" : ""}${backlog ? " waiting" : ""}`, "aria-hidden": "true" },
    h("path", { d: curve(points), "stroke-width": width.toFixed(1) }),
    h("path", { class: "tip", d: "M0 0L-7 -4.5L-7 4.5Z", transform: `translate(${end.x} ${end.y}) rotate(${angle.toFixed(1)})` }),
    words ? h("text", { x: middle.x, y: middle.y - 5, "text-anchor": "middle" }, short(words, 14)) : null,
  );
}

function curve(points) {
  const [first, ...rest] = points;
  let d = `M${first.x} ${first.y}`;
  for (let at = 0; at < rest.length - 1; at += 1) {
    const here = rest[at];
    const next = rest[at + 1];
    const last = at === rest.length - 2;
    d += `Q${here.x} ${here.y} ${last ? next.x : (here.x + next.x) / 2} ${last ? next.y : (here.y + next.y) / 2}`;
  }
  return rest.length === 1 ? `${d}L${rest[0].x} ${rest[0].y}` : d;
}

function box(pipeline, node, stages) {
  const stage = stages[node.name];
  const [level, word] = stage ? condition(stage, stages) : ["idle", "unknown"];
  const waits = stage?.backlog ? `${count(stage.backlog)} waiting` : "";
  const dead = stage?.dead ? `${count(stage.dead)} dead` : "";
  const third = [waits, dead].filter(Boolean).join(" · ") || word;
  return h(
    "a",
    {
      key: node.name,
      href: to(["p", pipeline, "stages", node.name]),
      class: `node ${level}`,
      transform: `translate(${node.x - WIDTH / 2} ${node.y - HEIGHT / 2})`,
      "data-stage": node.name,
    },
    h("title", {}, spoken(node, stage, word)),
    h("rect", { width: WIDTH, height: HEIGHT, rx: 6 }),
    h("text", { x: PAD, y: 20, class: "name" }, fitted(node.name, WIDTH - 2 * PAD - SIGN)),
    h("text", { x: WIDTH - PAD, y: 20, class: "sign", "text-anchor": "end", "aria-hidden": "true" }, SIGNS[level]),
    h("text", { x: PAD, y: 37, class: "minor" }, short(doing(node.stage), 15)),
    h("text", { x: WIDTH - PAD, y: 37, class: "minor", "text-anchor": "end" }, stage ? rate(stage.rate_per_s) : ""),
    h("text", { x: PAD, y: 53, class: "third" }, fitted(third, WIDTH * 1.15)), // small letters
  );
}

function outside(node) {
  return h(
    "g",
    { key: node.name, class: "node outside", transform: `translate(${node.x - WIDTH / 2} ${node.y - HEIGHT / 2})` },
    h("title", {}, `stream ${node.name}`),
    h("rect", { width: WIDTH, height: HEIGHT, rx: 30 }),
    h("text", { x: WIDTH / 2, y: 28, class: "name", "text-anchor": "middle" }, fitted(node.name, WIDTH - 4 * PAD)),
    h("text", { x: WIDTH / 2, y: 45, class: "minor", "text-anchor": "middle" }, "stream"),
  );
}

function spoken(node, stage, word) {
  const said = [`${node.name}: ${doing(node.stage)}, ${word}`];
  if (stage) {
    if (stage.rate_per_s !== null) said.push(rate(stage.rate_per_s));
    said.push(`${counted(stage.backlog, "record")} waiting`);
    if (stage.oldest_age_s) said.push(`the oldest for ${duration(stage.oldest_age_s)}`);
    if (stage.dead) said.push(counted(stage.dead, "dead letter"));
    if (stage.paused?.why) said.push(short(stage.paused.why, 200));
  }
  return said.join(", ");
}

/** Say what a stage does: its verb, and of what system. */
export const doing = (stage) => (stage.connector ? `${stage.verb} ${stage.connector}` : stage.verb === "pass" ? "stream" : stage.verb);

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** How wide a letter is, roughly: measuring each text takes longer than drawing it. */
const wide = (letter) => (/[mwMW%…]/.test(letter) ? 14 : /[fijlrt1 .,:-]/.test(letter) ? 5 : 8);

/** Cut a text in its middle until it is no wider than some pixels: names often differ at their ends. */
function fitted(text, width) {
  let shown = text;
  for (let left = text.length - 1; left > 1 && [...shown].reduce((sum, letter) => sum + wide(letter), 0) > width; left -= 1) {
    shown = `${text.slice(0, Math.ceil(left / 2))}…${text.slice(text.length - Math.floor(left / 2))}`;
  }
  return shown;
}

/** Go to the nearest stage in the direction of an arrow key. */
function walk(event) {
  const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
  const from = event.target.closest?.("[data-stage]");
  if (!step || !from) return;
  event.preventDefault();
  const here = from.getBoundingClientRect();
  let best = null;
  for (const other of event.currentTarget.querySelectorAll("[data-stage]")) {
    const there = other.getBoundingClientRect();
    const [x, y] = [there.x - here.x, there.y - here.y];
    const ahead = x * step[0] + y * step[1];
    const aside = Math.abs(x * step[1] + y * step[0]);
    if (other === from || ahead < 5) continue;
    const far = ahead + 2 * aside;
    if (!best || far < best.far) best = { other, far };
  }
  best?.other.focus();
}
