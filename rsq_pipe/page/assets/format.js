// How numbers and times are written: always with their unit, times by their distance from now.

import { h } from "./dom.js";

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const WHEN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

const UNKNOWN = "–";

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** A count, in full as long as it can be read at a glance. */
export function count(value) {
  if (!known(value)) return UNKNOWN;
  return value < 1e7 ? WHOLE.format(Math.round(value)) : SHORT.format(value);
}

/** "1 record", "12 records". */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Why a record failed. */
export const cause = (one) => [one.error_type, one.message].filter(Boolean).join(": ") || one.reason;

export function rate(value) {
  if (!known(value)) return UNKNOWN;
  return value > 0 && value < 10 ? `${Number(value.toPrecision(2))}/s` : `${count(value)}/s`;
}

export function milliseconds(value) {
  return known(value) ? duration(value / 1000) : UNKNOWN;
}

/** A length of time in at most two units. */
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 0.0995) return `${Number((seconds * 1000).toPrecision(2))} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (hours < 24) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 7 ? `${days} d ${hours % 24} h` : `${count(days)} d`;
}

/** Milliseconds since 1970 of a time as the API writes it: seconds, or ISO 8601. */
export function moment(time) {
  if (!known(time) || time === "") return null;
  const found = typeof time === "number" ? time * 1000 : Date.parse(time);
  return Number.isNaN(found) ? null : found;
}

const written = (format) => (time) => (moment(time) ? format.format(moment(time)) : UNKNOWN);
export const absolute = written(WHEN);
export const clock = written(CLOCK);

const element = (at, words, title) => h("time", { datetime: new Date(at).toISOString(), title }, words);

/** How long something has lasted: "for 3 min". */
export function lasting(time) {
  const at = moment(time);
  if (at === null) return "";
  return element(at, `for ${duration(Math.max(0, (Date.now() - at) / 1000))}`, `since ${absolute(time)}`);
}

/** A time as an element: "3 min ago", and the moment itself on hover and for screen readers. */
export function ago(time) {
  const at = moment(time);
  if (at === null) return UNKNOWN;
  const seconds = (Date.now() - at) / 1000;
  const words = Math.abs(seconds) < 1 ? "now" : seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
  return element(at, words, absolute(time));
}
