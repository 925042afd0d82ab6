// Drawing: a view describes what should stand there, and only what differs is changed, so that focus, selection and
// scrolling outlive an update a second. Text becomes text nodes: nothing here or elsewhere parses data as HTML.

const SVG = "http://www.w3.org/2000/svg";
// Characters that are not seen, or turn the order of others around, are written as \u202e: what a record holds must
// not pass for something else.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const PROPERTIES = new Set(["value", "checked", "disabled", "selected"]);

/** Describe an element; null, undefined, true and false among its children stand for nothing. */
export function h(tag, props, ...children) {
  return { tag, props: props || {}, children: flat(children) };
}

/** Bring what stands in a place to what is described. */
export function draw(place, ...children) {
  patch(place, flat(children), place.namespaceURI === SVG);
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && typeof child !== "boolean");
}

function patch(parent, wanted, svg) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.keyed !== undefined) keyed.set(node.keyed, node);
  let next = parent.firstChild;
  for (const child of wanted) {
    const node = typeof child === "object" ? element(child, next, keyed, svg) : text(String(child), next);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

/** Spell out what would not be seen. */
export function visible(data) {
  return data.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function text(found, there) {
  const data = visible(found);
  if (there?.nodeType !== Node.TEXT_NODE) return document.createTextNode(data);
  if (there.data !== data) there.data = data;
  return there;
}

function element(wanted, next, keyed, svg) {
  const { tag, props, children } = wanted;
  const inSvg = svg || tag === "svg";
  const found = props.key === undefined ? next : keyed.get(props.key);
  let node = found;
  const isNew = !found || found.drawn?.tag !== tag || found.keyed !== props.key;
  if (isNew) {
    node = inSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    node.keyed = props.key;
  }
  const before = node.drawn?.props || {};
  if (!props.foreign) patch(node, children, inSvg);
  for (const name in before) if (!(name in props)) set(node, name, null, before[name]);
  for (const name in props) set(node, name, props[name], before[name]);
  node.drawn = wanted;
  if (isNew && props.made) props.made(node);
  // What another library draws into is its own, and it is told of other data only.
  if (props.foreign && props.foreign.data !== before.foreign?.data) props.foreign.draw(node, props.foreign.data);
  return node;
}

function set(node, name, value, before) {
  if (name === "key" || name === "made" || name === "foreign") return;
  if (PROPERTIES.has(name)) {
    if (node[name] !== value) node[name] = value ?? "";
  } else if (value === before) {
    return;
  } else if (name.startsWith("on")) {
    node[name] = value;
  } else if (name === "style") {
    for (const rule in value) node.style.setProperty(rule, value[rule]);
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : visible(String(value)));
  }
}
