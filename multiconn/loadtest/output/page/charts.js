// How are numbers drawn so that they can be read, pointed at and walked through?
//
// LineChart and HeatMap draw into SVG of their own; nothing is loaded. Rules:
//
// * A value that is null is a gap in its line, never a zero.
// * Every chart over time shares one cursor: a place in the columns, moved by pointer or keyboard.
// * Colour, dashes and the name at its end tell a line apart, so never colour alone.
// * Text goes in by textContent: whatever a server said stays text.
//
// Not here: which charts there are (report.js), colours (report.css).
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, parent = null, text = null) {
  const element = document.createElement(name);
  return dress(element, attributes, parent, text);
}

function draw(name, attributes = {}, parent = null, text = null) {
  return dress(document.createElementNS(SVG, name), attributes, parent, text);
}

function dress(element, attributes, parent, text) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

// --- words ---------------------------------------------------------------------------------

function three(value) {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** Seconds as 87.3 µs, 1.25 ms, 2.00 s. */
function timeText(seconds) {
  if (seconds === null) return "–";
  if (seconds === 0) return "0 s";
  for (const [factor, unit] of [[1e9, "ns"], [1e6, "µs"], [1e3, "ms"]]) {
    if (seconds * factor < 999.5) return `${three(seconds * factor)} ${unit}`;
  }
  return seconds < 600 ? `${three(seconds)} s` : `${three(seconds / 60)} m`;
}

function countText(count) {
  if (count === null) return "–";
  const digits = Math.abs(count) < 10 && count % 1 ? 2 : 0;
  return count.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const rateText = (rate) => (rate === null ? "–" : `${countText(rate)}/s`);

/** A tick's label: no digit more than it needs. */
const tickTime = (seconds) => timeText(seconds).replace(/(\.\d*?)0+(?= )/, "$1").replace(". ", " ");

/** Seconds into the run: 12 s, 2:05, 1:02:05. */
function momentText(seconds) {
  if (seconds < 60) return `${Number(seconds.toFixed(2))} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// --- scales --------------------------------------------------------------------------------

function linear(low, high, from, to) {
  const span = high - low || 1;
  const scale = (value) => from + ((value - low) / span) * (to - from);
  scale.back = (place) => low + ((place - from) / (to - from)) * span;
  scale.ticks = (count) => {
    const rough = span / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((each) => each >= rough);
    const ticks = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high * (1 + 1e-9); n++) ticks.push(n * step || 0); // never -0
    return ticks;
  };
  return scale;
}

function logarithmic(low, high, from, to) {
  const under = linear(Math.log10(low), Math.log10(high), from, to);
  const scale = (value) => under(Math.log10(Math.max(value, low)));
  scale.back = (place) => 10 ** under.back(place);
  scale.ticks = () => {
    const decades = Math.log10(high / low);
    const steps = decades > 3 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const step of steps) {
        const tick = step * 10 ** power;
        if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
      }
    }
    return ticks;
  };
  return scale;
}

/** Seconds into the run fall on steps people count in. */
function momentTicks(low, high, count) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step = steps.find((each) => (high - low) / each <= count) || (high - low) / count;
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9; n++) ticks.push(n * step || 0);
  return ticks;
}

// --- the cursor ----------------------------------------------------------------------------

/** A place that several charts point at: `at` is an index or null. */
class Cursor {
  constructor() {
    this.at = null;
    this.watchers = [];
  }

  move(at) {
    if (at === this.at) return;
    this.at = at;
    for (const watcher of this.watchers) watcher();
  }
}

// --- what every chart has ------------------------------------------------------------------

class Chart {
  /**
   * `places` are the values along the horizontal axis, one per index, rising; `x` makes the scale and its
   * ticks of a range of pixels.
   */
  constructor(parent, { id, title, about, height = 230, places, x, cursor, at }) {
    Object.assign(this, { id, height, places, x, cursor, at });
    this.box = make("section", { class: "chart", id, "aria-labelledby": `${id}-title` }, parent);
    const head = make("div", { class: "head" }, this.box);
    make("h2", { id: `${id}-title` }, head, title);
    this.about = make("p", {}, head, about);
    this.moment = make("span", { class: "at" }, head);
    this.legend = make("div", { class: "legend" }, this.box);
    this.plot = make("div", {
      class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart",
      "aria-label": `${title}. Arrow keys move the cursor, Home and End go to the ends, Escape leaves.`,
    }, this.box);
    this.spoken = make("p", { class: "spoken", "aria-live": "polite" }, this.box);
    this.width = 0;
    cursor.watchers.push(() => this.point());
    this.plot.addEventListener("pointermove", (event) => this.pointed(event));
    this.plot.addEventListener("pointerdown", (event) => this.pointed(event));
    this.plot.addEventListener("pointerleave", () => cursor.move(null));
    this.plot.addEventListener("keydown", (event) => this.pressed(event));
    this.plot.addEventListener("blur", () => cursor.move(null));
  }

  /** Draw once it has a size, and again when that changes. */
  begin() {
    new ResizeObserver(() => {
      const width = Math.round(this.plot.clientWidth);
      if (width && width !== this.width) {
        this.width = width;
        this.render();
      }
    }).observe(this.plot);
  }

  /** Where the plot is, in units of the SVG: at the same place in every chart, so that their times stand in line. */
  frame() {
    const right = this.named ? 112 : 14;
    return { left: 58, right: this.width - right, top: 18, bottom: this.height - 22 };
  }

  /** Is there room for the lines' names at their ends? On a narrow screen the legend must do. */
  get named() {
    return this.width >= 560;
  }

  sheet() {
    this.plot.replaceChildren();
    return draw("svg", { viewBox: `0 0 ${this.width} ${this.height}`, "aria-hidden": "true" }, this.plot);
  }

  axes(svg, area, across, ticks, label, up, tickText) {
    let free = -Infinity; // where the last label ended
    for (const tick of ticks) {
      const [place, text] = [across(tick), label(tick)];
      const half = text.length * 3.4;
      draw("line", { class: "grid", x1: place, x2: place, y1: area.top, y2: area.bottom }, svg);
      if (place - half < free) continue;
      draw("text", { x: place, y: area.bottom + 16, "text-anchor": "middle" }, svg, text);
      free = place + half + 6;
    }
    for (const tick of up.ticks(5)) {
      const place = up(tick);
      draw("line", { class: "grid", x1: area.left, x2: area.right, y1: place, y2: place }, svg);
      draw("text", { x: area.left - 7, y: place + 4, "text-anchor": "end" }, svg, tickText(tick));
    }
    draw("line", { class: "base", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }, svg);
  }

  bands(svg, area, across, phases) {
    for (const [name, from, to] of phases) {
      if (name === "measuring") continue;
      const [start, end] = [Math.max(across(from), area.left), Math.min(across(to), area.right)];
      const width = Math.max(0, end - start);
      draw("rect", { class: "band", x: start, y: area.top, width, height: area.bottom - area.top }, svg);
      if (width > name.length * 6.2) {
        draw("text", { x: start, y: area.top - 6 }, svg, name);
      }
    }
  }

  nearest(place) {
    const places = this.places;
    let [low, high] = [0, places.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (places[middle] <= place) low = middle;
      else high = middle;
    }
    return place - places[low] <= places[high] - place ? low : high;
  }

  pointed(event) {
    if (!this.across) return;
    const box = this.plot.getBoundingClientRect();
    const scale = this.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    this.aimed(y);
    this.cursor.move(this.nearest(this.across.back(x)));
    this.point();
  }

  aimed() {}

  pressed(event) {
    const last = this.places.length - 1;
    const at = this.cursor.at;
    const leap = event.shiftKey ? 10 : 1;
    const to = {
      ArrowLeft: at === null ? last : Math.max(0, at - leap),
      ArrowRight: at === null ? 0 : Math.min(last, at + leap),
      Home: 0, End: last, Escape: null,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.cursor.move(to);
    this.spoken.textContent = to === null ? "" : this.words();
  }

  words() {
    return "";
  }

  table(heads, rows) {
    const details = make("details", {}, this.box);
    make("summary", {}, details, "The values as a table");
    details.addEventListener("toggle", () => {
      if (!details.open || details.children.length > 1) return;
      const table = make("table", {}, make("div", { class: "wide" }, details));
      const head = make("tr", {}, make("thead", {}, table));
      for (const name of heads) make("th", { scope: "col" }, head, name);
      const body = make("tbody", {}, table);
      for (const row of rows()) {
        const line = make("tr", {}, body);
        row.forEach((cell, n) => make(n ? "td" : "th", n ? {} : { scope: "row" }, line, cell));
      }
    });
  }
}

// --- lines ---------------------------------------------------------------------------------

class LineChart extends Chart {
  /** `series`: [{name, values, style}], `values` one per place, null where there is nothing. */
  constructor(parent, options) {
    super(parent, options);
    Object.assign(this, { series: options.series, text: options.text, tickText: options.tickText || options.text });
    this.log = options.log === true;
    this.phases = options.phases || [];
    for (const line of this.series) {
      line.shown = true;
      const button = make("button", { type: "button", "aria-pressed": "true" }, this.legend);
      const sample = draw("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, button);
      draw("line", { class: `line s${line.style}`, x1: 0, x2: 26, y1: 5, y2: 5 }, sample);
      make("span", {}, button, line.name);
      line.output = make("output", {}, button);
      button.addEventListener("click", () => {
        line.shown = !line.shown;
        button.setAttribute("aria-pressed", String(line.shown));
        this.render();
      });
    }
    if (options.log) {
      const axis = make("button", { type: "button", class: "axis" }, this.legend, "linear axis");
      axis.addEventListener("click", () => {
        this.log = !this.log;
        axis.textContent = this.log ? "linear axis" : "logarithmic axis";
        this.render();
      });
    }
    this.table([options.heading || "at", ...this.series.map((line) => line.name)], () =>
      this.places.map((_, n) => [this.at(n), ...this.series.map((line) => this.text(line.values[n]))]));
    this.begin();
  }

  range() {
    let [low, high] = [Infinity, -Infinity];
    for (const line of this.series) {
      if (!line.shown) continue;
      for (const value of line.values) {
        if (value === null || (this.log && value <= 0)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    if (high === -Infinity) return [this.log ? 1e-4 : 0, 1];
    if (this.log) return low === high ? [low / 2, high * 2] : [low * 0.9, high * 1.12];
    return [0, high * 1.06 || 1];
  }

  render() {
    if (!this.width) return;
    const area = this.frame();
    const svg = this.sheet();
    const [low, high] = this.range();
    const up = (this.log ? logarithmic : linear)(low, high, area.bottom, area.top);
    const { scale, ticks, label } = this.x(area.left, area.right);
    this.across = scale;
    this.up = up;
    this.area = area;
    this.bands(svg, area, scale, this.phases);
    this.axes(svg, area, scale, ticks, label, up, this.tickText);
    for (const line of this.series) if (line.shown) this.trace(svg, line);
    if (this.named) this.names(svg, area);
    this.over = draw("g", {}, svg);
    this.point();
  }

  trace(svg, line) {
    let [path, points, pen] = ["", 0, false];
    line.values.forEach((value, n) => {
      if (value === null) {
        pen = false;
        return;
      }
      const [x, y] = [this.across(this.places[n]), this.up(value)];
      path += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      const alone = !pen && (n + 1 >= line.values.length || line.values[n + 1] === null);
      if (alone) draw("circle", { class: `f${line.style}`, cx: x, cy: y, r: 2 }, svg);
      pen = true;
      points++;
    });
    draw("path", { class: `line s${line.style}`, d: path || "M0 0", "data-name": line.name, "data-points": points }, svg);
  }

  /** The names at the lines' ends, moved apart where they would cover each other. */
  names(svg, area) {
    const ends = [];
    for (const line of this.series) {
      if (!line.shown) continue;
      const last = line.values.findLast((value) => value !== null);
      if (last !== undefined) ends.push({ line, y: Math.min(area.bottom, this.up(last)) });
    }
    ends.sort((a, b) => a.y - b.y);
    ends.forEach((end, n) => {
      if (n) end.y = Math.max(end.y, ends[n - 1].y + 13);
    });
    for (let n = ends.length - 1, floor = area.bottom + 2; n >= 0; n--, floor -= 13) {
      ends[n].y = Math.min(ends[n].y, floor);
      floor = ends[n].y;
    }
    for (const { line, y } of ends) {
      draw("text", { class: `name f${line.style}`, x: area.right + 6, y: y + 4 }, svg, line.name);
    }
  }

  point() {
    if (!this.over) return;
    this.over.replaceChildren();
    const at = this.cursor.at;
    this.moment.textContent = at === null ? "" : this.at(at);
    for (const line of this.series) line.output.textContent = at === null ? "" : this.text(line.values[at]);
    if (at === null) return;
    const x = this.across(this.places[at]);
    draw("line", { class: "cursor", x1: x, x2: x, y1: this.area.top, y2: this.area.bottom }, this.over);
    for (const line of this.series) {
      const value = line.values[at];
      if (line.shown && value !== null) {
        draw("circle", { class: `dot f${line.style}`, cx: x, cy: this.up(value), r: 4 }, this.over);
      }
    }
  }

  words() {
    const at = this.cursor.at;
    return [this.at(at), ...this.series.map((line) => `${line.name} ${this.text(line.values[at])}`)].join(", ");
  }
}

// --- the heat map --------------------------------------------------------------------------

const LIGHT = [[211, 228, 243], [106, 174, 214], [33, 113, 181], [8, 48, 107]];
const DARK = [[28, 58, 85], [43, 111, 159], [99, 179, 222], [226, 245, 255]];

function blend(stops, share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1);
  const n = Math.floor(place);
  return `rgb(${stops[n].map((low, k) => Math.round(low + (stops[n + 1][k] - low) * (place - n))).join(",")})`;
}

class HeatMap extends Chart {
  /** `columns`: [lowest row, counts upwards]; a row spans a factor of 10 ** (1 / perDecade) from 1 ns up. */
  constructor(parent, options) {
    super(parent, options);
    Object.assign(this, { columns: options.columns, seconds: options.seconds, ends: options.ends });
    this.perDecade = options.perDecade;
    this.phases = options.phases || [];
    const filled = this.columns.filter((column) => column.length);
    this.bottom = Math.min(...filled.map((column) => column[0]));
    this.top = Math.max(...filled.map((column) => column[0] + column.length - 1));
    this.most = Math.max(...this.columns.map((column, n) => Math.max(0, ...column.slice(1)) / this.seconds[n]));
    this.row = null;
    const scale = make("span", { class: "scale" }, this.legend);
    make("span", {}, scale, "1 reply");
    make("i", {}, scale);
    make("span", {}, scale, `${rateText(this.most)} (logarithmic); no colour: none`);
    this.output = make("output", {}, this.legend);
    this.begin();
  }

  value(row) {
    return 10 ** (row / this.perDecade - 9);
  }

  count(at, row) {
    const column = this.columns[at];
    return column.length ? column[1 + row - column[0]] || 0 : 0;
  }

  render() {
    if (!this.width) return;
    const area = this.frame();
    const svg = this.sheet();
    const up = logarithmic(this.value(this.bottom), this.value(this.top + 1), area.bottom, area.top);
    const { scale, ticks, label } = this.x(area.left, area.right);
    Object.assign(this, { across: scale, up, area });
    this.bands(svg, area, scale, this.phases);
    this.axes(svg, area, scale, ticks, label, up, tickTime);
    const [width, height] = [area.right - area.left, area.bottom - area.top];
    for (const [stops, name] of [[LIGHT, "in-light"], [DARK, "in-dark"]]) {
      draw("image", {
        class: name, href: this.paint(stops, width, height), x: area.left, y: area.top, width, height,
        preserveAspectRatio: "none",
      }, svg);
    }
    this.over = draw("g", {}, svg);
    this.point();
  }

  paint(stops, width, height) {
    const canvas = make("canvas", { width: width * 2, height: height * 2 });
    const pen = canvas.getContext("2d");
    const [left, top] = [this.area.left, this.area.top];
    this.cells = 0;
    this.columns.forEach((column, n) => {
      const from = (this.across(this.ends[n] - this.seconds[n]) - left) * 2;
      const to = (this.across(this.ends[n]) - left) * 2;
      for (let k = 1; k < column.length; k++) {
        if (!column[k]) continue;
        const row = column[0] + k - 1;
        const [low, high] = [(this.up(this.value(row)) - top) * 2, (this.up(this.value(row + 1)) - top) * 2];
        pen.fillStyle = blend(stops, Math.log1p(column[k] / this.seconds[n]) / Math.log1p(this.most));
        pen.fillRect(Math.floor(from), Math.floor(high), Math.ceil(to - from), Math.ceil(low) - Math.floor(high));
        this.cells++;
      }
    });
    return canvas.toDataURL();
  }

  aimed(y) {
    const row = Math.floor(Math.log10(this.up.back(y)) * this.perDecade + 9 * this.perDecade);
    this.row = Math.min(this.top, Math.max(this.bottom, row));
  }

  pressed(event) {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const at = this.cursor.at === null ? 0 : this.cursor.at;
      const start = this.row === null ? (this.columns[at][0] || this.bottom) - step : this.row;
      this.row = Math.min(this.top, Math.max(this.bottom, start + step));
      this.cursor.move(at);
      this.point();
      this.spoken.textContent = this.words();
    } else {
      super.pressed(event);
    }
  }

  point() {
    if (!this.over) return;
    this.over.replaceChildren();
    const at = this.cursor.at;
    const here = this.plot.matches(":hover, :focus");
    if (at === null) this.row = null;
    this.moment.textContent = at === null ? "" : this.at(at);
    this.output.textContent = at === null || this.row === null || !here ? "" : this.words();
    if (at === null) return;
    const x = this.across(this.places[at]);
    draw("line", { class: "cursor", x1: x, x2: x, y1: this.area.top, y2: this.area.bottom }, this.over);
    if (this.row === null || !here) return;
    const [from, to] = [this.across(this.ends[at] - this.seconds[at]), this.across(this.ends[at])];
    const [low, high] = [this.up(this.value(this.row)), this.up(this.value(this.row + 1))];
    draw("rect", { class: "cell", x: from, y: high, width: Math.max(1, to - from), height: low - high }, this.over);
  }

  words() {
    if (this.row === null) return this.at(this.cursor.at);
    const count = this.count(this.cursor.at, this.row);
    const span = `${timeText(this.value(this.row))} to ${timeText(this.value(this.row + 1))}`;
    return `${span}: ${countText(count)} ${count === 1 ? "reply" : "replies"}`;
  }
}
