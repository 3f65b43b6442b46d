// x_t over t: one image, one noise field, x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps.

const LOW = -3.5;
const BIN = 0.25;
const BINS = 28;

/** Histogram of the pixels as a density; what falls outside the axes is counted in the outer bins. */
function density(values) {
  const heights = new Array(BINS).fill(0);
  for (const v of values) heights[clamp(Math.floor((v - LOW) / BIN), 0, BINS - 1)] += 1;
  return heights.map((count) => count / (values.length * BIN));
}

/** What a picture looks like with this share of signal, for those who do not see it. */
function looks(signal) {
  const words = [
    [0.97, "sharp"],
    [0.8, "grainy"],
    [0.4, "clouded by noise, still to be recognised"],
    [0.15, "only a shadow in noise"],
  ];
  return words.find(([least]) => signal > least)?.[1] ?? "nothing but noise to the eye";
}

/** What its pixels' histogram looks like. */
function spread(mean, std) {
  if (Math.abs(mean) < 0.08 && Math.abs(std - 1) < 0.08) return "a bell around 0, as noise has it";
  return `mean ${number(mean, 2)}, ${mean < -0.15 ? "a peak on the dark side" : "no bell yet"}`;
}

function render({ model, el }) {
  const { T, side, images, noise, names } = model.get("_data");
  const split = (all) =>
    Array.from({ length: all.length / side ** 2 }, (_, i) =>
      all.subarray(i * side ** 2, (i + 1) * side ** 2),
    );
  const x0s = split(toUnit(unpack(images)));
  const fields = split(unpack(noise));
  const known = {};
  const now = () => {
    const { alphaBar } = (known[model.get("schedule")] ??= schedule(model.get("schedule"), T));
    return {
      alphaBar,
      bar: alphaBar[model.get("t")],
      x0: x0s[model.get("image")],
      eps: fields[model.get("seed") - 1],
    };
  };
  const xt = new Float64Array(side ** 2);

  const setting = {
    title: "*x*_t over *t*: the image sinks into noise",
    label: "Interactive figure: a noisy image over time",
    states: ["t", "schedule", "image", "seed"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const big = picture(side, "the noisy image");
    const [clean, field] = [picture(side, "the clean image"), picture(side, "the noise")];
    const histogram = new Axes({ height: 190, x: "pixel value of *x*_t", y: "density" });
    const curve = new Axes({ height: 190, x: "*t*", y: "*ᾱ*_t", left: 36 });
    const table = facts({
      bar: "*ᾱ*_t",
      db: "SNR",
      mean: "mean of the pixels",
      std: "std of the pixels",
    });
    const [a, b] = [
      h("strong", { style: "color:var(--blue)" }),
      h("strong", { style: "color:var(--orange)" }),
    ];
    body.append(
      h(
        "div",
        { class: "fp-sum" },
        h("figure", null, big, h("figcaption", null, rich("*x*_t"))),
        h("span", null, "="),
        h(
          "figure",
          null,
          h("div", { class: "fp-term" }, a, " ×", clean),
          h("figcaption", null, rich("√{*ᾱ*_t} *x*_0")),
        ),
        h("span", null, "+"),
        h(
          "figure",
          null,
          h("div", { class: "fp-term" }, b, " ×", field),
          h("figcaption", null, rich("√{1 − *ᾱ*_t} *ε*")),
        ),
      ),
      h(
        "div",
        { class: "dmw-row" },
        player(model, "t", { min: 0, max: T, seconds: 8, onStop }),
        slider(model, "t", { label: "*t*", min: 0, max: T }).node,
      ),
      table.node,
      h(
        "div",
        { class: "dmw-grid fp-plots" },
        h(
          "div",
          null,
          legend(["blue", "pixels of *x*_t"], ["orange", "N(0, 1)", true]),
          histogram.node,
        ),
        h("div", null, legend(["blue", "signal left, *ᾱ*_t", true]), curve.node),
      ),
      thumbs(model, "image", { label: "Image *x*_0", pictures: x0s, names, side }),
      h(
        "div",
        { class: "dmw-row" },
        choice(model, "schedule", { label: "Schedule", options: SCHEDULES }),
        choice(model, "seed", {
          label: "Noise *ε*",
          options: fields.map((_, i) => [i + 1, `seed ${i + 1}`]),
        }),
      ),
      rich("Grey shows [−1, 1]; what lies outside is drawn black or white.", { class: "dmw-note" }),
    );

    const grid = Array.from({ length: 141 }, (_, i) => -3.5 + i * 0.05);
    const bell = grid.map((x) => gaussian(x, 0, 1));
    const draw = () => {
      const { alphaBar, bar, x0, eps } = now();
      const t = model.get("t");
      drawGrey(big, qSample(x0, eps, bar, xt));
      drawGrey(clean, x0);
      drawGrey(field, eps);
      const [signal, noisy] = [number(Math.sqrt(bar)), number(Math.sqrt(1 - bar))];
      const db = number(10 * Math.log10(bar / (1 - bar)), 1);
      [a.textContent, b.textContent] = [signal, noisy];
      const [mean, std] = moments(xt);
      table.set({ bar: number(bar, 4), db: `${db} dB`, mean: number(mean), std: number(std) });
      const name = names[model.get("image")];
      big.setAttribute(
        "aria-label",
        `x_t at t = ${t} of ${T}: ${name}, ${looks(Math.sqrt(bar))}; ${signal} times the image plus ${noisy} times noise`,
      );
      clean.setAttribute("aria-label", `the clean image x_0: ${name}`);
      histogram
        .begin({ xlim: [-3.5, 3.5], ylim: [0, 1], yticks: [0, 0.5, 1] })
        .bars(LOW, BIN, density(xt));
      histogram.line(grid, bell, { color: "orange" });
      histogram.describe(
        `Histogram of the pixels of x_t at t = ${t}: ${spread(mean, std)}; the standard normal density beside it`,
      );
      curve.begin({ xlim: [0, T], ylim: [0, 1], yticks: [0, 0.5, 1], xticks: [0, T / 2, T] });
      curve.line(Array.from(alphaBar.keys()), alphaBar);
      curve.marker(t, bar);
      curve.describe(`alpha bar over t; at t = ${t} it is ${number(bar, 4)}`);
    };
    const numbers = () => {
      const { bar, x0, eps } = now();
      const values = Array.from(qSample(x0, eps, bar, new Float64Array(side ** 2)));
      return {
        t: model.get("t"),
        alpha_bar: bar,
        signal: Math.sqrt(bar),
        noise: Math.sqrt(1 - bar),
        snr_db: 10 * Math.log10(bar / (1 - bar)),
        xt: values,
        density: density(values),
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.fp-sum { display:grid; grid-template-columns:minmax(0,1.55fr) auto minmax(0,1fr) auto minmax(0,1fr);
  gap:calc(.7*var(--r)); align-items:end; font-size:calc(1.3*var(--r)); max-width:calc(38*var(--r)); margin:0 auto; width:100%; }
.fp-sum figure { margin:0; text-align:center; } .fp-sum figcaption { font-size:calc(1*var(--r)); margin-top:calc(.3*var(--r)); color:var(--ink); }
.fp-sum > span { align-self:center; } .fp-term { font-size:calc(1*var(--r)); } .fp-term canvas { margin-top:calc(.3*var(--r)); }
@container (min-width:34rem) { .fp-plots { grid-template-columns:minmax(0,3fr) minmax(0,2fr); } }
@container (max-width:30rem) { .fp-sum { gap:calc(.4*var(--r)); font-size:calc(1.05*var(--r)); } .fp-sum figcaption,.fp-term { font-size:calc(.85*var(--r)); } }
`;

export default { render };
