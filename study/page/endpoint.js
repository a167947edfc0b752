// What does one end look like now: its call, its mask, its levels, its machines?

const BITS = { r: "reading", w: "writing" };
const LEVELS = [
  ["buffered", "buffered", "bytes read from the socket and not taken yet"],
  ["queued", "queued", "bytes to send that the kernel has not taken yet"],
  ["in_flight", "in flight", "requests without their reply"],
  ["waiting", "waiting", "requests that have not begun to leave"],
  ["subscriptions", "subscribed", "subscriptions of this connection"],
  ["undelivered", "to deliver", "published messages that wait in the queues of its subscriptions"],
];

/** What a call returned; with what a sending was asked for if that is more. */
function outcome(call) {
  if (typeof call.result === "string") return call.result;
  const sent = call.stream !== undefined && call.stream === call.side && call.result < call.asked;
  return sent ? `${count(call.result)} of ${count(call.asked)}` : count(call.result);
}

class Endpoint {
  constructor(side, connection, history) {
    this.side = side;
    this.history = history;
    const end = connection.ends[side];
    this.diagrams = [new Diagram("RECEIVE", side), new Diagram("LIFECYCLE", side)];
    this.deliveries = end.delivers ? new Deliveries(side) : null;
    this.call = el("code.call");
    this.mask = el("span.mask");
    this.levels = el("div.gauges");
    this.timers = el("span.timers");
    this.woken = el("span");
    this.ending = el("span.ending");
    this.bars = {};
    for (const [name, label, title] of LEVELS) {
      if (name === "waiting" && side === 1) continue;
      if ((name === "subscriptions" || name === "undelivered") && !history.subscribes[side]) continue;
      const fill = el("span.fill"), value = el("output");
      this.bars[name] = [fill, value];
      this.levels.append(el("label", { title }, label, el("span.bar", null, fill), value));
    }
    const fact = (name, title, ...children) => el("div.fact", { title }, el("dt", null, name), el("dd", null, ...children));
    this.node = el(`section.end.${SIDES[side]}`, { "aria-label": SIDES[side] },
      el("h2", null, el("span.badge", null, SIDES[side]), el("span.address", null, end.local || "?"), this.ending),
      el("dl", null,
        fact("woken by", "what the selector said, to begin this turn", this.woken),
        fact("last call", "the last system call of this end", this.call),
        fact("selector", "what the selector watches for: before and after the last change", this.mask),
        fact("timers", "which timers run", this.timers)),
      this.levels, el("div.machines", null, ...this.diagrams.map((diagram) => diagram.node),
        this.deliveries && this.deliveries.node));
  }

  show(state, index) {
    const side = state.sides[this.side];
    const events = this.history.events;
    const acting = index >= 0 && events[index].side === this.side;
    const shown = [acting ? index : -1, side.step, side.call, side.masked, side.levelled, side.woken, side.row.RECEIVE, side.row.LIFECYCLE, side.delivered].join();
    if (shown === this.shown) return;
    this.shown = shown;
    for (const diagram of this.diagrams) {
      const row = side.row[diagram.machine];
      diagram.show(side.state[diagram.machine], row < 0 ? null : events[row], row >= 0 && row === index);
    }
    if (this.deliveries) {
      this.deliveries.show(side.deliveries, side.moved, events, index);
      if (side.delivered === index && index >= 0) this.reveal(this.deliveries.node);
    }
    this.node.classList.toggle("acting", acting);
    this.woken.textContent = side.woken < 0 ? (side.step > 1 ? "a timer or a callback" : side.step ? "nothing: it begins" : "–")
      : { r: "readable", w: "writable", rw: "readable and writable" }[events[side.woken].ready];
    this.woken.className = side.woken === index ? "changed" : "";
    const call = side.call < 0 ? null : events[side.call];
    this.call.textContent = call ? `${call.call} → ${outcome(call)}` : "–";
    this.call.title = call && call.asked !== undefined ? `asked for ${plural(call.asked, "byte")}` : "";
    this.call.classList.toggle("changed", side.call === index && index >= 0);
    this.call.classList.toggle("failed", call !== null && call.flag === "error");
    this.call.classList.toggle("refused", call !== null && call.flag === "again");
    this.showMask(side, index);
    for (const [name, [fill, value]] of Object.entries(this.bars)) {
      const level = side.levels[name] || 0;
      fill.style.width = `${(100 * level) / this.history.most[this.side][name]}%`;
      value.textContent = count(level);
    }
    this.levels.classList.toggle("changed", side.levelled === index && index >= 0);
    const timers = side.levels.timers || [];
    this.timers.replaceChildren(...(timers.length ? timers.map((name) => el("span.timer", null, name)) : ["none"]));
    this.ending.textContent = side.ended ? `● ${side.ended}` : "";
    this.ending.title = side.ended ? `it has ended: ${side.ended}` : "";
  }

  /** Three machines are higher than most windows: have the one that moves in sight. */
  reveal(node) {
    const column = this.node.getBoundingClientRect(), box = node.getBoundingClientRect();
    if (this.node.scrollHeight > this.node.clientHeight) this.node.scrollTop += Math.max(0, box.bottom + 8 - column.bottom);
  }

  showMask(side, index) {
    const bits = (mask) => el("span.bits", { "aria-label": [...mask].map((bit) => BITS[bit]).join(" and ") || "nothing" },
      ...Object.keys(BITS).map((bit) => el(mask.includes(bit) ? "span.bit.on" : "span.bit", { title: BITS[bit] }, mask.includes(bit) ? bit : "–")));
    const [before, after] = side.mask;
    if (this.bits !== before + ">" + after) this.mask.replaceChildren(bits(before), " → ", bits(after));
    this.bits = before + ">" + after;
    this.mask.classList.toggle("changed", side.masked === index && index >= 0);
  }
}
