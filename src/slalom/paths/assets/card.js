// A mover's card: its sliders, what it holds, its formula with the present numbers.

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function swatch(i) {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawn.setAttribute("viewBox", "-12 -8 24 16");
  drawn.setAttribute("class", "key");
  drawn.setAttribute("aria-hidden", "true");
  svg("path", {d: "M-12 0h24", stroke: `var(--c${i})`, "stroke-width": 2}, drawn);
  svg("path", {d: SHAPES[i], fill: `var(--c${i})`}, drawn);
  return drawn;
}

// One control of a hyper-parameter; `turned` is called with its new value.
function knob(id, name, control, value, turned) {
  const label = element("label", {htmlFor: id, textContent: name});
  if (control.kind === "check") {
    const box = element("input", {id, type: "checkbox", checked: value});
    box.addEventListener("change", () => turned(box.checked));
    return element("div", {className: "knob"}, label, box);
  }
  if (control.kind === "words") {
    const words = control.words.map((word) => element("option", {textContent: word ?? "none"}));
    const select = element("select", {id}, ...words);
    select.selectedIndex = control.words.indexOf(value);
    select.addEventListener("change", () => turned(control.words[select.selectedIndex]));
    return element("div", {className: "knob"}, label, select);
  }
  const said = element("span", {className: "value"});
  const range = element("input", {id, type: "range", min: 0, max: 1, step: 0.005});
  const say = (found) => {
    said.textContent = found === null ? "none" : full(found);
    range.setAttribute("aria-valuetext", said.textContent);
  };
  const read = () => valueAt(control, Number(range.value));
  const unset = "unset" in control && value === control.unset;
  range.value = unset ? 0.5 : placeOf(control, value);
  range.disabled = unset;
  say(value);
  const give = (found) => {
    say(found);
    turned(found);
  };
  range.addEventListener("input", () => give(read()));
  if (!("unset" in control)) return element("div", {className: "knob"}, label, range, said);
  const box = element("input", {type: "checkbox", checked: !unset});
  box.setAttribute("aria-label", `give ${name}`);
  box.addEventListener("change", () => {
    range.disabled = !box.checked;
    give(box.checked ? read() : control.unset);
  });
  const given = element("span", {className: "given"}, box, range);
  return element("div", {className: "knob"}, label, given, said);
}

class Card {
  // `changed` is called where the mover or whether it is shown has changed.
  constructor(mover, i, changed) {
    this.mover = mover;
    this.first = {...mover.hypers};
    this.i = i;
    this.changed = changed;
    this.rule = RULES[mover.rule];
    this.loss = element("span", {className: "value"});
    const name = element("span", {className: "name", textContent: mover.label});
    const summary = element("summary", {}, swatch(i), name, this.loss);
    this.box = element("input", {type: "checkbox", checked: true, id: `show${i}`});
    this.box.addEventListener("change", changed);
    const show = element("label", {htmlFor: this.box.id, textContent: "show its path"});
    const back = element("button", {type: "button", textContent: "Back to the first values"});
    back.hidden = mover.recorded !== undefined;
    back.addEventListener("click", () => {
      mover.hypers = {...this.first};
      this.turn();
      changed();
    });
    this.knobs = element("div", {className: "knobs"});
    this.held = element("tbody");
    const heads = ["", "of x", "of y"].map((t) => element("th", {scope: "col", textContent: t}));
    heads[0] = element("td");
    const table = element("table", {},
      element("thead", {}, element("tr", {}, ...heads)), this.held);
    this.lines = element("div");
    this.when = element("p", {className: "said"});
    this.root = element("details", {open: i === 0}, summary,
      element("p", {className: "said", textContent: this.rule.title}),
      element("div", {className: "knob"}, show, this.box), this.knobs, back, table, this.when, this.lines);
    this.root.addEventListener("toggle", () => this.say());
    this.turn();
  }

  turn() {
    const hypers = {...this.rule.hypers, ...this.mover.hypers};
    this.knobs.replaceChildren(...Object.entries(this.rule.controls).map(([name, control]) =>
      knob(`${name}${this.i}`, name, control, hypers[name], (value) => {
        this.mover.hypers = {...this.mover.hypers, [name]: value};
        this.changed();
      })));
  }

  show(descent, time, axis) {
    Object.assign(this, {descent, time, axis});
    this.say();
  }

  say() {
    const {points, losses, updates, diverged, states} = this.descent;
    const now = Math.min(this.time, points.length - 1);
    const ended = diverged !== null && this.time >= diverged;
    this.loss.textContent = ended ? `diverged in step ${diverged}` : `loss ${short(losses[now])}`;
    if (!this.root.open) return;
    const last = updates[now - 1];
    const rows = [["param", ...points[now]]];
    if (last) rows.push(["grad before it", ...last.inputs.grad]);
    for (const name of this.rule.states) rows.push([name, ...[(last ? last.held : states)[name]].flat()]);
    this.held.replaceChildren(...rows.map(([name, ...values]) => element("tr", {},
      element("th", {scope: "row", textContent: name}),
      ...values.map((v) => element("td", { // one number of both stands under both
        className: "number", textContent: short(v), colSpan: 3 - values.length})))));
    const at = last ?? updates.find((update) => update);
    if (!at) {
      this.when.textContent = this.mover.recorded ? "Where it is on the plane, nearest to its weights."
        : "Its first update leaves what is finite.";
      this.lines.replaceChildren();
      return;
    }
    this.when.textContent = `${last ? `Update ${at.inputs.step}` : "The first update, which is next"}, of ${"xy"[this.axis]}; a prime is the value after it:`;
    this.lines.replaceChildren(...workings(this.rule, at, this.axis).map(
      ([name, text, numbers, result]) => element("p", {className: "line"},
        element("code", {textContent: `${name} = ${text}`}),
        element("code", {className: "with", textContent: `= ${numbers} = ${result}`}))));
  }
}
