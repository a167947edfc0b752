// What is on the screen: all connections, or one? And what does each key do?
//
// The address keeps both: #c=KEY&e=INDEX, so that a position can be linked. It is written when the
// reader rests, since browsers count how often it changes.

const HELP = [
  ["→ ←", "the next event, the one before"],
  ["↓ ↑", "the next turn of a loop, the one before (in the list: the next connection)"],
  ["space", "play, pause"],
  ["m", "the next call that moves a message's first byte on its way; with shift the one before"],
  ["t e a w", "the next transition, error, EAGAIN, wake; with shift the one before"],
  ["Home End", "the first event, the last"],
  ["+ - 0 x", "the axis: nearer, further, all; time or numbers of events"],
  ["[ ]", "the connection before, the next"],
  ["o", "all connections; Enter opens the chosen one"],
  ["/", "filter the connections by text"],
  ["d", "light or dark"],
  ["?", "this list; Escape closes it"],
];

const overview = new Connections((number) => openConnection(number));
let player = null;
let number = -1;
let resting = 0;

function say(words) {
  byId("live").textContent = words;
}

function address() {
  return number < 0 ? "#" : `#c=${encodeURIComponent(DATA.connections[number].key)}&e=${player.index}`;
}

function rest() {
  clearTimeout(resting);
  resting = setTimeout(() => window.history.replaceState(null, "", address()), 250);
}

function moved(where) {
  if (!where.playing) say(says(where.history.events[where.index]));
  rest();
}

function openConnection(which, index = 0) {
  if (player && player.playing) player.toggle();
  number = which;
  overview.chosen = Math.max(0, overview.shown.findIndex((one) => one.number === which));
  const connection = DATA.connections[which];
  player = new Player(connection, moved);
  byId("one").replaceChildren(player.node);
  byId("list").hidden = true;
  byId("one").hidden = false;
  const cells = overview.all[which].cells;
  byId("title").textContent = `${cells[1]} → ${cells[2]}`;
  document.title = `${cells[1]} → ${cells[2]}`;
  player.resized();
  player.go(index);
  player.list.node.focus({ preventScroll: true });
}

function showList() {
  if (player && player.playing) player.toggle();
  player = null;
  number = -1;
  byId("one").hidden = true;
  byId("one").replaceChildren();
  byId("list").hidden = false;
  byId("title").textContent = "all connections";
  document.title = DATA.files.map(([name]) => name).join(" and ");
  overview.draw();
  overview.list.focus({ preventScroll: true });
  rest();
}

/** Go where the address says; an address that leads nowhere leads to the list, or to the only connection. */
function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const which = DATA.connections.findIndex((connection) => connection.key === wanted.get("c"));
  const index = Number(wanted.get("e"));
  if (which >= 0) openConnection(which, Number.isInteger(index) ? index : 0);
  else if (DATA.connections.length === 1) openConnection(0);
  else showList();
}

function keys() {
  const dialog = byId("keys");
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  redraw();
}

function redraw() {
  if (player) player.resized();
  else overview.draw();
}

const ALWAYS = { "?": keys, d: theme, o: showList, "/": () => { showList(); overview.text.focus(); } };
const IN_LIST = {
  ArrowDown: () => overview.move(1),
  ArrowUp: () => overview.move(-1),
  PageDown: () => overview.move(20),
  PageUp: () => overview.move(-20),
  Home: () => overview.move(-Infinity),
  End: () => overview.move(Infinity),
  Enter: () => overview.shown.length && openConnection(overview.shown[overview.chosen].number),
};
const IN_ONE = {
  ArrowRight: () => player.go(player.index + 1),
  ArrowLeft: () => player.go(player.index - 1),
  ArrowDown: () => player.go(player.history.turn(player.index, false)),
  ArrowUp: () => player.go(player.history.turn(player.index, true)),
  Home: () => player.go(0),
  End: () => player.go(Infinity),
  " ": () => player.toggle(),
  "+": () => player.lanes.zoom(0.5),
  "=": () => player.lanes.zoom(0.5),
  "-": () => player.lanes.zoom(2),
  "0": () => player.lanes.fit(),
  x: () => player.changeAxis(),
  "[": () => openConnection(Math.max(0, number - 1)),
  "]": () => openConnection(Math.min(DATA.connections.length - 1, number + 1)),
};

document.addEventListener("keydown", (key) => {
  if (key.ctrlKey || key.metaKey || key.altKey || byId("keys").open && key.key !== "?") return;
  const typing = key.target.matches("input[type=search], select");
  if (typing) {
    if (key.key === "Escape" || (key.key === "Enter" && key.target === overview.text)) overview.list.focus();
    return;
  }
  if (key.target.matches("button, input[type=checkbox]") && (key.key === " " || key.key === "Enter")) return;
  let act = ALWAYS[key.key] || (player ? IN_ONE : IN_LIST)[key.key];
  if (player && KINDS[key.key.toLowerCase()]) act = () => player.jump(key.key.toLowerCase(), key.shiftKey);
  if (!act) return;
  key.preventDefault();
  act();
});

byId("keys").append(el("h2", null, "the keys"), el("dl", null, ...HELP.flatMap(([key, what]) => [el("dt", null, el("kbd", null, key)), el("dd", null, what)])),
  el("h2", null, "the signs"), el("p", null, "↑ sent  ↓ received  ƒ another call  ◆ transition  ☼ wake  ◫ mask  ≡ levels  ✗ error  ⊘ EAGAIN  ○ begins  ● has ended"),
  el("h2", null, "the bytes"), el("p", null, el("span.byte.prefix", null, "prefix"), " ", el("span.byte.header", null, "header"), " ", el("span.byte.content", null, "content"), " ",
    el("span.byte.lost", null, "lost"), " ", el("span.byte.content.newest", null, "newest"), " ", el("span.byte.content.way", null, "sent, not read yet")),
  el("button", { type: "button", onclick: keys }, "close"));
byId("help").addEventListener("click", keys);
byId("theme").addEventListener("click", theme);
byId("overview").addEventListener("click", showList);
byId("overview").hidden = DATA.connections.length === 1;
byId("list").append(overview.node);
byId("files").textContent = DATA.files.map(([name, side]) => `${side}: ${name}`).join("   ");
byId("files").title = `time 0 is ${new Date(DATA.epoch).toISOString()}`;
for (const notice of DATA.notices) {
  const close = el("button", { type: "button", "aria-label": "hide this notice", onclick: () => { line.remove(); redraw(); } }, "×");
  const line = el("p", null, `⚠ ${notice} `, close);
  byId("notices").append(line);
}
window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.addEventListener("hashchange", () => { if (location.hash !== address()) follow(); });
follow();
// For a closer look, from the browser's console.
window.study = { DATA, overview, get player() { return player; } };
