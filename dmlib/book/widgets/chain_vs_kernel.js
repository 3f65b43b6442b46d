// Particles walk the chain q(x_t | x_{t-1}) step by step; the kernel's density is drawn over them.

const LOW = -4;
const BIN = 0.2;
const BINS = 40;
const PATHS = 16;

/** All particles at all times, (T + 1) x N, each from the one before by one noising step. */
function walk({ N, beta, components, start, x0, seed }) {
  const x = new Float64Array(beta.length * N);
  for (let i = 0; i < N; i++) x[i] = start === "point" ? x0 : drawn(components, seed, i);
  for (let t = 1; t < beta.length; t++) {
    const keep = Math.sqrt(1 - beta[t]);
    const add = Math.sqrt(beta[t]);
    for (let i = 0; i < N; i++)
      x[t * N + i] = keep * x[(t - 1) * N + i] + add * normal(seed, t * N + i);
  }
  return x;
}

/** Particle i of the mixture. */
function drawn(components, seed, i) {
  let u = uniform(seed + 1000003, i);
  const found = components.find(([weight]) => (u -= weight) < 0) ?? components.at(-1);
  return found[1] + found[2] * normal(seed, i);
}

/** The law of x_t in one jump: [weight, mean, variance] of each Gaussian in it. */
function law(components, alphaBar_t) {
  return components.map(([w, mean, std]) => [
    w,
    Math.sqrt(alphaBar_t) * mean,
    alphaBar_t * std ** 2 + 1 - alphaBar_t,
  ]);
}

const total = (parts, f) =>
  parts.reduce((sum, [w, mean, variance]) => sum + w * f(mean, variance), 0);

const BLOCK = 32;

/**
 * The largest gap between the particles' distribution function and the law's. Both rise, so the ends
 * of a block of particles bound the gap inside it, and most blocks need not be looked into.
 */
function largestGap(values, parts) {
  const sorted = Float64Array.from(values).sort();
  const n = sorted.length;
  const F = (i) => total(parts, (m, v) => normalCdf((sorted[i] - m) / Math.sqrt(v)));
  const blocks = [];
  for (let first = 0; first < n; first += BLOCK) {
    const last = Math.min(first + BLOCK, n) - 1;
    const [low, high] = [F(first), F(last)];
    blocks.push({ first, last, most: Math.max(high - first / n, (last + 1) / n - low) });
  }
  blocks.sort((a, b) => b.most - a.most);
  let gap = 0;
  for (const { first, last, most } of blocks) {
    if (most <= gap) break;
    for (let i = first; i <= last; i++) {
      const at = F(i);
      gap = Math.max(gap, at - i / n, (i + 1) / n - at);
    }
  }
  return gap;
}

function render({ model, el }) {
  const { N, components, beta: packed } = model.get("_data");
  const { T, beta, alphaBar } = tables(unpack(packed));
  let [last, paths] = ["", null];
  const now = () => {
    const [start, x0, seed, t] = ["start", "x0", "seed", "t"].map((name) => model.get(name));
    const asked = `${start} ${start === "point" && x0} ${seed}`;
    if (asked !== last) [last, paths] = [asked, walk({ N, beta, components, start, x0, seed })];
    const from = start === "point" ? [[1, x0, 0]] : components;
    return { t, start, values: paths.subarray(t * N, (t + 1) * N), parts: law(from, alphaBar[t]) };
  };
  const heightsOf = (values) => {
    const heights = new Array(BINS).fill(0);
    for (const v of values)
      heights[clamp(Math.floor((v - LOW) / BIN), 0, BINS - 1)] += 1 / (N * BIN);
    return heights;
  };
  const summary = () => {
    const { t, start, values, parts } = now();
    const [mean, std] = moments(values);
    const lawMean = total(parts, (m) => m);
    const lawStd = Math.sqrt(total(parts, (m, v) => v + (m - lawMean) ** 2));
    const sharp = start === "point" && t === 0;
    return {
      t,
      start,
      values,
      parts,
      mean,
      std,
      lawMean,
      lawStd,
      sharp,
      gap: sharp ? 0 : largestGap(values, parts),
    };
  };

  const setting = {
    title: "Step by step, or in one jump?",
    label: "Interactive figure: the chain against the kernel in one dimension",
    states: ["t", "start", "x0", "seed"],
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const top = new Axes({ height: 250, y: "density", x: "*x*_t" });
    const below = new Axes({ height: 200, y: "*t*", x: "*x*" });
    const names = h("div");
    const table = facts({
      mean: "mean: particles | kernel",
      std: "std: particles | kernel",
      gap: "largest gap of the CDFs",
    });
    const where = slider(model, "x0", {
      label: "*x*_0",
      min: -2,
      max: 2,
      step: 0.1,
      format: (v) => number(v, 1),
    });
    body.append(
      h("div", null, names, top.node),
      h(
        "div",
        { class: "dmw-row" },
        player(model, "t", { min: 0, max: T, seconds: 8, onStop }),
        slider(model, "t", { label: "*t*", min: 0, max: T, width: "2.4em" }).node,
      ),
      table.node,
      h(
        "div",
        null,
        h(
          "p",
          { class: "dmw-head" },
          `The paths of the first ${PATHS} particles, time running down`,
        ),
        below.node,
      ),
      h(
        "div",
        { class: "dmw-row" },
        choice(model, "start", {
          label: "Start from",
          options: { mixture: "the mixture q(x₀)", point: "one point x₀" },
        }),
        where.node,
        h(
          "button",
          { type: "button", onclick: () => put(model, "seed", (model.get("seed") % 99) + 1) },
          "New particles",
        ),
      ),
      rich(
        `By chance alone the gap stays below ${number(1.358 / Math.sqrt(N))} in 95 of 100 draws (Kolmogorov–Smirnov).`,
        { class: "dmw-note" },
      ),
    );

    const grid = Array.from({ length: 241 }, (_, i) => LOW + (i * BIN * BINS) / 240);
    const draw = () => {
      const { t, start, values, parts, mean, std, lawMean, lawStd, sharp, gap } = summary();
      where.enable(start === "point");
      const kernel =
        start === "point" ? "the kernel *q*(*x*_t | *x*_0)" : "the kernel, averaged over *x*_0";
      if (names.dataset.kernel !== kernel) {
        names.dataset.kernel = kernel;
        names.replaceChildren(
          legend(["blue", `${N} particles after *t* steps`], ["orange", kernel, true]),
        );
      }
      table.set({
        mean: `${number(mean)} | ${number(lawMean)}`,
        std: `${number(std)} | ${number(lawStd)}`,
        gap: sharp ? "–" : number(gap),
      });
      top
        .begin({ xlim: [LOW, -LOW], ylim: [0, 1], yticks: [0, 0.5, 1] })
        .bars(LOW, BIN, heightsOf(values), { alpha: 0.5 });
      const curve = grid.map((x) => total(parts, (m, v) => gaussian(x, m, v)));
      if (sharp) top.marker(parts[0][1]);
      else top.line(grid, curve, { color: "orange", width: 2.6 });
      top.describe(
        `Histogram of ${N} particles after t = ${t} of ${T} steps of the chain, and the kernel's density, ${sharp ? "one point" : heaps(curve)}: means ${number(mean)} and ${number(lawMean)}, standard deviations ${number(std)} and ${number(lawStd)}`,
      );
      below.begin({ xlim: [LOW, -LOW], ylim: [T, 0], yticks: [0, T / 2, T] });
      const times = Array.from({ length: t + 1 }, (_, s) => s);
      const lines = Array.from({ length: PATHS }, (_, i) => [
        times.map((s) => paths[s * N + i]),
        times,
      ]);
      below.lines(lines, { width: 1.1, alpha: 0.7 });
      below.dots(Array.from(values.subarray(0, PATHS)), new Array(PATHS).fill(t));
      below.line([LOW, -LOW], [t, t], { color: "orange", width: 1.5 });
      below.describe(`Paths of ${PATHS} particles from t = 0 down to t = ${t}`);
    };
    const numbers = () => {
      const { t, values, parts, mean, std, lawMean, lawStd, gap } = summary();
      return {
        t,
        particles: Array.from(values),
        mean,
        std,
        law_mean: lawMean,
        law_std: lawStd,
        gap,
        density: grid.map((x) => total(parts, (m, v) => gaussian(x, m, v))),
        grid,
      };
    };
    return { draw, numbers };
  });
}

export default { render };
