// When did what happen, at both ends, on one axis?
//
// A lane for each end, a mark for each event, and a line from every sending to the reading of its
// bytes. The axis is time, or the number of the event: a burst of events within microseconds is one
// stroke on the first, and as wide as any other on the second. All that is drawn once per window of
// the axis; what moves while the reader steps is an element of its own above it.

const LANES = { height: 96, left: 58, right: 10, top: 18 };

/** What an axis measures: where an event stands on it, how near one can look, how much is in sight at first, and what a tick says. */
const AXES = {
  time: { name: "time", place: (events, index) => events[index].time, nearest: 0.05, atFirst: Infinity, tick: (events, time) => `${+time.toFixed(4)} ms` },
  number: { name: "events", place: (events, index) => index, nearest: 8, atFirst: 300, tick: (events, index) => `#${count(index + 1)} ${events[index].time.toFixed(1)} ms` },
};
let chosenAxis = null; // as the reader chose last, for the connections to come

/** By time, unless so much happens at once that half of the events would share a pixel. */
function fittingAxis(events) {
  let least = Infinity, most = -Infinity;
  for (const event of events) {
    least = Math.min(least, event.time);
    most = Math.max(most, event.time);
  }
  const pixels = new Set(events.map((event) => Math.round(((event.time - least) / (most - least || 1)) * 1000)));
  return pixels.size * 2 > events.length ? AXES.time : AXES.number;
}

class Lanes {
  constructor(history, go) {
    this.history = history;
    this.events = history.events;
    this.links = this.link();
    this.index = -1;
    this.canvas = el("canvas.lanes", { tabindex: 0, role: "img" });
    this.ring = el("span.ring");
    this.cursor = el("div.cursor", { hidden: true }, this.ring);
    this.wide = 0;
    this.axis = chosenAxis || fittingAxis(this.events);
    this.measure();
    this.canvas.addEventListener("click", (click) => go(this.nearest(click)));
    this.canvas.addEventListener("wheel", (wheel) => {
      if (!wheel.ctrlKey && !wheel.shiftKey) return;
      wheel.preventDefault();
      this.zoom(wheel.deltaY + wheel.deltaX < 0 ? 0.7 : 1.4);
    }, { passive: false });
  }

  /** Lay all events out on the chosen axis; times of two ends are not quite sorted. */
  measure() {
    this.places = this.events.map((_, index) => this.axis.place(this.events, index));
    let least = Infinity, most = -Infinity;
    for (const place of this.places) {
      if (place < least) least = place;
      if (place > most) most = place;
    }
    if (!this.events.length) [least, most] = [0, 1];
    this.whole = [least, Math.max(most, least + 2 * this.axis.nearest)];
    this.window = [least, Math.min(this.whole[1], least + this.axis.atFirst)];
    this.canvas.setAttribute("aria-label", `the events of both ends by ${this.axis.name}; + and - zoom, 0 shows all, x changes the axis`);
  }

  /** Time instead of numbers, or the other way round. */
  change() {
    this.axis = chosenAxis = this.axis === AXES.time ? AXES.number : AXES.time;
    this.measure();
    this.zoom(1); // about where the reader is
  }

  /** For each reading, the sending of its last byte: [from event, to event]. */
  link() {
    const sends = [[[], []], [[], []]]; // for each stream: where the bytes of each call end, and its event
    const found = [];
    this.events.forEach((event, index) => {
      if (event.name !== "syscall" || event.stream === undefined || !(event.result > 0)) return;
      const [reach, who] = sends[event.stream];
      const end = event.offset + event.result;
      if (event.stream === event.side) {
        reach.push(end);
        who.push(index);
      } else {
        const place = above(reach, end - 1);
        if (place < reach.length) found.push([who[place], index]);
      }
    });
    return found;
  }

  zoom(factor) {
    const [from, to] = this.window, middle = this.index < 0 ? (from + to) / 2 : this.places[this.index];
    const width = Math.min((to - from) * factor, this.whole[1] - this.whole[0]);
    this.centre(middle, Math.max(width, this.axis.nearest));
    this.draw();
  }

  fit() {
    this.window = [...this.whole];
    this.draw();
  }

  centre(middle, width) {
    const from = Math.max(this.whole[0], Math.min(middle - width / 2, this.whole[1] - width));
    this.window = [from, from + width];
  }

  show(index) {
    this.index = index;
    const [from, to] = this.window;
    if (index >= 0) {
      const place = this.places[index];
      if (place < from || place > to) {
        this.centre(place, to - from);
        this.draw();
        return;
      }
    }
    this.point();
  }

  x(place) {
    const [from, to] = this.window;
    return LANES.left + ((place - from) / (to - from)) * (this.wide - LANES.left - LANES.right);
  }

  y(side) {
    if (this.history.connection.ends.includes(null)) return LANES.top + 34;
    return LANES.top + (side === 0 ? 16 : 60);
  }

  nearest(click) {
    const box = this.canvas.getBoundingClientRect();
    const x = click.clientX - box.left, y = click.clientY - box.top;
    let best = 0, least = Infinity;
    this.events.forEach((event, index) => {
      const far = Math.abs(this.x(this.places[index]) - x) + Math.abs(this.y(event.side) - y) / 4;
      if (far < least) [best, least] = [index, far];
    });
    return best;
  }

  /** Draw what there is in the window, unless that is what stands there. */
  draw() {
    this.wide = this.canvas.clientWidth;
    if (!this.wide) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = this.wide * scale;
    this.canvas.height = LANES.height * scale;
    this.drawStill(this.canvas.getContext("2d"), scale);
    this.point();
  }

  /** How much of the right end of the first line the axis's buttons take. */
  taken() {
    const buttons = this.canvas.parentElement && this.canvas.parentElement.querySelector(".zoom");
    return buttons ? buttons.offsetWidth + 14 : 0;
  }

  /** Put the cursor where the reader is. */
  point() {
    this.cursor.hidden = this.index < 0 || !this.wide;
    if (this.cursor.hidden) return;
    const event = this.events[this.index];
    this.cursor.style.transform = `translateX(${this.x(this.places[this.index])}px)`;
    this.ring.style.transform = `translateY(${this.y(event.side)}px)`;
  }

  drawStill(context, scale) {
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = "11px ui-monospace, monospace";
    const ink = colour("ink"), faint = colour("faint"), line = colour("line");
    const [from, to] = this.window;
    context.fillStyle = faint;
    context.strokeStyle = colour("edge");
    for (const place of ticks(from, to, this.wide / 130)) {
      if (this.axis === AXES.number && !this.events[place]) continue; // no half events
      const x = this.x(place), words = this.axis.tick(this.events, place);
      context.beginPath();
      context.moveTo(x, LANES.top - 4);
      context.lineTo(x, LANES.height);
      context.stroke();
      if (x + 3 + context.measureText(words).width < this.wide - this.taken()) context.fillText(words, x + 3, 10);
    }
    this.history.connection.ends.forEach((end, side) => {
      if (!end) return;
      context.strokeStyle = line;
      context.fillStyle = ink;
      context.fillText(SIDES[side], 6, this.y(side) + 4);
      context.beginPath();
      context.moveTo(LANES.left, this.y(side));
      context.lineTo(this.wide - LANES.right, this.y(side));
      context.stroke();
    });
    const streams = [colour("out"), colour("in")];
    context.globalAlpha = 0.75;
    for (const [sent, read] of this.links) {
      const one = this.events[sent], other = this.events[read];
      if (Math.max(this.places[sent], this.places[read]) < from || Math.min(this.places[sent], this.places[read]) > to) continue;
      context.strokeStyle = streams[one.side];
      context.beginPath();
      context.moveTo(this.x(this.places[sent]), this.y(one.side));
      context.lineTo(this.x(this.places[read]), this.y(other.side));
      context.stroke();
    }
    context.globalAlpha = 1;
    const colours = { error: colour("bad"), again: colour("warn"), transition: colour("lit-line"), wake: faint, syscall: ink, mask: line, levels: line, connection: ink, ended: ink };
    const drawn = new Set();
    for (const [index, event] of this.events.entries()) {
      if (this.places[index] < from || this.places[index] > to) continue;
      const kind = event.flag || event.name, x = this.x(this.places[index]), y = this.y(event.side);
      const place = `${kind}${event.side}${Math.round(x)}`;
      if (drawn.has(place)) continue;
      drawn.add(place);
      context.strokeStyle = context.fillStyle = colours[kind] || faint;
      mark(context, kind, x, y);
    }
  }
}

/** A mark with a shape of its own for each kind. */
function mark(context, kind, x, y) {
  context.lineWidth = 1.4;
  context.beginPath();
  if (kind === "transition") {
    context.moveTo(x, y - 4); context.lineTo(x + 4, y); context.lineTo(x, y + 4); context.lineTo(x - 4, y);
    context.fill();
  } else if (kind === "error") {
    context.lineWidth = 2.2;
    context.moveTo(x - 4, y - 12); context.lineTo(x + 4, y - 4); context.moveTo(x + 4, y - 12); context.lineTo(x - 4, y - 4);
    context.stroke();
  } else if (kind === "again") {
    context.arc(x, y - 8, 3.5, 0, 7);
    context.moveTo(x - 3, y - 5); context.lineTo(x + 3, y - 11);
    context.stroke();
  } else if (kind === "wake") {
    context.moveTo(x, y - 9); context.lineTo(x, y);
    context.stroke();
  } else if (kind === "syscall") {
    context.moveTo(x, y - 5); context.lineTo(x, y + 5);
    context.stroke();
  } else if (kind === "connection" || kind === "ended") {
    context.arc(x, y, 4, 0, 7);
    if (kind === "ended") context.fill();
    else context.stroke();
  } else {
    context.moveTo(x, y); context.lineTo(x, y + 4);
    context.stroke();
  }
  context.lineWidth = 1;
}

/** Round numbers between `from` and `to`, about `many` of them. */
function ticks(from, to, many) {
  const rough = (to - from) / Math.max(1, many);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough);
  const found = [];
  for (let k = Math.ceil(from / step); k * step <= to && found.length < 200; k++) found.push(k * step);
  return found;
}
