// The buttons of a run: load the network when asked, walk, pause, cancel, and clean up.

/** All that a run depends on, as one text. */
const knobsOf = (model) =>
  [
    "start",
    "sampler",
    "eta",
    "steps",
    "label",
    "guidance_scale",
    "clip",
    "seed",
    "t_start",
    "drawing",
  ]
    .map((name) => model.get(name))
    .join("|");

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/**
 * Generate, Pause, Cancel, the progress bar and the sentence about what happens.
 * `onRun(run)` hands over every new run; its moments fill up while it walks.
 */
function generator({ source, model, world, live, onStop, onRun }) {
  const go = h("button", { type: "button", "data-main": true });
  const pause = h("button", { type: "button" });
  const cancel = h("button", { type: "button" }, "Cancel");
  const bar = h("progress", { "aria-label": "Progress", max: 1, value: 0 });
  const status = h("p", { class: "dmw-note", role: "status" });
  const node = h(
    "div",
    { class: "sm-engine" },
    h("div", { class: "dmw-row" }, go, pause, cancel),
    bar,
    status,
  );
  let net = null; // while one is loaded or loading
  let place = null; // { root, manifest } of the book's files
  let ways = []; // to compute here, the first is taken
  let note = ""; // on a way that failed
  let changed = false; // whether the step under way had to begin anew
  let off = null; // how far the graphics chip was off the known answer
  let loaded = 0; // bytes so far
  let state = "waiting"; // looking, ready, unable, loading, running, paused
  let token = null; // of the run under way
  let knobs = ""; // of the last run
  let fetched = false; // whether the browser has all the files by now
  let idle = 0;
  let resume = () => {};

  const say = (text) => status.textContent === note + text || (status.textContent = note + text);
  const size = () => (place ? place.manifest.runtimes[ways[0].files].bytes.all : 0);
  const where = () => (live ? "in the kernel" : PLACES[ways[0].provider]);
  const stale = h("p", { class: "dmw-note sm-stale", hidden: true });
  node.append(stale);
  stale.textContent =
    "Changed since this run: the pictures show the earlier settings. Generate again.";
  const show = () => {
    stale.hidden = !knobs || knobs === knobsOf(model);
    const busy = ["loading", "running", "paused"].includes(state);
    go.disabled = busy || state === "unable" || state === "looking";
    go.replaceChildren(
      h("span", { "aria-hidden": "true" }, "▶ "),
      "Generate",
      live || net || fetched || !size() ? "" : ` (loads ${megabytes(size())} first)`,
    );
    pause.hidden = cancel.hidden = bar.hidden = !busy;
    pause.disabled = state === "loading";
    pause.replaceChildren(state === "paused" ? "Resume" : "Pause");
  };
  const enter = (next) => ((state = next), show());

  const release = () => {
    clearTimeout(idle);
    net?.stop();
    net = null;
  };
  const tell = ({ got, stage }) => {
    if (got) (loaded = got), (bar.value = Math.min(1, got / size()));
    if (stage) bar.removeAttribute("value"), say("Starting the runtime …");
  };
  const gaveUp = ({ message }, { provider }) => {
    changed = true;
    // The worker's own reasons ("it …") are for readers; the runtime's are long, and for the console.
    const why = message.startsWith("it ") ? ` (${message})` : "";
    if (!why) console.warn(message);
    if (provider === "webgpu")
      note = `Your graphics chip failed${why}, so the processor computes. `;
    say("");
  };
  const begin = async () => {
    if (net) return;
    loaded = 0;
    const from = fetched ? "what the browser has kept" : `${megabytes(size())} from this book`;
    if (!live) say(`Loading the runtime and the model, ${from} …`);
    const make = (way) => browserNet(place, way, { ...world, tell });
    net = live ? kernelNet(source) : steadyNet(ways, { make, gaveUp });
    off = (await net.loaded) ?? null;
    fetched = true;
  };
  /** Awaited before and after every call of the network: waits while paused, throws when cancelled. */
  const gateFor = (mine) => async () => {
    if (state === "paused") await new Promise((done) => (resume = done));
    if (token !== mine) throw new Error("stopped");
  };
  const start = async () => {
    const mine = (token = {});
    clearTimeout(idle);
    bar.value = 0;
    enter("loading");
    let run = null;
    try {
      await begin();
      if (token !== mine) return;
      enter("running");
      const plan = planOf(model, world);
      knobs = knobsOf(model);
      run = {
        times: plan.times,
        seed: plan.seed,
        moments: [],
        ms: [],
        total: 0,
        calls: 0,
        kind: "live",
      };
      changed = false;
      say(working());
      await walk(run, plan, gateFor(mine));
      say(
        `Done: ${plan.times.length - 1} steps, ${run.calls} calls of the network in ${number(run.total / 1000, 1)} s, ${where()}. Drag “step” to look back.`,
      );
    } catch (error) {
      if (token !== mine) return;
      release();
      say(`That failed: ${error.message}.`);
    }
    token = null;
    idle = setTimeout(() => (release(), show()), IDLE);
    enter("ready");
  };
  const working = () =>
    live
      ? "The kernel computes."
      : `Your browser computes, ${where()}, in a worker beside the page.`;
  const walk = async (run, plan, gate) => {
    const last = plan.times.length - 1;
    let spent = 0; // ms in the network since the last step
    const predict = async (...question) => {
      const begun = performance.now();
      const answer = await net.predict(...question);
      spent += performance.now() - begun;
      run.calls += 1;
      return answer;
    };
    const moment = (k, seen) => {
      // Whoever has dragged back to an earlier moment is left there.
      const follows = k === 0 || model.get("moment") === k - 1;
      run.moments.push(seen);
      // The time of a step says how fast the place is that computes now.
      if (changed) run.ms.length = 0;
      else if (k < last) run.ms.push(spent);
      changed = false;
      run.where = where();
      run.total += spent;
      spent = 0;
      if (k < last) say(working());
      if (k === 0) onRun(run);
      bar.value = k / last;
      if (follows) put(model, "moment", k);
    };
    await walkBack(makeDenoiser(predict, plan), plan.xT, { ...plan, gate, moment });
  };
  const stop = () => {
    token = null;
    release();
    resume();
  };
  go.addEventListener("click", start);
  pause.addEventListener("click", () => {
    if (state === "running") return enter("paused");
    enter("running");
    return resume();
  });
  cancel.addEventListener(
    "click",
    () => (stop(), say("Cancelled; the worker is gone."), enter("ready")),
  );
  onStop(stop);

  const unable = (why) => (
    say(`Here you see a recorded run, as ${why}. Drag “step” to look through it.`), enter("unable")
  );
  const look = async () => {
    const why = whyNot(world);
    if (why) return unable(why);
    enter("looking");
    try {
      ways = await waysHere();
      place = await readManifest();
      say(
        "You see a recorded run. Nothing has been loaded yet; what is loaded comes from this book and stays in your browser.",
      );
      return enter("ready");
    } catch (error) {
      return unable(error.message);
    }
  };
  if (live) say("You see a recorded run. Generate asks this notebook's kernel."), enter("ready");
  else look();
  return { node, show, loaded: () => loaded, state: () => state, off: () => off };
}
