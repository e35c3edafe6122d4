// The terrain on its canvas; the paths over it, and the losses beside, as SVG.

const SHAPES = [
  "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z", "M-4.5-4.5h9v9h-9z", "M0-6.5l6.5 6.5-6.5 6.5-6.5-6.5z",
  "M0-6l6 10.5h-12z", "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z", "M0 6l6-10.5h-12z",
  "M-6 0l10.5-6v12z", "M6 0l-10.5-6v12z",
];
const BANDS = 18;

function svg(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const looks = () => (dark() ? LOOKS.dark : LOOKS.light);

// Bands of equal area, so that flat and steep surfaces are both seen.
function drawTerrain(canvas, knobs) {
  const {width, height} = canvas;
  const [left, right, bottom, top] = SURFACE.view;
  const heights = new Float64Array(width * height);
  for (let row = 0; row < height; row++) {
    const y = top - ((row + 0.5) / height) * (top - bottom);
    for (let column = 0; column < width; column++) {
      const x = left + ((column + 0.5) / width) * (right - left);
      heights[row * width + column] = SURFACE.loss(x, y, knobs);
    }
  }
  const sorted = heights.slice().sort();
  const edges = Array.from({length: BANDS - 1},
    (_, i) => sorted[Math.floor(((i + 1) / BANDS) * sorted.length)]);
  const [low, high] = looks().shades.map((shade) =>
    [1, 3, 5].map((i) => parseInt(shade.slice(i, i + 2), 16)));
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  heights.forEach((h, at) => {
    let band = 0;
    while (band < edges.length && h > edges[band]) band++;
    const share = band / (BANDS - 1);
    low.forEach((c, i) => { image.data[4 * at + i] = c + (high[i] - c) * share; });
    image.data[4 * at + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

// About `most` round numbers between two ends.
function ticks(low, high, most) {
  const rough = (high - low) / most, ten = 10 ** Math.floor(Math.log10(rough));
  const gap = [1, 2, 5, 10].map((f) => f * ten).find((g) => g >= rough);
  const found = [];
  for (let i = Math.ceil(low / gap - 1e-9); i * gap <= high + gap * 1e-9; i++) {
    found.push(Number((i * gap).toPrecision(6)));
  }
  return found;
}

function line(parent, points, colour, attributes) {
  const text = points.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ");
  svg("polyline", {points: text, fill: "none", stroke: colour, ...attributes}, parent);
}

// What is to come is drawn faintly, what has been in full, with a mark where the mover is.
function way(parent, points, now, i, last) {
  const colour = looks().colours[i];
  line(parent, points, colour, {"stroke-width": 1, "stroke-opacity": 0.35});
  const been = points.slice(0, now + 1);
  line(parent, been, colour, {"stroke-width": 2, "stroke-linejoin": "round"});
  const [x, y] = been[been.length - 1];
  const mark = {d: SHAPES[i], fill: colour, stroke: last ? "var(--ink)" : "var(--paper)", "stroke-width": 1};
  svg("path", {...mark, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`}, parent);
}

function drawMap(map, shown, time) {
  const width = map.clientWidth, height = (width * 3) / 4;
  const [left, right, bottom, top] = SURFACE.view;
  const place = ([x, y]) => // what is far out of view is cut, for a browser's sake
    [((x - left) / (right - left)) * width, ((top - y) / (top - bottom)) * height]
      .map((p) => Math.min(Math.max(p, -9999), 9999));
  map.replaceChildren();
  map.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const [x, y] of SURFACE.minima.map(place)) {
    svg("path", {d: `M${x - 5} ${y - 5}l10 10m0-10l-10 10`, stroke: "var(--ink)", "stroke-width": 2}, map);
  }
  for (const {i, descent} of shown) {
    const now = Math.min(time, descent.points.length - 1);
    way(map, descent.points.map(place), now, i, now < time);
  }
  const inner = (low, high) => ticks(low, high, 6)
    .filter((v) => Math.min(v - low, high - v) > 0.06 * (high - low));
  for (const x of inner(left, right)) {
    svg("text", {x: place([x, 0])[0], y: height - 5, "text-anchor": "middle"}, map, short(x));
  }
  for (const y of inner(bottom, top)) {
    svg("text", {x: 5, y: place([0, y])[1] + 4}, map, short(y));
  }
}

const SPAN = 1e-12; // of the first loss: what is lower is drawn there

function drawLosses(chart, shown, time, scene, lowest) {
  const width = chart.clientWidth, height = chart.clientHeight;
  const edge = {left: 50, right: 12, top: 12, bottom: 36};
  chart.replaceChildren();
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const above = shown.map(({descent}) => descent.losses.map((loss) => loss - lowest));
  const first = SURFACE.loss(...scene.start, scene.knobs) - lowest;
  const least = (first > 0 ? first : 1) * SPAN;
  const linear = above.flat().some((l) => l < 0); // a loss of one's own may be
  const drawn = above.map((losses) => losses.map((l) => linear ? l : Math.log10(Math.max(l, least))));
  let low = 0, high = 1;
  if (drawn.length) {
    low = Math.min(...drawn.map((l) => Math.min(...l)));
    high = Math.max(...drawn.map((l) => Math.max(...l)));
    if (!linear) [low, high] = [Math.floor(low), Math.ceil(high)];
    high = Math.max(high, low + (linear ? 1e-9 : 1));
  }
  const x = (step) => edge.left + (step / scene.steps) * (width - edge.left - edge.right);
  const y = (at) => edge.top + ((high - at) / (high - low)) * (height - edge.top - edge.bottom);
  for (const at of ticks(low, high, 6).filter((at) => linear || Number.isInteger(at))) {
    svg("path", {d: `M${edge.left} ${y(at)}H${width - edge.right}`, stroke: "var(--line)"}, chart);
    const label = linear ? short(at)
      : Math.abs(at) < 4 ? String(Number((10 ** at).toPrecision(1))) : `1e${at}`;
    svg("text", {x: edge.left - 6, y: y(at) + 4, "text-anchor": "end"}, chart, label);
  }
  for (const step of ticks(0, scene.steps, 5)) {
    svg("text", {x: x(step), y: height - 20, "text-anchor": "middle"}, chart, step);
  }
  svg("text", {x: (edge.left + width) / 2, y: height - 4, "text-anchor": "middle"}, chart, scene.clock);
  svg("path", {d: `M${x(time)} ${edge.top}V${height - edge.bottom}`, stroke: "var(--soft)"}, chart);
  shown.forEach(({i, descent}, at) => {
    const now = Math.min(time, descent.points.length - 1);
    way(chart, drawn[at].map((loss, step) => [x(step), y(loss)]), now, i, now < time);
  });
}
