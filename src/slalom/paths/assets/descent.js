// A mover's way down a surface, as slalom/paths/descent.py has it.

// {points, losses, updates, diverged}: updates[i] led to points[i + 1] and has its way (which of the
// rule's formulas served), inputs, lines and states after it; of what varies, [of x, of y].
function descend(surface, scene, mover) {
  const rule = RULES[mover.rule];
  const hypers = {...rule.fixed, ...rule.hypers, ...mover.hypers};
  const states = startOf(rule, hypers);
  let held = {...states};
  let at = scene.start;
  const points = [at], updates = [];
  let diverged = null;
  for (let step = 1; step <= scene.steps; step++) {
    const grad = slope(surface, scene, mover, at, step);
    const done = update(rule, {...hypers, ...held, param: at, grad, step, first: step === 1});
    const next = done.param;
    if (!next.every((p) => Math.abs(p) <= scene.far)) {
      diverged = step;
      break;
    }
    updates.push(done);
    held = done.held;
    at = next;
    points.push(at);
  }
  const losses = points.map(([x, y]) => surface.loss(x, y, scene.knobs));
  return {points, losses, updates, diverged, states};
}

// The same as it is watched: where time is counted in samples, who sees many in an update waits.
function seen(surface, scene, mover) {
  if (mover.recorded) return {...mover.recorded, updates: [], diverged: null, states: {}};
  if (scene.clock !== "samples") return descend(surface, scene, mover);
  const each = mover.batch ?? surface.samples.length;
  const found = descend(surface, {...scene, steps: Math.floor(scene.steps / each)}, mover);
  const {points, losses, updates, diverged} = found;
  const ticks = Array.from({length: scene.steps + 1}, (_, t) => Math.floor(t / each))
    .filter((done) => done < points.length);
  return {
    ...found, points: ticks.map((done) => points[done]), losses: ticks.map((done) => losses[done]),
    updates: ticks.slice(1).map((done) => updates[done - 1]),
    diverged: diverged === null ? null : diverged * each,
  };
}

// A surface whose loss is known at the points of a grid, the lowest row first: a plane between them.
function over(surface) {
  const {heights, view: [left, right, bottom, top]} = surface;
  const rows = heights.length - 1, columns = heights[0].length - 1;
  const place = (v, low, high, last) => Math.min(Math.max(((v - low) / (high - low)) * last, 0), last);
  const loss = (x, y) => {
    const a = place(x, left, right, columns), b = place(y, bottom, top, rows);
    const i = Math.min(Math.floor(b), rows - 1), j = Math.min(Math.floor(a), columns - 1);
    const [s, t] = [b - i, a - j];
    return (1 - s) * ((1 - t) * heights[i][j] + t * heights[i][j + 1])
      + s * ((1 - t) * heights[i + 1][j] + t * heights[i + 1][j + 1]);
  };
  return {...surface, loss};
}

function startOf(rule, hypers) {
  const begin = (name) => {
    const init = rule.init[name] ?? 0, value = typeof init === "string" ? hypers[init] : init;
    return rule.single.includes(name) ? value : [value, value];
  };
  return Object.fromEntries(rule.states.map((name) => [name, begin(name)]));
}

function update(rule, inputs) {
  for (let way = 0; way < rule.ways.length; way++) {
    const result = rule.ways[way](inputs);
    if (result === null) continue;
    const held = Object.fromEntries(rule.states.map((n) => [n, result[n] ?? inputs[n]]));
    return {param: result.param, held, way, inputs, lines: result.lines};
  }
  throw Error("no formula of the rule serves");
}

function slope(surface, scene, mover, [x, y], step) {
  const n = surface.samples.length;
  if (mover.batch === null || mover.batch >= n) return surface.grad(x, y, scene.knobs);
  let a = 0, b = 0;
  for (let i = 0; i < mover.batch; i++) {
    const seen = surface.order[((step - 1) * mover.batch + i) % surface.order.length];
    const [u, v] = surface.one(x, y, scene.knobs, surface.samples[seen]);
    a += u;
    b += v;
  }
  return [a / mover.batch, b / mover.batch];
}
