// What does the trace say, and how is it looked up?
//
// The data is what study/view.py prepared. Nothing in it is trusted to be markup: everything that
// is shown goes through `el`, which makes text nodes and sets attributes, never HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SIDES = ["client", "server"];
const WAY = ["client → server", "server → client"];

/** A string of the table. */
const text = (index) => DATA.strings[index];

/** An event in words. */
const says = (event) => text(event.says) + (event.error ? ` It has an error reply in it: ${event.error}.` : "");

const byId = (id) => document.getElementById(id);

/** An element: `el("p.note", {title: "why"}, "text", child)`; a child that is null is left out. */
function el(kind, attributes, ...children) {
  const [tag, ...classes] = kind.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const count = (number) => number.toLocaleString("en-US");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** Milliseconds, as precise as they were recorded. */
const ms = (value) => `${value.toLocaleString("en-US", { minimumFractionDigits: 3, maximumFractionDigits: 3 })} ms`;

/** The first index in sorted `list` whose value is above `value`. */
function above(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The marks of an event for the jump keys: any of "transition", "error", "again", "wake". */
function marks(event) {
  const found = [];
  if (event.name === "transition") found.push("transition");
  if (event.name === "wake") found.push("wake");
  if (event.flag) found.push(event.flag);
  return found;
}

/** One character for the kind of an event, so that colour is not all that tells them apart. */
function glyph(event) {
  if (event.flag === "error") return "✗";
  if (event.flag === "again") return "⊘";
  if (event.name === "syscall") return event.stream === undefined ? "ƒ" : event.stream === event.side ? "↑" : "↓";
  return { connection: "○", wake: "☼", transition: "◆", mask: "◫", levels: "≡", ended: "●" }[event.name] || "·";
}

/** A colour of the style sheet as a canvas needs it. */
function colour(name) {
  const probe = byId("live");
  probe.style.color = `var(--${name})`;
  const value = getComputedStyle(probe).color;
  probe.style.color = "";
  return value;
}
