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
    this.why = el("p.why");
    this.node = el("figure.diagram", null, el("figcaption", null, `${machine}: `, this.where), this.svg, this.why);
  }

  /** `row` is the event that took the last row, if any; `now`: it is where the reader stands. */
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
    this.where.textContent = state;
    this.node.classList.toggle("now", now);
    this.svg.setAttribute("aria-label", `${this.machine} is in ${state}`);
    this.why.replaceChildren();
    if (row === null) this.why.append("no row was taken yet");
    else this.why.append(now ? "this row: " : "last row: ",
      el("b", null, `${row.state} on ${row.input} → ${row.target}`), `: ${text(row.reason)}`);
  }
}
