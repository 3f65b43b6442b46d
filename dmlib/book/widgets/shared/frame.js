// The frame of every widget: when it draws, what it is told of, how it stands in a static page.

const QUIET = 600; // ms after the last change until a sentence is announced

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
 * `draw` runs at most once a frame, after any change of a state in `states`, of size or of theme,
 * and only while the figure is near the window. `layout` is the widget's own style sheet; a figure
 * that is `bare` has no reset and no link.
 */
function frame({ model: source, el }, { title, label, states, layout = "", bare = false }, build) {
  styleOnce(STYLE);
  if (layout) styleOnce(layout);
  const body = h("div", { class: "dmw-body" });
  const heading = rich(title, { class: "dmw-title" });
  const root = h("div", { class: "dmw", role: "group", "aria-label": plain(label) }, heading, body);
  const dark = () => root.toggleAttribute("data-dark", isDark());
  dark();
  el.append(root);
  const stops = [];
  const onStop = (stop) => stops.push(stop);
  const model = tracked(source, onStop);
  const view = build(body, { model, onStop });
  const times = [];
  let [pending, near, wide] = [0, false, 0];
  const paint = () => {
    pending = 0;
    if (!near || body.hidden || !wide) return;
    const start = performance.now();
    view.draw();
    times.push(performance.now() - start);
    if (times.length > 600) times.shift();
  };
  const request = () => (pending ||= requestAnimationFrame(paint));
  for (const name of states) model.on(`change:${name}`, request);
  const sizes = new ResizeObserver(([entry]) => {
    wide = entry.contentRect.width;
    request();
  });
  sizes.observe(body);
  const stopTheme = watchTheme(() => (dark(), request()));
  const window_ = new IntersectionObserver(
    ([entry]) => {
      near = entry.isIntersecting;
      if (near) request();
    },
    { rootMargin: "600px" },
  );
  window_.observe(root);
  /** Draw wherever the figure is. */
  const drawNow = () => {
    const was = near;
    [near, wide] = [true, body.clientWidth];
    paint();
    near = was;
  };
  // JupyterLab's notebook takes the arrow keys, unless the element with the focus says no.
  const ours = ({ target, key }) =>
    root.contains(target) &&
    target.toggleAttribute("data-lm-suppress-shortcuts", key.startsWith("Arrow"));
  addEventListener("keydown", ours, true);
  onStop(() => {
    removeEventListener("keydown", ours, true);
    removeEventListener("beforeprint", drawNow);
  });
  announce(root, onStop);
  const start = states.map((name) => [name, model.get(name)]);
  ask(model, body, states);
  if (!bare) heading.after(tools(model, { root, states, start, onStop }));
  addEventListener("beforeprint", drawNow); // after the question's own, which opens the figure
  drawNow(); // once, before the page is shown: what is drawn later must not move it
  root.dmw = { model, numbers: () => view.numbers(), times };
  return () => {
    for (const stop of stops) stop();
    sizes.disconnect();
    window_.disconnect();
    stopTheme();
    cancelAnimationFrame(pending);
    root.remove();
  };
}

/**
 * The model, with every listener removed again when the view stops. Controls say by `allow` which
 * values of a state they can set; `allows` asks them.
 */
function tracked(model, onStop) {
  const tests = {};
  return {
    get: (key) => model.get(key),
    set: (key, value) => model.set(key, value),
    save_changes: () => model.save_changes(),
    allow: (key, test) => (tests[key] = test),
    allows: (key, value) => Boolean(tests[key]?.(value)),
    on(event, call) {
      model.on(event, call);
      onStop(() => model.off(event, call));
    },
  };
}

/** What a verdict says is announced when the figure has come to rest, not at every frame. */
function announce(root, onStop) {
  const heard = h("p", { class: "dmw-heard", role: "status" });
  root.append(heard);
  let timer = 0;
  const texts = () =>
    [...root.querySelectorAll(".dmw-body .dmw-verdict:not([role])")].map((node) => node.innerText);
  const watcher = new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const text = texts().join(" ");
      if (heard.textContent !== text && heard.dataset.begun) heard.textContent = text;
      heard.dataset.begun = "yes"; // what stands there at first is read, not announced
    }, QUIET);
  });
  watcher.observe(root.querySelector(".dmw-body"), { subtree: true, childList: true });
  onStop(() => (watcher.disconnect(), clearTimeout(timer)));
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
    host.id ||= freeId(name);
    const model = shim(
      JSON.parse(host.querySelector("script[type='application/json']").textContent),
    );
    render({ model, el: host });
  }
}
