// Controls: all native, all named, all bound to one state of the model.

/**
 * A labelled range input bound to a state. The handle may move on another scale than the state
 * (`toValue`, `fromValue`, e.g. a logarithmic one); `format` writes the number beside it.
 * With `falling` the largest value is on the left, as in the reverse process.
 */
function slider(
  model,
  key,
  {
    label,
    min,
    max,
    step = 1,
    format = String,
    width = "3.2em",
    toValue = Number,
    fromValue = (v) => v,
    falling = false,
  },
) {
  const input = h("input", {
    type: "range",
    min,
    max,
    step,
    dir: falling && "rtl",
    "aria-label": plain(label),
  });
  const out = h("span", { class: "dmw-value", style: `min-width:${width}`, "aria-hidden": "true" });
  const node = h("label", { class: "dmw-slider" }, rich(label), input, out);
  const show = () => {
    input.value = fromValue(model.get(key));
    out.textContent = format(model.get(key));
    input.setAttribute("aria-valuetext", out.textContent); // the name is said by itself
  };
  input.addEventListener("input", () => put(model, key, toValue(input.value)));
  model.on(`change:${key}`, show);
  show();
  model.allow(key, (value) => {
    if (toValue === Number && step === 1 && !Number.isInteger(value)) return false;
    const ends = [toValue(input.min), toValue(input.max)];
    return value >= Math.min(...ends) && value <= Math.max(...ends);
  });
  const enable = (on) => ((input.disabled = !on), node.toggleAttribute("data-off", !on));
  const range = (low, high) => ((input.min = low), (input.max = high), show());
  return { node, input, enable, range };
}

/** A labelled select bound to a state; `options` is {value: text} or [[value, text]]. */
function choice(model, key, { label, options }) {
  const list = Array.isArray(options) ? options : Object.entries(options);
  const select = h(
    "select",
    { "aria-label": plain(label) },
    ...list.map(([value, text]) => h("option", { value }, text)),
  );
  model.allow(key, (value) => list.some(([known]) => known === value));
  const show = () => (select.selectedIndex = list.findIndex(([value]) => value === model.get(key)));
  select.addEventListener("change", () => put(model, key, list[select.selectedIndex][0]));
  model.on(`change:${key}`, show);
  show();
  return h("label", null, rich(label, { class: "dmw-note" }), select);
}

/**
 * Small pictures to choose from (radio buttons): `pictures` are arrays of values in [-1, 1], `side`
 * pixels wide, and as high unless `height` says otherwise.
 */
function thumbs(model, key, { label, pictures, names, side = 28, height = side }) {
  const name = `dmw-${Math.random().toString(36).slice(2)}`;
  const inputs = [];
  const items = pictures.map((picture, i) => {
    const style = height !== side && `aspect-ratio:${side}/${height}`;
    const canvas = h("canvas", { width: side, height, style, "aria-hidden": "true" });
    drawGrey(canvas, picture);
    const input = h("input", {
      type: "radio",
      name,
      value: i,
      "aria-label": names?.[i] ?? `image ${i + 1}`,
    });
    inputs.push(input);
    return h("label", { class: "dmw-thumb", title: names?.[i] }, input, canvas);
  });
  model.allow(key, (value) => value in inputs);
  const show = () => (inputs[model.get(key)].checked = true);
  const node = h(
    "fieldset",
    { onchange: (e) => put(model, key, Number(e.target.value)) },
    h("legend", null, rich(label)),
    h("div", { class: "dmw-thumbs" }, ...items),
  );
  model.on(`change:${key}`, show);
  show();
  return node;
}

/**
 * Play button for a state that runs from `min` to `max` in `seconds`, down where `min` is the larger.
 * Nothing starts by itself;
 * with prefers-reduced-motion it makes one step of a tenth per press.
 */
function player(model, key, { min, max, seconds, onStop }) {
  const button = h("button", { type: "button", class: "dmw-play", "data-main": true });
  let timer = 0;
  const ended = (value) => (max > min ? value >= max : value <= max);
  const within = (value) => clamp(value, Math.min(min, max), Math.max(min, max));
  const show = () => {
    const text = reducedMotion() ? "Step" : timer ? "Pause" : "Play";
    button.replaceChildren(h("span", { "aria-hidden": "true" }, timer ? "❚❚ " : "▶ "), text);
  };
  const stop = () => (cancelAnimationFrame(timer), (timer = 0), show());
  const step = () => {
    const next = ended(model.get(key)) ? min : model.get(key) + Math.round((max - min) / 10);
    put(model, key, within(next));
  };
  const play = () => {
    if (ended(model.get(key))) put(model, key, min);
    let position = model.get(key);
    let last;
    const tick = (now) => {
      if (!button.isConnected || Math.round(position) !== model.get(key)) return stop();
      position = within(position + ((now - (last ?? now)) / 1000 / seconds) * (max - min));
      last = now;
      put(model, key, Math.round(position));
      if (ended(position)) return stop();
      timer = requestAnimationFrame(tick);
      return timer;
    };
    timer = requestAnimationFrame(tick);
    show();
  };
  button.addEventListener("click", () => (reducedMotion() ? step() : timer ? stop() : play()));
  show();
  onStop(stop);
  return button;
}

/**
 * What is dragged sideways on `node`, with the mouse or a finger, and by keys on `input`: `move` gets
 * the pointer's events. A finger that moves up or down scrolls the page.
 */
function draggable(node, input, move) {
  let [from, sideways] = [null, false];
  const follow = (event) => {
    move(event);
    input.focus({ preventScroll: true }); // the arrow keys go on from here
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    node.setPointerCapture(event.pointerId);
    // A finger may be about to scroll: nothing moves until it goes sideways, or is lifted.
    [from, sideways] = [event, event.pointerType === "mouse"];
    if (sideways) follow(event);
  });
  node.addEventListener("pointermove", (event) => {
    if (!from) return;
    sideways ||= Math.abs(event.clientX - from.clientX) > Math.abs(event.clientY - from.clientY);
    if (sideways) follow(event);
  });
  node.addEventListener("pointerup", (event) => from && follow(event));
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (from = null));
  node.addEventListener("mousedown", (event) => event.preventDefault()); // it would take the focus
}

/** A row of named numbers; `set({name: text})` fills it. `entries` is {name: label}. */
function facts(entries) {
  const cells = {};
  const node = h(
    "dl",
    { class: "dmw-facts" },
    ...Object.entries(entries).map(([name, label]) =>
      h("div", null, h("dt", null, rich(label)), (cells[name] = h("dd", null, "–"))),
    ),
  );
  const set = (texts) => {
    for (const [name, text] of Object.entries(texts)) {
      if (cells[name].textContent !== text) cells[name].textContent = text;
    }
  };
  return { node, set };
}

/** -0.0123 -> "−0.0123" with a true minus; infinities as ∞. */
function number(value, digits = 3) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** 0.00004 -> "4.0 × 10⁻⁵", larger numbers plainly. */
function small(value, digits = 2) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 1e-3)
    return number(value, Math.max(0, digits + 1 - Math.floor(Math.log10(Math.abs(value)) + 1)));
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const raised = [...String(Number(exponent))]
    .map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)])
    .join("");
  return `${mantissa} × 10${raised}`;
}

/** A row of legend entries [color, text, line?]: a coloured block, or a line, and what it stands for. */
function legend(...entries) {
  return h(
    "div",
    { class: "dmw-legend" },
    ...entries.map(([color, text, line]) =>
      h(
        "span",
        null,
        h("span", { class: "dmw-key", "data-line": line, style: `color:var(--${color})` }),
        rich(text),
      ),
    ),
  );
}
