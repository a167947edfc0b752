// Which events are there, and where among them is the reader?
//
// A list of any length: only the rows in sight exist.

const EVENT_ROW = 22;

class EventList {
  constructor(history, go) {
    this.history = history;
    this.index = -1;
    this.height = this.top = 0;
    this.first = this.last = -1;
    this.there = new Map(); // the rows in sight, by their event
    this.rows = el("div.rows");
    this.space = el("div.space", null, this.rows);
    this.space.style.height = `${history.events.length * EVENT_ROW}px`;
    this.node = el("div.events", { tabindex: 0, role: "listbox", "aria-label": "events", onscroll: () => this.scrolled() }, this.space);
    this.node.addEventListener("click", (click) => {
      const row = click.target.closest("[data-index]");
      if (row) go(Number(row.dataset.index));
    });
  }

  measure() {
    this.height = this.node.clientHeight;
  }

  show(index) {
    this.index = index;
    const place = index * EVENT_ROW;
    if (place < this.top + EVENT_ROW || place + 2 * EVENT_ROW > this.top + this.height) {
      const most = this.history.events.length * EVENT_ROW - this.height;
      this.top = Math.max(0, Math.min(place - this.height / 2, most));
      this.node.scrollTop = this.top;
    }
    this.draw();
  }

  scrolled() {
    const top = this.node.scrollTop;
    if (Math.abs(top - this.top) < 1) return; // our own doing
    this.top = top;
    this.draw();
  }

  /** The rows in sight; those that were there already stay, since making them costs a layout each. */
  draw() {
    const first = Math.max(0, Math.floor(this.top / EVENT_ROW) - 2);
    const last = Math.min(this.history.events.length, first + Math.ceil(this.height / EVENT_ROW) + 5);
    const there = new Map();
    for (let index = first; index < last; index++) there.set(index, this.there.get(index) || this.row(index));
    if (first !== this.first || last !== this.last) {
      this.rows.style.transform = `translateY(${first * EVENT_ROW}px)`;
      this.rows.replaceChildren(...there.values());
      [this.first, this.last] = [first, last];
    }
    this.there = there;
    for (const [index, node] of there) {
      node.classList.toggle("later", index > this.index);
      if (node.classList.toggle("here", index === this.index) !== (node.getAttribute("aria-selected") === "true")) {
        node.setAttribute("aria-selected", index === this.index ? "true" : "false");
      }
    }
    this.node.setAttribute("aria-activedescendant", `event-${this.index}`);
  }

  row(index) {
    const event = this.history.events[index];
    const before = this.history.events[index - 1];
    const begins = !before || before.step !== event.step || before.side !== event.side;
    return el(`div.event.${SIDES[event.side]}.${event.flag || event.name}${begins ? ".begins" : ""}`,
      { id: `event-${index}`, role: "option", "aria-selected": "false", "data-index": index, title: says(event) },
      el("span.time", null, event.time.toFixed(3)), el("span.badge", null, SIDES[event.side][0].toUpperCase()),
      el("span.glyph", { "aria-hidden": "true" }, glyph(event)), el("span.says", null, says(event)));
  }
}
