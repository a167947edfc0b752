// Which connections are there, when did each live, and which are worth opening?
//
// One row per connection, only those in sight exist; beside the words a canvas with all lives on
// one time axis. The filters are joined by "and".

const LIFE_ROW = 26;
const MACHINE_STATES = DATA.machines.LIFECYCLE;

class Connections {
  constructor(open) {
    this.open = open;
    this.all = DATA.connections.map((connection, number) => summary(connection, number));
    this.least = Math.min(0, ...this.all.slice(0, 1).map((one) => one.from));
    this.most = 1;
    for (const one of this.all) {
      this.least = Math.min(this.least, one.from);
      this.most = Math.max(this.most, one.to);
    }
    this.chosen = 0;
    this.text = el("input", { type: "search", placeholder: "text: an address, an error, a number  (/)", "aria-label": "filter by text", oninput: () => this.filter() });
    this.state = choice("last state", MACHINE_STATES, () => this.filter());
    const reasons = [...new Set(this.all.flatMap((one) => one.reasons))].sort();
    this.reason = choice("close reason", reasons, () => this.filter());
    this.bad = el("input", { type: "checkbox", onchange: () => this.filter() });
    this.found = el("output.found", { "aria-live": "polite" });
    this.rows = el("div.rows");
    this.canvas = el("canvas.lives", { "aria-hidden": "true" });
    this.space = el("div.space", null, this.rows, this.canvas);
    this.list = el("div.lives", { tabindex: 0, role: "listbox", "aria-label": "connections", onscroll: () => this.draw() }, this.space);
    this.list.addEventListener("click", (click) => {
      const place = Math.floor((click.clientY - this.space.getBoundingClientRect().top) / LIFE_ROW);
      if (place >= 0 && place < this.shown.length) this.open(this.shown[place].number);
    });
    this.node = el("div.overview", null,
      el("form.filters", { onsubmit: (submit) => submit.preventDefault(), role: "search" }, this.text, this.state, this.reason,
        el("label", null, this.bad, " has errors"), this.found),
      el("div.row.titles", { "aria-hidden": "true" }, ...["connection", "client", "server", "last state", "closed because", "messages", "errors", "events"].map((title) => el("span", null, title)), el("span.axis")),
      this.list);
    this.filter();
  }

  filter() {
    const wanted = this.text.value.trim().toLowerCase();
    this.shown = this.all.filter((one) =>
      (!wanted || one.words.includes(wanted))
      && (!this.state.value || one.states.includes(this.state.value))
      && (!this.reason.value || one.reasons.includes(this.reason.value))
      && (!this.bad.checked || one.errors > 0));
    this.chosen = Math.min(this.chosen, Math.max(0, this.shown.length - 1));
    this.found.textContent = `${count(this.shown.length)} of ${plural(this.all.length, "connection")}`;
    this.space.style.height = `${this.shown.length * LIFE_ROW}px`;
    this.draw();
  }

  move(by) {
    this.chosen = Math.max(0, Math.min(this.shown.length - 1, this.chosen + by));
    const top = this.chosen * LIFE_ROW;
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    if (top + LIFE_ROW > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + LIFE_ROW - this.list.clientHeight;
    this.draw();
  }

  draw() {
    const height = this.list.clientHeight;
    if (!height) return;
    const first = Math.floor(this.list.scrollTop / LIFE_ROW);
    const seen = this.shown.slice(first, first + Math.ceil(height / LIFE_ROW) + 1);
    this.rows.style.transform = this.canvas.style.transform = `translateY(${first * LIFE_ROW}px)`;
    this.rows.replaceChildren(...seen.map((one, place) => this.row(one, first + place)));
    const bars = this.rows.querySelector(".axis");
    const wide = bars ? bars.clientWidth : 0;
    const scale = devicePixelRatio || 1;
    this.canvas.width = wide * scale;
    this.canvas.height = seen.length * LIFE_ROW * scale;
    this.canvas.style.width = `${wide}px`;
    this.canvas.style.height = `${seen.length * LIFE_ROW}px`;
    const context = this.canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const x = (time) => 6 + ((time - this.least) / (this.most - this.least || 1)) * (wide - 12);
    const ours = [colour("out"), colour("in")], bad = colour("bad");
    seen.forEach((one, place) => {
      const middle = place * LIFE_ROW + LIFE_ROW / 2;
      one.spans.forEach((span, side) => {
        if (!span) return;
        context.fillStyle = ours[side];
        context.fillRect(x(span[0]), middle + (side ? 1 : -5), Math.max(2, x(span[1]) - x(span[0])), 4);
      });
      for (const time of one.troubles) {
        context.fillStyle = bad;
        context.fillRect(x(time) - 1, middle - 9, 2, 18);
      }
    });
  }

  row(one, place) {
    const here = place === this.chosen;
    return el(`div.row.life${here ? ".here" : ""}`, { role: "option", "aria-selected": here ? "true" : "false" },
      ...one.cells.map((cell, k) => el(k === 6 && one.errors ? "span.bad" : "span", { title: cell }, cell)), el("span.axis"));
  }
}

/** What the list shows of a connection, worked out once. */
function summary(connection, number) {
  const ends = connection.ends;
  const known = ends.filter((end) => end);
  const [client, server] = ends;
  const spans = ends.map(() => null), troubles = [];
  let from = Infinity, to = -Infinity;
  for (const event of connection.events) {
    const span = spans[event.side] || (spans[event.side] = [event.time, event.time]);
    span[0] = Math.min(span[0], event.time);
    span[1] = Math.max(span[1], event.time);
    from = Math.min(from, event.time);
    to = Math.max(to, event.time);
    if (event.flag === "error" && troubles.length < 50) troubles.push(event.time);
  }
  const codes = new Set(connection.streams[1].regions.map((region) => region.error).filter((code) => code));
  const states = [...new Set(known.map((end) => end.state))];
  const reasons = [...new Set(known.map((end) => end.reason || (end.ended ? "no reason told" : "still open")))];
  const messages = connection.streams.map((stream) => stream.regions.filter((r) => r.kind === "content" && r.expected === undefined).length);
  const cells = [
    ends.map((end, side) => (end ? `${SIDES[side][0]}${end.group}` : "")).filter((word) => word).join(" · "),
    (client ? client.local : server.peer) || "?",
    (client ? client.peer : server.local) || "?",
    states.join(" / "),
    reasons.join(" / "),
    `${count(messages[0])} ↑ ${count(messages[1])} ↓`,
    connection.errors ? `✗ ${connection.errors}${codes.size ? ` ${[...codes].join(" ")}` : ""}` : "0",
    count(connection.events.length),
  ];
  return {
    number, spans, troubles, states, reasons, cells, from, to,
    errors: connection.errors,
    words: [...cells, ...codes].join(" ").toLowerCase(),
  };
}

function choice(label, values, changed) {
  return el("select", { "aria-label": label, onchange: changed }, el("option", { value: "" }, `${label}: any`),
    ...values.map((value) => el("option", { value }, value)));
}
