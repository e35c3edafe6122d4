// The page: what is where, who listens to what.

const find = (id) => document.getElementById(id);
const canvas = find("terrain"), map = find("map"), chart = find("losses"), begin = find("start");
let scene, cards = [], descents = [], time = 0, playing = null;

LOOKS.light.colours.forEach((_, i) => paint(i));

function paint(i) {
  document.documentElement.style.setProperty(`--c${i}`, looks().colours[i]);
}

// A page shows one chapter at a time; most pages have but one.
function show(chapter) {
  pause();
  scene = {...chapter.scene, knobs: {...chapter.scene.knobs}};
  scene.movers = scene.movers.map((mover) => ({...mover}));
  SURFACE = SURFACES[chapter.surface];
  time = scene.steps;
  find("title").textContent = chapter.title;
  find("says").textContent = chapter.says;
  find("time").max = scene.steps;
  for (const part of document.querySelectorAll(".computed")) part.hidden = scene.clock === "looks";
  cards = scene.movers.map((mover, i) => new Card(mover, i, () => {
    if (descents[i]) descents[i] = seen(SURFACE, scene, mover);
    draw();
  }));
  find("cards").replaceChildren(...cards.map((card) => card.root));
  find("surface").replaceChildren(...Object.entries(SURFACE.knobs).map(([name, {low, high}]) =>
    knob(`of-${name}`, name, {kind: "log", low, high, zero: false, sign: 1},
      scene.knobs[name], (value) => {
      scene.knobs[name] = value;
      drawTerrain(canvas, scene.knobs);
      recompute();
      draw();
    })));
  recompute();
  drawTerrain(canvas, scene.knobs);
  draw();
}

function recompute() {
  descents = scene.movers.map((mover) => seen(SURFACE, scene, mover));
}

function draw() {
  const lowest = SURFACE.minima.length
    ? Math.min(...SURFACE.minima.map(([x, y]) => SURFACE.loss(x, y, scene.knobs))) : 0;
  const shown = descents.map((descent, i) => ({i, descent})).filter(({i}) => cards[i].box.checked);
  drawMap(map, shown, time);
  drawLosses(chart, shown, time, scene, lowest);
  const [left, right, bottom, top] = SURFACE.view, [x, y] = scene.start;
  begin.style.left = `${((x - left) / (right - left)) * 100}%`;
  begin.style.top = `${((top - y) / (top - bottom)) * 100}%`;
  begin.setAttribute("aria-label",
    `The start, x ${short(x)}, y ${short(y)}: drag it, or move it with the arrow keys`);
  const axis = Number(document.querySelector("input[name=axis]:checked").value);
  cards.forEach((card, i) => card.show(descents[i], time, axis));
  find("time").value = time;
  const when = `${scene.clock.slice(0, -1)} ${time} of ${scene.steps}`;
  find("time").setAttribute("aria-valuetext", when);
  find("now").textContent = when;
}

// time

function pause() {
  clearInterval(playing);
  playing = null;
  find("play").textContent = "Play";
}

function go(step) {
  time = Math.min(Math.max(step, 0), scene.steps);
  draw();
}

function play() {
  if (time >= scene.steps) go(0);
  find("play").textContent = "Pause";
  let from = time, speed = find("speed").value, began = performance.now();
  playing = setInterval(() => {
    if (speed !== find("speed").value) {
      [from, speed, began] = [time, find("speed").value, performance.now()];
    }
    const next = from + Math.floor(((performance.now() - began) / 1000) * Number(speed));
    if (next !== time) go(next);
    if (time >= scene.steps) pause();
  }, 1000 / 30);
}

find("play").addEventListener("click", () => (playing === null ? play() : pause()));
for (const [id, step] of [["back", -1], ["step", 1]]) {
  find(id).addEventListener("click", () => { pause(); go(time + step); });
}
find("again").addEventListener("click", () => { pause(); go(0); });
find("time").addEventListener("input", () => { pause(); go(Number(find("time").value)); });
for (const radio of document.querySelectorAll("input[name=axis]")) {
  radio.addEventListener("change", draw);
}

// the start

function startAt(x, y) {
  if (scene.clock === "looks") return; // what was trained is not trained anew here
  const [left, right, bottom, top] = SURFACE.view;
  const tidy = (v, low, high) => Number(Math.min(Math.max(v, low), high).toFixed(3));
  scene.start = [tidy(x, left, right), tidy(y, bottom, top)];
  recompute();
  draw();
}

function startUnder(event) {
  const box = map.getBoundingClientRect(), [left, right, bottom, top] = SURFACE.view;
  startAt(left + ((event.clientX - box.left) / box.width) * (right - left),
    top - ((event.clientY - box.top) / box.height) * (top - bottom));
}

map.addEventListener("click", startUnder);
begin.addEventListener("pointerdown", (event) => begin.setPointerCapture(event.pointerId));
begin.addEventListener("pointermove", (event) => {
  if (begin.hasPointerCapture(event.pointerId)) startUnder(event);
});
begin.addEventListener("keydown", (event) => {
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
  if (!(event.key in moves)) return;
  event.preventDefault();
  const gap = (SURFACE.view[1] - SURFACE.view[0]) / (event.shiftKey ? 10 : 80);
  const [x, y] = scene.start, [a, b] = moves[event.key];
  startAt(x + a * gap, y + b * gap);
});

// the chapters

const pages = CHAPTERS.map((chapter, i) => {
  const button = element("button", {type: "button", textContent: `${i + 1} ${chapter.title}`});
  button.addEventListener("click", () => turnTo(i));
  return button;
});

function turnTo(i) {
  pages.forEach((button, at) => button.setAttribute("aria-pressed", String(at === i)));
  show(CHAPTERS[i]);
}

find("chapters").hidden = CHAPTERS.length < 2;
find("chapters").append(...pages);
turnTo(0);
new ResizeObserver(draw).observe(map);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  LOOKS.light.colours.forEach((_, i) => paint(i));
  drawTerrain(canvas, scene.knobs);
  draw();
});
