// Generate: the network denoises sixteen pictures while the reader looks on, and scrubs back afterwards.

const COUNT = 16;
const STEPS = [1, 2, 3, 5, 10, 15, 20, 30, 50, 100, 250];
const SAMPLERS = { ddim: "DDIM", ddpm: "DDPM", dpm: "DPM-Solver++(2M)" };
const STARTS = { noise: "pure noise", drawing: "a drawing, noised to t" };
const IDLE = 120e3; // ms until a worker that nobody uses gives its memory back

/** The run that Python recorded: from its x0_hat alone every x_t follows, by the step of DDIM. */
function recordedRun({ record, bar, n }) {
  const times = spacedTimes(bar.length - 1, record.steps);
  let known = null; // worked out when it is looked at for the first time
  const moments = () => {
    const guesses = unpack(record.x0_hat);
    const all = [];
    let xt = runNoise(record.seed, 0, n);
    for (let k = 0; k < record.steps; k++) {
      const [t, tPrev] = [times[k], times[k + 1]];
      const x0 = toUnit(guesses.subarray(k * n, (k + 1) * n));
      all.push({ t, xt, x0 });
      xt = ddimStep(xt, epsFromX0(x0, xt, bar[t]), null, { t, tPrev, bar, eta: 0 });
    }
    return [...all, { t: 0, xt, x0: xt }];
  };
  return {
    times,
    seed: record.seed,
    kind: "recorded",
    get moments() {
      return (known ??= moments());
    },
  };
}

/** What a run needs to know, from the state as it is now. */
function planOf(model, { side, bar, names, n }) {
  const get = (key) => model.get(key);
  const drawn = get("start") === "drawing";
  const from = drawn ? get("t_start") : bar.length - 1;
  const noise = runNoise(get("seed"), 0, n);
  const one = toUnit(drawingOf(model, side));
  const x0 = Float64Array.from(noise, (_, i) => one[i % side ** 2]);
  const y = names.length
    ? Array.from({ length: COUNT }, (_, i) => (get("label") < 0 ? i % names.length : get("label")))
    : null;
  return {
    xT: drawn ? qSample(x0, noise, bar[from], new Float64Array(n)) : noise,
    times: spacedTimes(from, Math.min(get("steps"), from)),
    step: stepRule(get("sampler")),
    eta: get("eta"),
    seed: get("seed"),
    bar,
    y,
    scale: names.length ? get("guidance_scale") : 1,
    clip: get("clip"),
  };
}

function render({ model: source, el }) {
  const data = source.get("_data");
  const { side, names, T, nullClass } = data;
  const bar = unpack(data.alpha_bar);
  const n = COUNT * side ** 2;
  const world = { ...data, bar, n };
  const setting = {
    title: "Generate: sixteen pictures out of noise",
    label: "Interactive figure: a network denoises sixteen pictures",
    states: [
      "moment",
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
    ],
    layout: LAYOUT,
  };
  return frame({ model: source, el }, setting, (body, { model, onStop }) => {
    const live = typeof source.send === "function";
    let run = recordedRun(world);
    const noisy = sheet(side, COUNT, "x_t");
    const guess = sheet(side, COUNT, "the network's guess");
    const captions = [h("figcaption"), h("figcaption")];
    const table = facts({
      t: "*t*",
      step: "step",
      calls: "calls of the network",
      speed: "time a step",
      where: "computed",
    });
    table.node.classList.add("sm-facts");
    const scrub = slider(model, "moment", { label: "step", min: 0, max: run.times.length - 1 });
    const code = h("code");
    const play = h("span");
    const fit = () => {
      scrub.range(0, run.times.length - 1);
      play.replaceChildren(
        player(model, "moment", { min: 0, max: run.times.length - 1, seconds: 4, onStop }),
      );
    };
    fit();
    const eta = slider(model, "eta", {
      label: "*η*",
      min: 0,
      max: 1,
      step: 0.05,
      format: (v) => number(v, 2),
    });
    const drawing = h(
      "div",
      { class: "sm-drawing" },
      drawingPad(model, side),
      h(
        "div",
        { class: "dmw-body" },
        slider(model, "t_start", { label: "noised to *t*", min: 1, max: T, width: "3.2em" }).node,
        rich("A small *t* keeps your lines, a large one keeps next to nothing.", {
          class: "dmw-note",
        }),
        examples(model, { pictures: unpack(data.images), names: data.image_names, side }),
      ),
    );
    const engine = generator({
      source,
      model,
      world,
      live,
      onStop,
      onRun: (next) => ((run = next), fit()),
    });
    body.append(
      engine.node,
      h(
        "div",
        { class: "sm-two" },
        h("figure", null, noisy, captions[0]),
        h("figure", null, guess, captions[1]),
      ),
      h("div", { class: "dmw-row" }, play, scrub.node),
      table.node,
      h(
        "div",
        { class: "dmw-row" },
        choice(model, "start", { label: "Start from", options: STARTS }),
        names.length > 0 &&
          choice(model, "label", {
            label: "Class",
            options: [[-1, "a mix of all"], ...names.map((name, i) => [i, name])],
          }),
        choice(model, "sampler", { label: "Sampler", options: SAMPLERS }),
      ),
      drawing,
      h(
        "div",
        { class: "dmw-row sm-knobs" },
        slider(model, "steps", {
          label: "steps",
          min: 0,
          max: STEPS.length - 1,
          toValue: (i) => STEPS[i],
          fromValue: (s) =>
            STEPS.reduce(
              (best, v, i) => (Math.abs(v - s) < Math.abs(STEPS[best] - s) ? i : best),
              0,
            ),
        }).node,
        names.length > 0 &&
          slider(model, "guidance_scale", {
            label: "guidance *w*",
            min: 0,
            max: 6,
            step: 0.5,
            format: (v) => number(v, 1),
          }).node,
        eta.node,
      ),
      h(
        "div",
        { class: "dmw-row" },
        seedBox(model),
        tickBox(model, "clip", "keep *x̂*_0 in [−1, 1]"),
      ),
      h("details", null, h("summary", null, "The same in Python"), h("pre", { tabindex: 0 }, code)),
    );

    const now = () => run.moments[clamp(model.get("moment"), 0, run.moments.length - 1)];
    const draw = () => {
      const { t, xt, x0 } = now();
      const at = run.moments.indexOf(now());
      drawSheet(noisy, xt, side);
      drawSheet(guess, x0, side);
      const word = run.kind === "recorded" ? "recorded run" : "this run";
      noisy.setAttribute(
        "aria-label",
        `Sixteen pictures x_t at t = ${t}, step ${at} of ${run.times.length - 1}, ${word}`,
      );
      guess.setAttribute(
        "aria-label",
        `What the network takes for the clean pictures, at t = ${t}`,
      );
      captions[0].replaceChildren(rich(`*x*_t at *t* = ${t}`));
      captions[1].replaceChildren(rich(t ? "*x̂*_0, the network's guess" : "*x*_0, done"));
      drawing.hidden = model.get("start") !== "drawing";
      eta.enable(model.get("sampler") === "ddim");
      table.set({
        t: `${t} of ${T}`,
        step: `${at} of ${run.times.length - 1}`,
        calls: run.calls ?? "recorded",
        speed: run.ms?.length ? `${Math.round(moments(run.ms)[0])} ms` : "–",
        where: run.where ?? "some time ago",
      });
      code.textContent = pythonOf(model, names);
      engine.show();
    };
    const numbers = () => {
      const { t, xt, x0 } = now();
      return {
        t,
        times: run.times,
        kind: run.kind,
        moments: run.moments.length,
        xt: Array.from(xt),
        x0_hat: Array.from(x0),
        ms: run.ms,
        where: run.where,
        off: engine.off(),
        loaded: engine.loaded(),
        state: engine.state(),
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.sm-two { display:grid; grid-template-columns:repeat(2,minmax(0,1fr)); gap:calc(.8*var(--r)) calc(1*var(--r)); max-width:calc(40*var(--r)); margin:0 auto; width:100%; }
.dmw .sm-two figure,.sm-draw { margin:0; text-align:center; } .dmw .sm-two figcaption { margin-top:calc(.3*var(--r)); color:var(--ink); font:inherit; }
.sm-two .dmw-pixels { background:var(--tint); border-radius:6px; }
.sm-drawing { display:grid; gap:calc(1*var(--r)); grid-template-columns:minmax(0,1fr); align-items:start; background:var(--tint); padding:calc(.9*var(--r)); border-radius:10px; }
.sm-pad { max-width:calc(17*var(--r)); margin:0 auto calc(.6*var(--r)); touch-action:none !important; cursor:crosshair; box-shadow:0 0 0 1px var(--line); }
.sm-pad:focus-visible { outline:3px solid var(--blue); outline-offset:2px; }
.dmw .sm-draw button[aria-pressed=true] { border-color:var(--blue); box-shadow:0 0 0 1px var(--blue); }
.sm-draw .dmw-row { justify-content:center; gap:calc(.4*var(--r)); }
.dmw .sm-take { padding:0; min-height:0; border-radius:8px; flex:1 1 34px; max-width:44px; overflow:hidden; line-height:0; }
.sm-take canvas { width:100%; aspect-ratio:1; image-rendering:pixelated; }
.dmw .sm-seed { font:inherit; width:calc(6*var(--r)); color:var(--ink); background:var(--panel); border:1px solid var(--line); border-radius:9px; min-height:calc(2.4*var(--r)); padding:calc(.2*var(--r)) calc(.5*var(--r)); }
.dmw input[type=checkbox] { accent-color:var(--blue); width:calc(1.15*var(--r)); height:calc(1.15*var(--r)); margin:0; }
.sm-tight { gap:calc(.5*var(--r)); } .sm-engine { display:grid; gap:calc(.5*var(--r)); }
.dmw progress { width:100%; height:calc(.7*var(--r)); accent-color:var(--blue); }
.dmw details pre { margin:calc(.5*var(--r)) 0 0; padding:calc(.6*var(--r)) calc(.8*var(--r)); background:var(--tint); border:0; border-radius:8px; overflow-x:auto; font-size:calc(.85*var(--r)); color:var(--ink); }
.dmw details code { background:none; border:0; padding:0; color:inherit; } .dmw summary { cursor:pointer; color:var(--blue); }
.sm-knobs .dmw-slider { flex-basis:calc(14*var(--r)); }
.dmw dl.sm-facts > :last-child dd { white-space:normal; font-size:calc(1*var(--r)); }
.dmw .sm-facts > :last-child { grid-column:1 / -1; }
@container (min-width:34rem) { .sm-drawing { grid-template-columns:minmax(0,calc(17*var(--r))) minmax(0,1fr); } }
`;

export default { render };
