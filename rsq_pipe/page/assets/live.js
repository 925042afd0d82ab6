// Live numbers: server-sent events, begun again after a break, and asked for one by one where the stream is refused.

import { get, path } from "./api.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;
/** Milliseconds until an answer (the server waits up to ten seconds for Redis), and between two events. */
const ANSWER = 15000;
const SILENT = 5000;

/** Give up a request after a while: a machine that is gone never answers. */
export function patient(signal) {
  return AbortSignal.any ? AbortSignal.any([signal, AbortSignal.timeout(ANSWER)]) : signal;
}

/** Look at once and again after a while, for as long as somebody looks; returns what ends it. */
export function every(milliseconds, look) {
  let timer = 0;
  let ended = false;
  async function again() {
    if (!document.hidden) await look();
    if (!ended) timer = setTimeout(again, milliseconds);
  }
  again();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/**
 * Follow a pipeline's status.
 *
 * `told(status)` is called with each; `state({live, at, why, fault})` when the line breaks or stands again; `fault` is
 * what the server says, null where it says nothing. A page that nobody looks at asks for nothing. Returns what ends it.
 */
export function follow(pipeline, told, state) {
  const where = path("pipelines", pipeline);
  let source = null;
  let timer = 0;
  let silence = 0;
  let wait = FIRST_WAIT;
  let at = null;
  let fault = null;
  let ended = false;

  function heard(status) {
    at = Date.now() / 1000;
    wait = FIRST_WAIT;
    fault = null;
    told(status);
  }

  const broken = (why) => state({ live: false, at, why, fault });

  function close() {
    clearTimeout(timer);
    clearTimeout(silence);
    source?.close();
  }

  /** Try again, after longer and longer: after a refusal the browser would not. */
  function tryAgain(why) {
    close();
    broken(fault || why);
    timer = setTimeout(again, wait);
    wait = Math.min(LONGEST_WAIT, wait * 2);
  }

  /** A line to a machine that is gone, or to a frozen process, breaks without an error. */
  function expect(milliseconds) {
    clearTimeout(silence);
    silence = setTimeout(() => tryAgain(`nothing has come for ${milliseconds / 1000} s`), milliseconds);
  }

  function open() {
    close();
    expect(ANSWER);
    source = new EventSource(`api/v1/${where}/events`);
    source.addEventListener("status", (event) => {
      expect(SILENT);
      heard(JSON.parse(event.data));
      state({ live: true, at, why: "", fault });
    });
    source.addEventListener("fault", (event) => {
      expect(ANSWER);
      fault = JSON.parse(event.data).error.message;
      broken(fault);
    });
    source.onerror = () => tryAgain("the line to the server is broken");
  }

  async function again() {
    try {
      const status = await get(where, {}, AbortSignal.timeout(ANSWER));
      fault = null;
      if (!ended) told(status);
      at = Date.now() / 1000;
    } catch (error) {
      fault = error.message;
      if (!ended) broken(fault);
    }
    if (!ended && !document.hidden) open();
  }

  const seen = () => (document.hidden ? close() : open());

  document.addEventListener("visibilitychange", seen);
  if (!document.hidden) open();
  return () => {
    ended = true;
    close();
    document.removeEventListener("visibilitychange", seen);
  };
}
