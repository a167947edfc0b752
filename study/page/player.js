// Where in a connection is the reader, and how does one move?
//
// `go` is the only way to another event: it shows the state after it in every part of the view.

const SPEEDS = [1, 2, 5, 10, 30, 100];
const KINDS = { m: ["message", "message"], t: ["transition", "transition"], e: ["error", "error"], a: ["again", "EAGAIN"], w: ["wake", "wake"] };

class Player {
  constructor(connection, moved) {
    this.connection = connection;
    this.moved = moved;
    this.history = new History(connection);
    this.index = -1;
    this.playing = 0;
    const last = connection.events.length - 1;
    const go = (index) => this.go(index);
    this.ends = [0, 1].map((side) => connection.ends[side] && new Endpoint(side, connection, this.history));
    this.panes = [0, 1].map((which) => new BytesPane(which, connection.streams[which], connection.ends));
    this.list = new EventList(this.history, go);
    this.lanes = new Lanes(this.history, go);
    this.slider = el("input.slider", { type: "range", min: 0, max: last, "aria-label": "event", oninput: () => this.go(Number(this.slider.value)) });
    this.where = el("output.where");
    this.play = this.button("▶ play", "play or pause (space)", () => this.toggle());
    this.axis = this.button("", "the axis: time, or the number of the event (x)", () => this.changeAxis());
    this.speed = el("select", { "aria-label": "events per second", title: "events per second" }, ...SPEEDS.map((speed) => el("option", { value: speed, selected: speed === 5 }, `${speed}/s`)));
    this.now = el("section.what", { "aria-label": "what happened" });
    this.jumps = {};
    const jump = (key) => {
      const [kind, name] = KINDS[key];
      const many = this.history.jumps[kind].length;
      const [back, on] = [this.button("‹", `previous ${name} (shift ${key})`, () => this.jump(key, true)), this.button("›", `next ${name} (${key})`, () => this.jump(key, false))];
      back.disabled = on.disabled = !many;
      return el(`span.jump${many ? "" : ".none"}`, null, back, el("span", null, `${name} `, el("small", null, count(many))), on);
    };
    this.node = el("div.player", null,
      el("div.controls", { role: "toolbar", "aria-label": "where to" },
        this.button("|◂", "first (Home)", () => this.go(0)), this.button("◂", "back (←)", () => this.go(this.index - 1)), this.play,
        this.button("▸", "forward (→)", () => this.go(this.index + 1)), this.button("▸|", "last (End)", () => this.go(last)),
        this.speed, this.slider, this.where, ...Object.keys(KINDS).map(jump),),
      el("div.axis", null, this.lanes.canvas, this.lanes.cursor,
        el("span.jump.zoom", { title: "the axis" }, this.button("−", "show more (-)", () => this.lanes.zoom(2)), this.axis,
          this.button("+", "show less (+)", () => this.lanes.zoom(0.5)), this.button("all", "show all (0)", () => this.lanes.fit()))),
      el(`div.ends${this.ends.includes(null) ? ".alone" : ""}`, null, this.ends[0] && this.ends[0].node,
        el("div.middle", null, this.now, this.panes[0].node, this.panes[1].node, this.list.node), this.ends[1] && this.ends[1].node));
  }

  button(label, title, pressed) {
    return el("button", { type: "button", title, "aria-label": title, onclick: pressed }, label);
  }

  /** Show the state after event `index`. */
  go(index) {
    const events = this.history.events;
    index = Math.max(0, Math.min(events.length - 1, index));
    if (!events.length) return;
    this.index = index;
    const state = this.history.at(index);
    this.slider.value = index;
    this.slider.setAttribute("aria-valuetext", says(events[index]));
    this.where.textContent = `${count(index + 1)} of ${count(events.length)}`;
    for (const end of this.ends) if (end) end.show(state, index);
    for (const pane of this.panes) pane.show(state);
    this.list.show(index);
    this.lanes.show(index);
    this.tell(events[index]);
    this.moved(this);
  }

  /** The event in words, with its bytes' parts and the line that took the step. */
  tell(event) {
    const turn = event.name === "connection" ? "" : `its turn ${event.step}`;
    const parts = (event.parts || []).map((index) => {
      const region = this.connection.streams[event.stream].regions[index];
      return el(`span.part.${region.kind}${region.error ? ".error" : ""}`, null, this.describe(region));
    });
    const source = event.source && DATA.sources[event.source];
    this.now.className = `what ${SIDES[event.side]} ${event.flag || event.name}`;
    const shown = [
      el("p.when", null, el("span.badge", null, SIDES[event.side]), ` ${ms(event.time)} `, el("small", null, turn)),
      el("p.says", null, el("span.glyph", { "aria-hidden": "true" }, `${glyph(event)} `), says(event)),
      event.source ? el("p.source", null, el("span.file", null, event.source), source ? (source[1] ? ` in ${source[1]}: ` : ": ") : " ",
        source ? el("code", null, source[0]) : el("em", null, "(its source was not found beside the program that made this page)")) : null,
      parts.length ? el("p.parts", null, "now whole: ", ...parts) : null,
    ];
    this.now.replaceChildren(...shown.filter((node) => node));
  }

  describe(region) {
    const which = `message ${region.message}${about(region)} `;
    if (region.kind === "prefix") return `${which}prefix: a header of ${region.next || 0} bytes follows`;
    if (region.kind === "header") return `${which}header ${region.text}`;
    return `${which}${region.kind} of ${plural(region.length, "byte")}${region.event ? `: ${region.event}` : ""}${region.error ? `: error ${region.error}` : ""}`;
  }

  jump(key, back) {
    const [kind, name] = KINDS[key];
    const index = this.history.jump(kind, this.index, back);
    if (index >= 0) this.go(index);
    else say(`no ${back ? "earlier" : "further"} ${name}`);
  }

  toggle() {
    if (this.playing) {
      clearTimeout(this.playing);
      this.playing = 0;
    } else {
      if (this.index === this.history.events.length - 1) this.go(0);
      this.tick();
    }
    this.play.textContent = this.playing ? "❚❚" : "▶ play";
    this.play.setAttribute("aria-pressed", this.playing ? "true" : "false");
  }

  tick() {
    this.playing = setTimeout(() => {
      if (!this.playing) return;
      this.go(this.index + 1);
      if (this.index < this.history.events.length - 1) this.tick();
      else this.toggle();
    }, 1000 / Number(this.speed.value));
  }

  changeAxis() {
    this.lanes.change();
    this.nameAxis();
    say(`the axis is ${this.axis.textContent}`);
  }

  nameAxis() {
    this.axis.textContent = `by ${this.lanes.axis.name}`;
  }

  /** It is in the document now, and has a size. */
  resized() {
    for (const part of [...this.panes, this.list]) part.measure();
    this.nameAxis();
    this.lanes.draw();
    if (this.index >= 0) this.go(this.index);
  }
}
