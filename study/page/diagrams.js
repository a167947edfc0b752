// Which state and which arrow are lit?
//
// The pictures come from `study.diagram`, made from the rows that the code runs from. A state's
// name in a trace is compared with theirs, never used as a selector.

class Diagram {
  constructor(machine, side) {
    this.machine = machine;
    const picture = [...byId("pictures").content.children].find((svg) => svg.dataset.machine === machine);
    this.svg = picture.cloneNode(true);
    this.svg.setAttribute("aria-label", `${machine} of the ${SIDES[side]}`);
    this.svg.querySelector("title").remove(); // its tooltip would cover those of the arrows
    const [, , width, height] = this.svg.getAttribute("viewBox").split(" ");
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
    this.states = [...this.svg.querySelectorAll("[data-state]")];
    this.arrows = [...this.svg.querySelectorAll("[data-from]")];
    this.where = el("strong");
    this.whose = el("span.whose");
    this.why = el("p.why");
    this.node = el("figure.diagram", null, el("figcaption", null, `${machine}: `, this.where, this.whose), this.svg, this.why);
  }

  /** `row` is the event that took the last row, if any; `now`: it is where the reader stands. `state` may be null: none is known. */
  show(state, row, now) {
    if (this.shown && this.shown[0] === state && this.shown[1] === row && this.shown[2] === now) return;
    this.shown = [state, row, now];
    for (const group of this.states) group.classList.toggle("lit", group.dataset.state === state);
    for (const group of this.arrows) {
      const taken = row !== null && group.dataset.from === row.state && group.dataset.to === row.target
        && group.dataset.inputs.split(" ").includes(row.input);
      group.classList.toggle("lit", taken);
      group.classList.toggle("now", taken && now);
    }
    this.where.textContent = state || "–";
    this.node.classList.toggle("now", now);
    this.svg.setAttribute("aria-label", state ? `${this.machine} is in ${state}` : `${this.machine}: no state is known yet`);
    this.why.replaceChildren();
    if (row === null) this.why.append("no row was taken yet");
    else this.why.append(now ? "this row: " : "last row: ",
      el("b", null, `${row.state} on ${row.input} → ${row.target}`), `: ${text(row.reason)}`);
  }
}

/** How a subscription is called; an older trace does not say which one took a row. */
const called = (topic) => (topic === "" ? "a subscription" : `'${topic}'`);

/** The subscriptions of one end: DELIVERY of the one that moved last, and, if there are several, all with their states. */
class Deliveries {
  constructor(side) {
    this.diagram = new Diagram("DELIVERY", side);
    this.list = el("ul.subscriptions", { "aria-label": "subscriptions", hidden: true });
    this.node = this.diagram.node;
    this.diagram.svg.before(this.list);
  }

  /** `rows`: by topic {state, event} of each subscription; `moved`: the topic of the one that took the last row. */
  show(rows, moved, events, index) {
    const at = moved === null ? -1 : rows.get(moved).event;
    const row = at < 0 ? null : events[at];
    this.diagram.show(row && row.target, row, at >= 0 && at === index);
    if (this.shown === rows) return;
    this.shown = rows;
    this.diagram.whose.textContent = row ? ` of ${called(moved)}` : "";
    this.diagram.whose.title = row ? moved : "";
    this.list.hidden = rows.size < 2;
    this.list.replaceChildren(...[...rows].map(([topic, { state }]) => el(topic === moved ? "li.here" : "li", { title: topic },
      el("b", null, state), ` ${called(topic)}`)));
    const here = this.list.querySelector(".here");
    if (here && !this.list.hidden) this.list.scrollTop = here.offsetTop - this.list.clientHeight + here.offsetHeight;
  }
}
