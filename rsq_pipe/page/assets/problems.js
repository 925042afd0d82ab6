// What is wrong, where, since when, what to do: what somebody wants to know first.

import { cause, count, counted, duration } from "./format.js";

/** Seconds that a record may wait. */
const LONG = 60;

const ORDER = { bad: 0, warn: 1, note: 2 };

/** List what needs somebody in a pipeline: {level, stage, what, why, since or first, action}. */
export function problems(status, causes) {
  const found = [];
  for (const [name, stage] of Object.entries(status.stages)) found.push(...ofStage(name, stage, workers(stage, status.stages), causes.filter((one) => one.stage === name)));
  return found.sort((a, b) => ORDER[a.level] - ORDER[b.level] || !a.since - !b.since);
}

function ofStage(name, stage, works, groups) {
  const found = [];
  const say = (level, what, more) => found.push({ key: `${name}:${found.length}`, level, stage: name, what, ...more });
  if (stage.state === "lost") {
    say("bad", "has lost its place in its input", { why: "its consumer group is gone: `rsq-pipe status` has the choices" });
  }
  if (stage.paused) {
    const how = stage.paused.held ? "is paused" : "pauses, and tries again,";
    say(stage.paused.held ? "warn" : "bad", how, { why: stage.paused.why, since: stage.paused.since, action: "stage" });
  }
  if (stage.dead) say("warn", `has ${counted(stage.dead, "dead letter")}`, { ...frequent(groups), action: "letters" });
  if (stage.backlog > 0 && !works && !stage.paused) {
    say("bad", `has ${counted(stage.backlog, "record")} before it, and nothing runs it`, { why: waits(stage), action: "stage" });
  } else if (stage.oldest_age_s > LONG && !stage.paused) {
    say("warn", `is behind: ${counted(stage.backlog, "record")} before it`, { why: waits(stage), action: "stage" });
  }
  if (stage.stale) say("warn", "works with an old table", { why: stage.stale.why, since: stage.stale.since, action: "stage" });
  if (stage.retries) say("note", `has ${count(stage.retries)} waiting for another attempt`, { action: "stage" });
  if (stage.waits_for.length) say("note", `waits for ${stage.waits_for.join(", ")} to have room`, { action: "stage" });
  if (stage.limited) say("note", `waits for its rate of ${stage.limited.rate}`, { action: "stage" });
  return found;
}

/** Say the most frequent cause of dead letters, and since when there are any. */
function frequent(groups) {
  if (!groups.length) return {};
  const [first] = groups;
  const others = groups.length > 1 ? `, and ${counted(groups.length - 1, "other cause")}` : "";
  return { why: `${count(first.count)} × ${cause(first)}${others}`, first: groups.map((one) => one.first).sort()[0] };
}

function waits(stage) {
  return stage.oldest_age_s === null ? "" : `the oldest has waited ${duration(stage.oldest_age_s)}`;
}

/** Count the workers that run a stage: a fused one runs in those of the stage above. */
function workers(stage, stages) {
  return stage.workers || (stage.fused_into && stages[stage.fused_into] ? workers(stages[stage.fused_into], stages) : 0);
}

/** Sum a stage up in one word and a level, for its sign in the graph and the table. */
export function condition(stage, stages) {
  const works = workers(stage, stages) > 0 || stage.rate_per_s > 0; // a source has no workers, and a rate
  if (stage.state === "lost") return ["bad", "lost"];
  if (stage.paused) return [stage.paused.held ? "warn" : "bad", "paused"];
  if (stage.backlog > 0 && !works) return ["bad", "not running"];
  if (stage.oldest_age_s > LONG) return ["warn", "behind"];
  if (stage.dead) return ["warn", works ? "running" : "at rest"];
  if (works) return ["ok", "running"];
  return ["idle", stage.state === "new" ? "new" : "at rest"];
}
