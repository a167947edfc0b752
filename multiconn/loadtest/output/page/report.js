// Which charts does the page of a run have?
//
// The numbers come from page/series.py; this says what each chart shows of them.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const parent = document.getElementById("charts");
  const ends = data.t;
  if (!ends.length) {
    make("p", { class: "note" }, parent, "The run ended before its first interval: there is nothing to draw.");
    return;
  }
  const places = ends.map((end, n) => end - data.seconds[n] / 2);
  const [first, last] = [ends[0] - data.seconds[0], ends[ends.length - 1]];
  const cursor = new Cursor();
  const phaseAt = (moment) => (data.phases.find(([, from, to]) => moment >= from && moment <= to) || [""])[0];

  const overTime = {
    places,
    cursor,
    phases: data.phases,
    at: (n) => `${momentText(ends[n] - data.seconds[n])} to ${momentText(ends[n])}, ${phaseAt(places[n])}`,
    x: (left, right) => ({
      scale: linear(first, last, left, right),
      ticks: momentTicks(first, last, Math.max(3, (right - left) / 70)),
      label: momentText,
    }),
  };
  const lines = (columns, names) => Object.entries(columns)
    .filter(([, values]) => values.some((value) => value !== null))
    .map(([key, values], n) => ({ name: (names && names[key]) || key.replace(/_/g, " "), values, style: n % 8 }));

  const charts = {};
  const failed = data.rate.failed.some((value) => value > 0);
  charts.rate = new LineChart(parent, {
    ...overTime,
    id: "rate",
    title: "Rate over time",
    about: `replies per second${data.open ? ", beside the wanted rate" : ""}${failed ? ", and errors" : ""}`,
    series: lines(
      { achieved: data.rate.achieved, target: data.rate.target, errors: failed ? data.rate.failed : [] },
    ),
    text: rateText,
    tickText: countText,
  });

  const answered = data.latency.p50.some((value) => value !== null);
  if (answered) {
    charts.percentiles = new LineChart(parent, {
      ...overTime,
      id: "percentiles",
      title: "Latency over time",
      about: data.open
        ? "response: from when a request was meant to leave; service: from when it left"
        : "closed: from when a request left",
      series: lines(data.latency, { service_p99: "service p99" }),
      log: true,
      text: timeText,
      tickText: tickTime,
    });
    charts.heat = new HeatMap(parent, {
      ...overTime,
      id: "heat",
      title: "Heat map of latency over time",
      about: "how many replies took how long (response), each column a point of time",
      columns: data.heat.columns,
      perDecade: data.heat.per_decade,
      seconds: data.seconds,
      ends,
    });
    charts.distribution = distributionChart();
  }

  if (Object.keys(data.errors).length) {
    const perSecond = {};
    for (const [name, counts] of Object.entries(data.errors)) {
      perSecond[name] = counts.map((count, n) => (data.seconds[n] ? count / data.seconds[n] : null));
    }
    charts.errors = new LineChart(parent, {
      ...overTime,
      id: "errors",
      title: "Errors over time",
      about: "per second, by name: failed requests, and connections that failed without one",
      height: 190,
      series: lines(perSecond).map((line) => ({ ...line, name: line.name.replace(/ /g, "_") })),
      text: rateText,
      tickText: countText,
    });
  } else {
    const box = make("section", { class: "chart", id: "errors" }, parent);
    make("h2", {}, box, "Errors over time");
    make("p", { class: "note" }, box, "There were none.");
  }
  charts.connections = new LineChart(parent, {
    ...overTime,
    id: "connections",
    title: "Connections over time",
    about: "by state, at the end of each interval",
    height: 190,
    series: lines(data.connections),
    text: countText,
  });

  /** HdrHistogram's plot: the further right, the rarer; each step to the next tick is a tenth of what is left. */
  function distributionChart() {
    const rarity = data.distribution.response.map(([percent]) => (percent < 100 ? 1 / (1 - percent / 100) : null));
    const end = (rarity[rarity.length - 2] || 1) * 2; // the longest of all: one halving further
    rarity[rarity.length - 1] = end;
    const column = (kind) => rarity.map((_, n) => (data.distribution[kind][n] ? data.distribution[kind][n][1] : null));
    const series = data.open
      ? [{ name: "response", values: column("response"), style: 0 }, { name: "service", values: column("service"), style: 1 }]
      : [{ name: "response = service", values: column("response"), style: 0 }];
    const percentText = (percent) => `${Number(percent.toPrecision(7))} %`;
    return new LineChart(parent, {
      id: "distribution",
      title: "Latency by percentile",
      about: data.open
        ? "where response lies above service, requests waited before they left: what a tester that waits does not see"
        : "closed: response and service are one; waiting that a schedule would have seen is not in it",
      height: 270,
      places: rarity,
      cursor: new Cursor(),
      heading: "percentile",
      at: (n) => {
        const percent = data.distribution.response[n][0];
        return percent === 100 ? "100 %, the longest" : percentText(percent);
      },
      x: (left, right) => {
        const scale = logarithmic(1, end, left, right);
        const ticks = [1, 2];
        for (let tick = 10; tick <= end; tick *= 10) ticks.push(tick);
        const label = (tick) => percentText(100 - 100 / tick);
        return { scale, ticks, label };
      },
      series,
      log: true,
      text: timeText,
      tickText: tickTime,
    });
  }

  window.report = { data, charts, cursor }; // for the browser's tools
})();
