// The JSON API: one door, so that errors, the login and the token against forged requests are dealt with once.

export class ApiError extends Error {
  constructor(status, message, fix) {
    super(message);
    this.status = status;
    this.fix = fix || "";
  }
}

/** What the server says of this browser: authenticated, read_only, token_name, csrf...; null before it was asked. */
export let session = null;

let onLogin = () => {};

/** Have it told when a token is needed. */
export function whenLoginIsNeeded(tell) {
  onLogin = tell;
}

export async function readSession() {
  session = await get("session");
  if (!session.authenticated) onLogin();
  return session;
}

export async function logIn(token) {
  await send("login", { token });
  return readSession();
}

export async function logOut() {
  await send("logout");
  session = null;
}

/** Make a path of its parts: names and ids come from data. */
export function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/** Keep a number as it is spelled: 10.0 is not 10 in a record, and an id may have more digits than a double. */
const spelled = JSON.rawJSON
  ? (_, value, { source } = {}) => (typeof value === "number" && source !== String(value) ? JSON.rawJSON(source) : value)
  : null;

/** Read JSON that goes back to where it came from; null where this browser would change its numbers. */
export const parsed = spelled && ((text) => JSON.parse(text, spelled));

/** Ask for something. Records in it are to be shown as they are: `exact` holds the answer once more, for them. */
export function get(where, query, signal) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== undefined && value !== null && value !== "") asked.set(name, value);
  }
  const text = asked.toString();
  return request(text ? `${where}?${text}` : where, { signal });
}

export async function send(where, body) {
  const known = session?.csrf;
  try {
    return await post(where, body);
  } catch (error) {
    // A server that was started again does not know what the one before it gave out.
    if (error.status !== 403 || !known || (await readSession()).csrf === known) throw error;
    return post(where, body);
  }
}

function post(where, body) {
  const headers = { "Content-Type": "application/json", ...guarded() };
  return request(where, { method: "POST", headers, body: JSON.stringify(body || {}) });
}

function guarded() {
  return session?.csrf ? { "X-CSRF-Token": session.csrf } : {};
}

async function request(where, options) {
  let answer;
  try {
    answer = await fetch(`api/v1/${where}`, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the page's server does not answer", "see whether `rsq-pipe serve` still runs");
  }
  const text = await answer.text().catch(() => "");
  const document = read(text);
  if (answer.ok && document) {
    return Object.defineProperty(document, "exact", { get: () => JSON.parse(text, spelled) });
  }
  const told = document?.error || {};
  const error = new ApiError(answer.status, told.message || (answer.ok ? "the answer was cut off" : `the server answered ${answer.status}`), told.fix);
  if (answer.status === 401) onLogin();
  throw error;
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // cut off, or a proxy's page
  }
}
