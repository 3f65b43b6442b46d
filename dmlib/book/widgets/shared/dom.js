// Elements, controls, theme, the frame of every widget and the question before it.

/** h("p", { class: "x", onclick: f }, "text", child) -> element; null and false children are left out. */
function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

/** Split "*x*_t" into pieces: *italic*, _sub or _{sub}, ^sup or ^{sup}, √{under the root}. */
function pieces(text) {
  const found = [];
  const pattern = /\*([^*]+)\*|([_^])(?:\{([^}]*)\}|(.))|√\{((?:[^{}]|\{[^}]*\})*)\}|[^*_^√]+|./gu;
  for (const m of text.matchAll(pattern)) {
    if (m[1]) found.push({ kind: "i", text: m[1] });
    else if (m[2]) found.push({ kind: m[2] === "_" ? "sub" : "sup", text: m[3] ?? m[4] });
    else if (m[5]) found.push({ kind: "rad", text: m[5] });
    else found.push({ kind: "", text: m[0] });
  }
  return found;
}

/** The same small markup as HTML: rich("√{*ᾱ*_t} = 0.5"). Letters in sub and sup may be *t*. */
function rich(text, props) {
  const node = h("span", props);
  for (const piece of pieces(text)) {
    if (piece.kind === "") node.append(piece.text);
    else if (piece.kind === "i") node.append(h("i", null, piece.text));
    else if (piece.kind === "rad") node.append(h("span", { class: "rad" }, "√", rich(piece.text)));
    else if (/^[a-z]$/i.test(piece.text))
      node.append(h(piece.kind, null, h("i", null, piece.text)));
    else node.append(h(piece.kind, null, rich(piece.text)));
  }
  return node;
}

/** The same markup read aloud or written without markup, for aria-label. */
function plain(text) {
  return pieces(text)
    .map((p) => (p.kind === "rad" ? `√(${plain(p.text)})` : p.text))
    .join("");
}

const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Is the page dark? sphinx-book-theme, Colab, JupyterLab, VS Code, else the system's wish. */
function isDark() {
  const { documentElement: html, body } = document;
  const theme = html.dataset.theme || html.getAttribute("theme");
  if (theme === "dark" || theme === "light") return theme === "dark";
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (body.dataset.vscodeThemeKind) return !body.dataset.vscodeThemeKind.includes("light");
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Call `changed` whenever the page's theme may have changed; returns how to stop. */
function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  const attributeFilter = ["data-theme", "theme", "data-jp-theme-light", "data-vscode-theme-kind"];
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter });
  }
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", changed);
  return () => (observer.disconnect(), query.removeEventListener("change", changed));
}

/** Send the state to Python at once: the manager keeps one message under way, and drops the echo
 *  of an older value only for what it was told of. */
const commit = (model) => model.save_changes();

function put(model, key, value) {
  model.set(key, value);
  commit(model);
}

/**
 * The frame of a widget. `build(body, { model, onStop })` fills `body` once and returns
 *   { draw(), numbers() }: draw the current state; the numbers on show, for the tests.
 * The model that it gets forgets its listeners when the view goes; onStop(f) calls f then.
 * `draw` runs at most once a frame, after any change of a state in `states`, of size or of theme.
 */
function frame({ model: source, el }, { title, label, states }, build) {
  const body = h("div", { class: "dmw-body" });
  const root = h(
    "div",
    { class: "dmw", role: "group", "aria-label": plain(label) },
    h("style", null, STYLE),
    rich(title, { class: "dmw-title" }),
    body,
  );
  const dark = () => root.toggleAttribute("data-dark", isDark());
  dark();
  el.append(root);
  const stops = [];
  const onStop = (stop) => stops.push(stop);
  const model = tracked(source, onStop);
  const view = build(body, { model, onStop });
  const times = [];
  let pending = 0;
  const paint = () => {
    pending = 0;
    if (body.hidden || !body.clientWidth) return;
    const start = performance.now();
    view.draw();
    times.push(performance.now() - start);
    if (times.length > 600) times.shift();
  };
  const request = () => (pending ||= requestAnimationFrame(paint));
  for (const name of states) model.on(`change:${name}`, request);
  const sizes = new ResizeObserver(request);
  sizes.observe(body);
  const stopTheme = watchTheme(() => (dark(), request()));
  // JupyterLab's notebook takes the arrow keys, unless the element with the focus says no.
  const ours = ({ target, key }) =>
    root.contains(target) &&
    target.toggleAttribute("data-lm-suppress-shortcuts", key.startsWith("Arrow"));
  window.addEventListener("keydown", ours, true);
  onStop(() => window.removeEventListener("keydown", ours, true));
  ask(model, body);
  root.dmw = { model, numbers: () => view.numbers(), times };
  paint();
  return () => {
    for (const stop of stops) stop();
    sizes.disconnect();
    stopTheme();
    cancelAnimationFrame(pending);
    root.remove();
  };
}

/** The model, with every listener removed again when the view stops. */
function tracked(model, onStop) {
  return {
    get: (key) => model.get(key),
    set: (key, value) => model.set(key, value),
    save_changes: () => model.save_changes(),
    on(event, call) {
      model.on(event, call);
      onStop(() => model.off(event, call));
    },
  };
}

/** Predict first: the figure stays hidden until the reader has chosen, or asks to be shown it. */
function ask(model, body) {
  const { question, options, answer, reason } = model.get("_predict");
  if (!question) return;
  const name = `dmw-${Math.random().toString(36).slice(2)}`;
  const labels = options.map((option, i) =>
    h("label", null, h("input", { type: "radio", name, value: i }), rich(option)),
  );
  const verdict = h("p", { "aria-live": "polite", role: "status" });
  const check = h(
    "button",
    { type: "button", "data-main": true, disabled: true },
    "See the answer",
  );
  const skip = h("button", { type: "button", class: "dmw-plain" }, "Just show me");
  const buttons = h("div", { class: "dmw-row" }, check, skip);
  const form = h(
    "div",
    { class: "dmw-ask" },
    h("fieldset", null, h("legend", null, "Predict first: ", rich(question)), ...labels),
    buttons,
    verdict,
  );
  const reveal = (choice) => {
    body.hidden = false;
    buttons.hidden = true;
    for (const [i, node] of labels.entries()) {
      node.firstChild.disabled = true;
      if (i === answer) node.toggleAttribute("data-right", true), node.append("✓");
      else if (i === choice) node.toggleAttribute("data-wrong", true), node.append("✗");
    }
    const opening = choice === answer ? "Right. " : choice >= 0 ? "Not quite. " : "";
    verdict.replaceChildren(h("strong", null, opening), rich(reason));
    verdict.className = "dmw-verdict";
    verdict.style.marginTop = ".7rem";
    verdict.tabIndex = -1;
    verdict.focus({ preventScroll: true });
    model.set("predicted", choice);
    commit(model);
  };
  form.addEventListener("change", () => (check.disabled = false));
  check.addEventListener("click", () => reveal(Number(form.querySelector(":checked").value)));
  skip.addEventListener("click", () => reveal(-2));
  body.hidden = true;
  body.before(form);
}

/** What anywidget's model does, for a page without a kernel. */
function shim(state) {
  const heard = {};
  return {
    get: (key) => state[key],
    set(key, value) {
      if (Object.is(state[key], value)) return;
      state[key] = value;
      for (const call of heard[`change:${key}`] ?? []) call();
    },
    on: (event, call) => (heard[event] ??= new Set()).add(call),
    off: (event, call) => heard[event]?.delete(call),
    save_changes() {},
  };
}

/** Mount every waiting host of a class in a static page (the last line of the text/html form). */
function mountStatic(name, render) {
  for (const host of document.querySelectorAll(`[data-dmw-host="${name}"]:not([data-dmw-live])`)) {
    host.dataset.dmwLive = "";
    const model = shim(
      JSON.parse(host.querySelector("script[type='application/json']").textContent),
    );
    render({ model, el: host });
  }
}
