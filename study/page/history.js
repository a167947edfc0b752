// What was true after the k-th event of a connection?
//
// An event is a change; where the reader stands is the sum of all changes up to there. Every 64th
// sum is kept, so a step back costs at most 63 changes, however long the trace is.

const EVERY = 64;
const MOST_SUBSCRIPTIONS = 200; // of one end, with their states; a server allows 100

function beginning(connection) {
  return {
    sides: connection.ends.map((end) => end && {
      state: { ...end.began },
      row: { RECEIVE: -1, LIFECYCLE: -1 }, // the event that took the last row of each machine
      deliveries: new Map(), // by topic {state, event}: where its subscription is, and what took its last row; replaced, never changed
      moved: null, // the topic of the last of these
      delivered: -1, // and that event
      mask: ["", ""],
      masked: -1,
      levels: { buffered: 0, queued: 0, in_flight: 0, waiting: 0, timers: [] },
      levelled: -1,
      call: -1,
      out: 0,
      in: 0,
      step: 0,
      woken: -1, // the wake of this step
      ended: null,
    }),
    newest: null, // {stream, from, to, event}: the bytes of the last call that moved some
  };
}

function copy(state) {
  return {
    sides: state.sides.map((side) => side && { ...side, state: { ...side.state }, row: { ...side.row } }),
    newest: state.newest,
  };
}

/** A subscription took a row. Those that are over are forgotten when another one moves, and the first of too many. */
function deliver(side, event, index) {
  const topic = event.topic === undefined ? "" : event.topic;
  const rows = new Map();
  for (const [other, last] of side.deliveries) if (other === topic || last.state !== "OVER") rows.set(other, last);
  rows.set(topic, { state: event.target, event: index });
  if (rows.size > MOST_SUBSCRIPTIONS) rows.delete(rows.keys().next().value);
  side.deliveries = rows;
  side.moved = topic;
  side.delivered = index;
}

/** Let `state` become what it is after `event`, the connection's `index`-th. */
function apply(state, event, index) {
  const side = state.sides[event.side];
  if (event.step !== side.step) {
    side.step = event.step;
    side.woken = -1;
  }
  switch (event.name) {
    case "wake":
      side.woken = index;
      break;
    case "syscall":
      side.call = index;
      if (event.stream !== undefined && event.result > 0) {
        const way = event.stream === event.side ? "out" : "in";
        side[way] = event.offset + event.result;
        state.newest = { stream: event.stream, from: event.offset, to: side[way], event: index };
      }
      break;
    case "transition":
      if (event.machine === "DELIVERY") {
        deliver(side, event, index);
        break;
      }
      side.state[event.machine] = event.target;
      side.row[event.machine] = index;
      break;
    case "mask":
      side.mask = [event.before, event.after];
      side.masked = index;
      break;
    case "levels":
      side.levels = event;
      side.levelled = index;
      break;
    case "ended":
      side.ended = event.reason || "no reason told";
      break;
  }
}

/** A test for the calls that move the first byte of a message: its sender's, or its receiver's if that is the only one. */
function beginnings(connection) {
  const first = connection.streams.map((stream) => stream.regions.filter((region) => region.kind === "prefix").map((region) => region.offset));
  return (event) => {
    if (event.stream === undefined || !(event.result > 0)) return false;
    const sender = event.stream;
    if (event.side !== (connection.ends[sender] ? sender : 1 - sender)) return false;
    const place = above(first[sender], event.offset - 1);
    return place < first[sender].length && first[sender][place] < event.offset + event.result;
  };
}

class History {
  constructor(connection) {
    this.connection = connection;
    this.events = connection.events;
    this.kept = [];
    this.jumps = { message: [], transition: [], error: [], again: [], wake: [] };
    this.most = connection.ends.map(() => ({ buffered: 1, queued: 1, in_flight: 1, waiting: 1, subscriptions: 1, undelivered: 1 }));
    this.subscribes = connection.ends.map((end) => end !== null && end.delivers);
    const begins = beginnings(connection);
    const state = beginning(connection);
    this.events.forEach((event, index) => {
      if (index % EVERY === 0) this.kept.push(copy(state));
      apply(state, event, index);
      for (const mark of marks(event)) this.jumps[mark].push(index);
      if (begins(event)) this.jumps.message.push(index);
      if (event.name === "levels") {
        const most = this.most[event.side];
        for (const name of Object.keys(most)) most[name] = Math.max(most[name], event[name] || 0);
        if (event.subscriptions) this.subscribes[event.side] = true;
      }
    });
  }

  /** The state after event `index`; -1 is before the first. */
  at(index) {
    const from = Math.max(0, Math.floor(index / EVERY));
    const state = copy(this.kept[from] || beginning(this.connection));
    for (let next = from * EVERY; next <= index; next++) apply(state, this.events[next], next);
    return state;
  }

  /** The next event of that kind after `index`, or the one before it; -1 if there is none. */
  jump(kind, index, back) {
    const list = this.jumps[kind];
    const place = back ? above(list, index - 1) - 1 : above(list, index);
    return place >= 0 && place < list.length ? list[place] : -1;
  }

  /** The first event of the next turn of a loop, or of the one before. */
  turn(index, back) {
    const events = this.events;
    const begins = (k) => k === 0 || events[k].step !== events[k - 1].step || events[k].side !== events[k - 1].side;
    let k = index + (back ? -1 : 1);
    while (k > 0 && k < events.length && !begins(k)) k += back ? -1 : 1;
    return Math.min(Math.max(k, 0), events.length - 1);
  }
}
