// beta_t, alpha_bar_t and log SNR as the family, T and the two variances change.

const FRAMES = 9;

function render({ model, el }) {
  const { side, images, names, noise } = model.get("_data");
  const pixels = toUnit(unpack(images));
  const x0s = names.map((_, i) => pixels.subarray(i * side ** 2, (i + 1) * side ** 2));
  const eps = unpack(noise);
  const usual = schedule("linear", 1000);
  const straight = () => ["linear", "zero-snr"].includes(model.get("family"));
  const now = () =>
    schedule(model.get("family"), model.get("T"), model.get("beta_1"), model.get("beta_T"));
  const frameTimes = (T) =>
    Array.from({ length: FRAMES }, (_, k) => Math.round((k * T) / (FRAMES - 1)));

  const setting = {
    title: "Shape the schedule",
    label: "Interactive figure: the variance schedule and what it does to an image",
    states: ["family", "T", "beta_1", "beta_T", "image"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    const plots = {
      beta: new Axes({ height: 170, x: "*t*", y: "*β*_t", left: 46 }),
      bar: new Axes({ height: 170, x: "*t*", y: "*ᾱ*_t", left: 34 }),
      snr: new Axes({ height: 170, x: "*t*", y: "log SNR", left: 34 }),
    };
    const log = {
      step: 0.02,
      format: (v) => small(v),
      width: "5.4em",
      toValue: (v) => Number((10 ** v).toPrecision(4)),
      fromValue: Math.log10,
    };
    const first = slider(model, "beta_1", { label: "*β*_1", min: -5, max: -1, ...log });
    const final = slider(model, "beta_T", { label: "*β*_T", min: -4, max: -0.3, ...log });
    const films = Array.from({ length: FRAMES }, () => picture(side, "a noisy image"));
    const captions = films.map(() => h("figcaption", { class: "dmw-note" }));
    const verdict = h("p", { class: "dmw-verdict" });
    const off = rich("This family fixes its curve by itself: *β*_1 and *β*_T play no part.", {
      class: "dmw-note",
    });
    body.append(
      h(
        "div",
        { class: "dmw-row" },
        choice(model, "family", { label: "Family", options: SCHEDULES }),
        slider(model, "T", { label: "*T*", min: 10, max: 2000, step: 10 }).node,
      ),
      h("div", { class: "dmw-row se-betas" }, first.node, final.node),
      off,
      h("div", { class: "dmw-grid se-plots" }, ...Object.values(plots).map((plot) => plot.node)),
      legend(
        ["blue", "this schedule", true],
        ["grey", "linear, *T* = 1000, stretched to the same width", true],
      ),
      h(
        "div",
        { class: "se-film" },
        ...films.map((film, k) => h("figure", null, film, captions[k])),
      ),
      verdict,
      thumbs(model, "image", { label: "Image *x*_0", pictures: x0s, names, side }),
    );

    // beta_1 must not pass beta_T: the one that is moved takes the other along.
    model.on(
      "change:beta_1",
      () => model.get("beta_1") > model.get("beta_T") && put(model, "beta_T", model.get("beta_1")),
    );
    model.on(
      "change:beta_T",
      () => model.get("beta_T") < model.get("beta_1") && put(model, "beta_1", model.get("beta_T")),
    );

    const xt = new Float64Array(side ** 2);
    const draw = () => {
      const { T, beta, alphaBar, logSnr } = now();
      for (const control of [first, final]) control.enable(straight());
      off.hidden = straight();
      const steps = Array.from({ length: T + 1 }, (_, t) => t);
      const stretched = Array.from(usual.beta.keys(), (t) => (t * T) / 1000);
      const both = (plot, name, from, limits) => {
        plot.begin({ xlim: [0, T], xticks: [0, T / 2, T], ...limits });
        plot.line(stretched.slice(from), usual[name].subarray(from), {
          color: "grey",
          width: 1.6,
          dash: [5, 4],
        });
        plot.line(
          steps.slice(from),
          name === "logSnr"
            ? logSnr.subarray(from).map((v) => clamp(v, -99, 99))
            : { beta, alphaBar }[name].subarray(from),
          { width: 2.6 },
        );
      };
      const peak = Math.max(0.02, ...beta);
      both(plots.beta, "beta", 1, { ylim: [0, peak * 1.05] });
      both(plots.bar, "alphaBar", 0, { ylim: [0, 1], yticks: [0, 0.5, 1] });
      both(plots.snr, "logSnr", 1, { ylim: [-12, 12], yticks: [-10, -5, 0, 5, 10] });
      plots.beta.describe(`beta_t for t = 1 to ${T}, from ${small(beta[1])} to ${small(beta[T])}`);
      plots.bar.describe(`alpha bar for t = 0 to ${T}, from 1 to ${small(alphaBar[T])}`);
      plots.snr.describe(
        `log SNR for t = 1 to ${T}, from ${number(logSnr[1], 1)} to ${number(logSnr[T], 1)}`,
      );
      const name = names[model.get("image")];
      for (const [k, t] of frameTimes(T).entries()) {
        drawGrey(films[k], qSample(x0s[model.get("image")], eps, alphaBar[t], xt));
        films[k].setAttribute("aria-label", `${name} at t = ${t}`);
        captions[k].textContent = t;
      }
      judge(alphaBar[T]);
    };
    const judge = (bar) => {
      const left = Math.sqrt(bar);
      const text =
        bar === 0
          ? "*ᾱ*_T = 0 exactly: *x*_T is pure noise, nothing of the image is left."
          : left < 0.01
            ? `*ᾱ*_T = ${small(bar)}: √{*ᾱ*_T} = ${small(left)} of the image is left in *x*_T, as good as pure noise.`
            : `*ᾱ*_T = ${small(bar)}: *x*_T still carries signal! √{*ᾱ*_T} = ${small(left)} of the image is left, so a sampler that starts from N(0, 1) starts from something the chain never reached.`;
      verdict.toggleAttribute("data-warn", left >= 0.01);
      verdict.replaceChildren(left >= 0.01 ? "⚠ " : "✓ ", rich(text));
    };
    const numbers = () => {
      const { T, beta, alphaBar, logSnr } = now();
      const films = frameTimes(T).map((t) =>
        Array.from(qSample(x0s[model.get("image")], eps, alphaBar[t], new Float64Array(side ** 2))),
      );
      return {
        T,
        beta: Array.from(beta),
        alpha_bar: Array.from(alphaBar),
        log_snr: Array.from(logSnr, String),
        times: frameTimes(T),
        films,
        warns: Math.sqrt(alphaBar[T]) >= 0.01,
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.se-betas .dmw-slider { flex-basis:calc(15*var(--r)); } .se-plots { gap:calc(.6*var(--r)) calc(.8*var(--r)); grid-template-columns:repeat(2,minmax(0,1fr)); }
.se-plots > :last-child { grid-column:1 / -1; }
.se-film { display:grid; grid-template-columns:repeat(9,minmax(0,1fr)); gap:calc(.35*var(--r)); }
.se-film figure { margin:0; text-align:center; } .se-film .dmw-pixels { border-radius:5px; }
.se-film figcaption { font-size:calc(.8*var(--r)); }
@container (min-width:34rem) { .se-plots { grid-template-columns:repeat(3,minmax(0,1fr)); }
  .se-plots > :last-child { grid-column:auto; } }
@container (max-width:34rem) { .se-film { grid-template-columns:repeat(5,minmax(0,1fr)); }
  .se-film figure:nth-child(even) { display:none; } }
`;

export default { render };
