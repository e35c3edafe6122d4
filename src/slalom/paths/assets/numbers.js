// Numbers as people read them, sliders as they are turned, formulas with numbers filled in.

function short(value) {
  if (typeof value !== "number") return String(value);
  if (value === 0 || !Number.isFinite(value)) return String(value).replace("Infinity", "∞");
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(2) : value.toPrecision(4);
  return text.includes("e") ? text.replace(/\.?0+e/, "e").replace("e+", "e")
    : text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

// A hyper-parameter in full, as it would be typed.
function full(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
}

const DECADES = 5; // of a share: up to 0.99999

// Where a slider from 0 to 1 stands, to the value it means.
function valueAt(control, at) {
  if (at <= 0 && control.zero) return 0;
  if (control.kind === "share") { // 0.95 and 0.999, not 0.9487
    const rest = Number((10 ** (-DECADES * at)).toPrecision(2));
    return Number((1 - rest).toFixed(7)) || 0.01;
  }
  const found = Number((control.low * (control.high / control.low) ** at).toPrecision(3));
  return control.sign * Math.min(Math.max(found, control.low), control.high);
}

function placeOf(control, value) {
  const at = control.kind === "share" ? -Math.log10(1 - value) / DECADES
    : Math.log(control.sign * value / control.low) / Math.log(control.high / control.low);
  return Math.min(Math.max(at, 0), 1) || 0;
}

const WHOLE = ["total", "mean", "norm", "orthogonal"]; // of all elements together

// A formula's text with the numbers of an update in the places of its names, those of x (0) or y (1).
function filled(text, known, axis) {
  const open = []; // of each bracket, whether all elements are meant in it
  let whole = false;
  return text.replace(/[A-Za-z_][A-Za-z_0-9]*'?|[()]/g, (word) => {
    if (word === "(") open.push(whole || open.at(-1));
    if (word === ")") open.pop();
    whole = WHOLE.includes(word);
    const value = known[word];
    if (Array.isArray(value) && open.at(-1)) return `[${value.map(short).join(", ")}]`;
    if (typeof of(value, axis) !== "number") return word;
    const number = short(of(value, axis));
    return /^-|e/.test(number) ? `(${number})` : number;
  });
}

const of = (value, axis) => (Array.isArray(value) ? value[axis] : value);

// [name, formula, formula with numbers, result] of each line of an update, of x (0) or of y (1).
function workings(rule, update, axis) {
  const known = {...update.inputs, rows: update.param.length, columns: 1};
  return rule.formulas[update.way].map(([name, text], i) => {
    const row = [name, text, filled(text, known, axis), short(of(update.lines[i], axis))];
    known[name] = update.lines[i];
    return row;
  });
}
