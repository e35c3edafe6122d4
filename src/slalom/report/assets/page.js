(function () {
  "use strict";
  const root = document.documentElement, figures = [];
  const state = {unit: null, hidden: new Set(), counts: "as drawn", values: "as drawn"};

  function inks() {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(name).trim();
    const change = {"font.color": of("--ink"), "hoverlabel.bgcolor": of("--panel"),
      "hoverlabel.font.color": of("--ink")};
    for (const axis of ["xaxis", "yaxis"]) {
      change[axis + ".gridcolor"] = change[axis + ".linecolor"] = of("--line");
    }
    return change;
  }

  function theme(figure) {
    const change = inks();
    if ((figure.place.layout.shapes || []).length) {
      change["shapes[0].line.color"] = change["shapes[0].label.font.color"] = change["font.color"];
    }
    return Plotly.relayout(figure.place, change);
  }

  // what an axis is: of training, of values, or of words, which has no scale
  function kind(figure, axis) {
    const meta = figure.place.layout.meta;
    if (figure.drawn.layout[axis + "axis"].type === "category") { return "words"; }
    return meta.counted === axis ? "counts" : "values";
  }

  function scaled(figure, which) {
    const change = {};
    for (const axis of ["x", "y"]) {
      if (kind(figure, axis) !== which) { continue; }
      const drawn = figure.drawn.layout[axis + "axis"], wanted = state[which];
      const log = wanted === "as drawn" ? drawn.type === "log" : wanted === "logarithmic";
      const able = figure.place.layout.meta.positive[axis];
      change[axis + "axis.type"] = log && able ? "log" : "linear";
      change[axis + "axis.autorange"] = true;
      if (wanted === "as drawn" && drawn.range) { change[axis + "axis.range"] = drawn.range; }
    }
    return Object.keys(change).length ? Plotly.relayout(figure.place, change) : null;
  }

  function counted(figure) {
    const meta = figure.place.layout.meta, axis = meta.counted, unit = state.unit;
    if (!axis) { return; }
    const words = figure.place.data.map((trace) => trace.meta && trace.meta.map(
      (word, i) => i === "xy".indexOf(axis) ? unit : word));
    Plotly.update(figure.place, {[axis]: meta.units[unit], meta: words},
      {[axis + "axis.title.text"]: unit, [axis + "axis.autorange"]: true});
  }

  function shown(figure) {
    const rules = figure.place.layout.meta.rules;
    Plotly.restyle(figure.place, {visible: rules.map((rule) => !state.hidden.has(rule))});
  }

  function choose(group, then) {
    const buttons = Array.from(document.querySelectorAll(group + " button"));
    buttons.forEach((button) => button.addEventListener("click", () => {
      buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      then(button.textContent);
    }));
    return buttons[0].textContent;
  }

  state.unit = choose("#unit", (unit) => { state.unit = unit; figures.forEach(counted); });
  for (const which of ["counts", "values"]) {
    choose("#" + which, (scale) => { state[which] = scale; figures.forEach((f) => scaled(f, which)); });
  }
  document.querySelectorAll(".legend button").forEach((button) => {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true", rule = button.dataset.rule;
      button.setAttribute("aria-pressed", String(on));
      if (on) { state.hidden.delete(rule); } else { state.hidden.add(rule); }
      figures.forEach(shown);
    });
  });

  // the keyboard: from point to point, and from line to line
  function lines(place) {
    return place.data.map((trace, i) => i).filter((i) => {
      const trace = place.data[i];
      return trace.visible !== false && trace.hovertemplate && trace.x.length;
    });
  }

  function number(value) {
    return typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
  }

  function text(html) {
    return new DOMParser().parseFromString(String(html).replace(/<br>/g, ", "), "text/html")
      .body.textContent;
  }

  function told(place, at) {
    const trace = place.data[at.curve], words = trace.meta || ["", ""];
    const first = trace.hovertemplate.split("<br>")[0];
    const parts = [first, number(trace.x[at.point]) + " " + words[0]];
    parts.push(number(trace.y[at.point]) + (words[1] ? " " + words[1] : ""));
    if (trace.text) { parts.push(trace.text[at.point]); }
    return parts.map(text).join(", ");
  }

  function keyboard(figure) {
    const place = figure.place, said = figure.said;
    let at = null;
    place.addEventListener("keydown", (event) => {
      const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
      const known = lines(place);
      if (!step || !known.length) { return; }
      event.preventDefault();
      if (at === null || !known.includes(at.curve)) {
        at = {curve: known[known.length - 1], point: 0};
      } else {
        const next = known.indexOf(at.curve) + step[0];
        const curve = known[(next + known.length) % known.length];
        const size = place.data[curve].x.length;
        at = {curve: curve, point: Math.min(Math.max(at.point + step[1], 0), size - 1)};
      }
      Plotly.Fx.hover(place, [{curveNumber: at.curve, pointNumber: at.point}]);
      said.textContent = told(place, at);
    });
    place.addEventListener("blur", () => Plotly.Fx.unhover(place));
  }

  document.querySelectorAll("figure").forEach((element) => {
    const drawn = JSON.parse(element.querySelector("script").textContent);
    const figure = {drawn: drawn, place: element.querySelector(".plot"), said: element.querySelector("output")};
    const layout = JSON.parse(JSON.stringify(drawn.layout));
    layout.showlegend = false;
    Plotly.newPlot(figure.place, drawn.data, layout, {responsive: true, displayModeBar: false})
      .then(() => { figures.push(figure); keyboard(figure); return theme(figure); });
  });

  window.matchMedia("(prefers-color-scheme: dark)").addEventListener(
    "change", () => figures.forEach(theme));
  window.addEventListener("beforeprint", () => {
    root.classList.add("printed");
    document.querySelectorAll("details").forEach((d) => { d.open = true; });
    figures.forEach((f) => { theme(f); Plotly.relayout(f.place, {width: 660}); });
  });
  window.addEventListener("afterprint", () => {
    root.classList.remove("printed");
    figures.forEach((f) => { theme(f); Plotly.relayout(f.place, {width: null, autosize: true}); });
  });
})();
