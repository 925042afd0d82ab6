// Live numbers: server-sent events, begun again after a break, and asked for one by one where the stream is refused.

import { get, path } from "./api.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;

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

  function broken(why) {
    state({ live: false, at, why, fault });
  }

  function open() {
    clearTimeout(timer);
    source?.close();
    source = new EventSource(`api/v1/${where}/events`);
    source.addEventListener("status", (event) => {
      heard(JSON.parse(event.data));
      state({ live: true, at, why: "", fault });
    });
    source.addEventListener("fault", (event) => {
      fault = JSON.parse(event.data).error.message;
      broken(fault);
    });
    source.onerror = () => {
      broken(fault || "the line to the server is broken");
      // After a refusal the browser does not try again by itself; after a break it would, with no longer waits.
      source.close();
      timer = setTimeout(again, wait);
      wait = Math.min(LONGEST_WAIT, wait * 2);
    };
  }

  async function again() {
    try {
      const status = await get(where);
      fault = null;
      if (!ended) told(status);
      at = Date.now() / 1000;
    } catch (error) {
      fault = error.message;
      if (!ended) broken(fault);
    }
    if (!ended && !document.hidden) open();
  }

  function seen() {
    if (document.hidden) {
      clearTimeout(timer);
      source?.close();
    } else {
      open();
    }
  }

  document.addEventListener("visibilitychange", seen);
  if (!document.hidden) open();
  return () => {
    ended = true;
    clearTimeout(timer);
    source?.close();
    document.removeEventListener("visibilitychange", seen);
  };
}
