// Which bytes have gone by, and which part of a frame is each?
//
// One pane per direction. A byte is drawn once its sender has sent it; until its receiver has read
// it, it is on the way. The parts were found in Python from the bytes before each, so the colour of
// a byte never depends on bytes that come later.

const ROW = 17; // pixels
const KEEP = 100000; // rows that can be scrolled to; earlier ones are seen by stepping back
const PARTS = ["prefix", "header", "content"];

class Stream {
  constructor(packed) {
    this.length = packed.length;
    this.regions = packed.regions;
    this.starts = packed.regions.map((region) => region.offset);
    this.byPart = new Map(packed.regions.map((region) => [`${region.kind} ${region.message}`, region]));
    this.runs = packed.runs.map(([begin, data]) => [begin, Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]);
    this.runStarts = this.runs.map(([begin]) => begin);
  }

  /** The byte at `offset`, or -1 if it was not kept. */
  byte(offset) {
    const place = above(this.runStarts, offset) - 1;
    if (place < 0) return -1;
    const [begin, data] = this.runs[place];
    return offset < begin + data.length ? data[offset - begin] : -1;
  }

  regionAt(offset) {
    return above(this.starts, offset) - 1;
  }

  /** Which message that is: an event, or behind events the reply to which request, as far as `reached` bytes tell. */
  which(message, reached) {
    const header = this.byPart.get(`header ${message}`);
    if (!header || header.expected !== undefined || reached < header.offset + header.length) return `message ${message}`;
    return `message ${message}${about(header)}`;
  }

  /** The parts of message `message`, as far as `reached` bytes tell: [{kind, have, want, region}]. */
  message(message, reached) {
    const found = [];
    let want = 2;
    for (const kind of PARTS) {
      const region = this.byPart.get(`${kind} ${message}`) || null;
      const have = region ? Math.max(0, Math.min(region.length, reached - region.offset)) : 0;
      found.push({ kind, have, want, region });
      const whole = region && region.expected === undefined && have === region.length;
      if (!whole) want = null;
      else want = region.next === undefined ? null : region.next;
    }
    return found;
  }
}

/** Of a part behind the prefix: is its message an event, or a reply behind events? These answer no request. */
function about(region) {
  if (region.answers !== undefined) return ` (answers ${region.answers})`;
  return region.kind === "header" && region.event ? " (event)" : "";
}

class BytesPane {
  constructor(which, packed, ends) {
    this.which = which;
    this.stream = new Stream(packed);
    this.ends = ends;
    this.counts = el("span.counts");
    this.note = el("span.note", { hidden: true }, " ·· not kept: see --trace-bytes");
    this.frame = el("div.frame", { role: "img" });
    this.rows = el("div.rows");
    this.space = el("div.space", null, this.rows);
    this.scroller = el("div.hex", { tabindex: 0, role: "region", "aria-label": `bytes ${WAY[which]}`, onscroll: () => this.scrolled() }, this.space);
    this.node = el("section.bytes", null,
      el("h2", null, WAY[which], this.counts, this.note), this.frame, this.scroller);
    this.per = 16;
    this.height = this.top = 0;
    this.shown = "";
    this.from = this.to = this.first = this.sent = this.received = 0;
  }

  /** How many bytes fit into a row, and how many rows into the pane? Asked once per size: asking costs a layout. */
  measure() {
    this.height = this.scroller.clientHeight;
    this.shown = "";
    const letters = (this.scroller.clientWidth - 24) / 6.63;
    this.per = [32, 24, 16, 12, 8].find((per) => 8 + per * 4 <= letters) || 8;
  }

  show(state) {
    const [sender, receiver] = this.which === 0 ? state.sides : [...state.sides].reverse();
    this.sent = sender ? sender.out : receiver.in;
    this.received = receiver ? receiver.in : this.sent;
    this.sent = Math.max(this.sent, this.received);
    const newest = state.newest && state.newest.stream === this.which ? state.newest : null;
    [this.from, this.to] = newest ? [newest.from, newest.to] : [0, 0];
    const shown = [this.sent, this.received, this.from, this.to].join();
    if (shown === this.shown) return;
    this.shown = shown;
    this.node.classList.toggle("moved", newest !== null);
    const way = this.sent - this.received;
    this.counts.textContent = (sender ? ` ${count(this.sent)} sent` : "") + (sender && receiver ? ", " : " ")
      + (receiver ? `${count(this.received)} read` : "") + (way && receiver ? `, ${count(way)} on the way` : "");
    this.showFrame(newest);
    const rows = Math.ceil(this.sent / this.per);
    this.first = Math.max(0, Math.min(rows - KEEP, Math.floor((newest ? newest.from : this.sent) / this.per) - 16));
    this.space.style.height = `${Math.min(KEEP, rows - this.first) * ROW}px`;
    this.scrollTo(newest ? newest.from : this.sent, newest ? newest.to : this.sent);
    this.draw();
  }

  /** The newest bytes are in sight: all of them, or else the first. */
  scrollTo(from, to) {
    const height = this.height;
    const top = (Math.floor(from / this.per) - this.first) * ROW;
    const bottom = (Math.ceil(to / this.per) - this.first) * ROW;
    const most = Math.max(0, Math.ceil(this.sent / this.per - this.first) * ROW - height);
    if (top < this.top || bottom > this.top + height) {
      this.top = Math.max(0, bottom - top > height ? top - ROW : bottom - height);
    }
    this.top = Math.min(this.top, most);
    this.scroller.scrollTop = this.top;
  }

  scrolled() {
    const top = this.scroller.scrollTop;
    if (Math.abs(top - this.top) < 1) return; // our own doing
    this.top = top;
    this.draw();
  }

  /** Inside the message that is being read, or at the end of what was sent. */
  unread() {
    const region = this.received ? this.stream.regions[this.stream.regionAt(this.received - 1)] : null;
    const ends = region && region.kind === "content" && region.expected === undefined && region.offset + region.length <= this.received;
    return region && !ends ? this.received : this.sent;
  }

  /** How far has the message come that the newest bytes belong to? */
  showFrame(newest) {
    this.frame.replaceChildren();
    const reached = newest ? newest.to : this.unread();
    const region = reached ? this.stream.regions[this.stream.regionAt(reached - 1)] : null;
    if (!region) {
      this.frame.append(el("span.none", null, this.sent ? "nothing is known of these bytes" : "no byte yet"));
      this.frame.setAttribute("aria-label", "no byte yet");
      return;
    }
    const parts = this.stream.message(region.message, reached);
    const which = this.stream.which(region.message, reached);
    this.frame.append(el("span.which", null, which));
    const words = [];
    for (const { kind, have, want } of parts) {
      const share = want ? (100 * have) / want : have ? 100 : 0;
      const amount = want === null && !have ? "?" : `${count(have)}/${want === null ? "?" : count(want)}`;
      words.push(`${kind} ${amount}`);
      const fill = el(`span.fill.${kind}`);
      fill.style.width = `${share}%`;
      this.frame.append(el(`span.slot.${kind}${have && have < want ? ".growing" : ""}`, { title: `${kind}: ${amount} bytes` },
        fill, el("span.label", null, `${kind} ${amount}`)));
    }
    if (region.kind === "lost") {
      words.push("the rest is lost");
      this.frame.append(el("span.slot.lost", null, el("span.label", null, "lost: thrown away")));
    }
    this.frame.setAttribute("aria-label", `${which}: ${words.join(", ")}`);
  }

  /** The rows that are in sight. */
  draw() {
    const top = Math.floor(this.top / ROW);
    const many = Math.ceil(this.height / ROW) + 1;
    const rows = [];
    this.missing = false;
    for (let row = this.first + top; row < this.first + top + many && row * this.per < this.sent; row++) rows.push(this.row(row));
    this.rows.style.transform = `translateY(${top * ROW}px)`;
    this.rows.replaceChildren(...rows);
    this.note.hidden = !this.missing;
  }

  row(number) {
    const begin = number * this.per, end = Math.min(begin + this.per, this.sent);
    const hex = el("span.pairs"), plain = el("span.plain");
    hex.style.width = `${this.per * 3 + 1}ch`;
    let offset = begin;
    while (offset < end) {
      const [kind, until, title] = this.piece(offset, end);
      let pairs = "", letters = "";
      for (let k = offset; k < until; k++) {
        const byte = this.stream.byte(k);
        if (byte < 0) this.missing = true;
        pairs += (byte < 0 ? "··" : byte.toString(16).padStart(2, "0")) + (k + 1 < until ? " " : "");
        letters += byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte === 32 ? "\u00a0" : "·";
      }
      hex.append(el(`span.byte.${kind}`, { title }, pairs), until < end ? " " : "");
      plain.append(el(`span.byte.${kind}`, { title }, letters));
      offset = until;
    }
    return el("div.row", null, el("span.offset", null, begin.toString(16).padStart(6, "0")), hex, plain);
  }

  /** The bytes from `offset` on that look alike: [classes, where they end, what they are]. */
  piece(offset, end) {
    const index = this.stream.regionAt(offset);
    const region = index < 0 ? null : this.stream.regions[index];
    let until = region ? Math.min(end, region.offset + region.length) : end;
    if (until <= offset) return ["unknown", end, "not known"];
    for (const edge of [this.from, this.to, this.received]) if (offset < edge && edge < until) until = edge;
    let kind = region ? region.kind : "unknown";
    if (region && region.message % 2) kind += ".odd";
    if (offset >= this.from && offset < this.to) kind += ".newest";
    if (offset >= this.received) kind += ".way";
    const title = region ? `${region.kind} of message ${region.message}, byte ${offset - region.offset} on`
      + (offset >= this.received ? "; sent, not read yet" : "") : "";
    return [kind, until, title];
  }
}
