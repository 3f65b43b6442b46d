// SDE, probability-flow ODE and what lies between: particles, their paths and their marginals.

const CLEAR = 1.5; // times what chance alone gives: from here on the marginals are called wrong

/**
 * All particles at all times, [step][particle][x, y] flat, slot 0 the noise: dmlib.continuous.euler
 * with dmlib.MixtureOracle, [weight, x, y, std] each. The churn slider runs all of it anew at every
 * frame: plain loops, nothing made in them.
 */
function walk({ size, beta, components, churn, steps, noise }) {
  const x = new Float64Array((steps + 1) * size);
  x.set(noise.subarray(0, size));
  const K = components.length;
  const [cx, cy, pull, half, base, logs] = Array.from({ length: 6 }, () => new Float64Array(K));
  for (let k = 0; k < steps; k++) {
    const { a, b, beta: g2 } = levels(beta, (steps - k) / steps);
    const h = (steps - k) / steps - (steps - k - 1) / steps;
    components.forEach(([w, mx, my, std], j) => {
      const V = (a * std) ** 2 + b * b;
      [cx[j], cy[j], pull[j], half[j]] = [mx, my, (a * std * std) / V, 0.5 / V];
      base[j] = Math.log(w) - Math.log(V);
    });
    // u = a' x0_hat + b' eps_hat, and what makes up for the fresh noise
    const on_x0 = (-g2 / 2) * a;
    const on_eps = ((g2 / 2) * a * a) / b + (churn * churn * g2) / (2 * b);
    const fresh = k < steps - 1 ? churn * Math.sqrt(g2 * h) : 0;
    for (let i = k * size; i < (k + 1) * size; i += 2) {
      const px = x[i];
      const py = x[i + 1];
      let top = -Infinity;
      for (let j = 0; j < K; j++) {
        const dx = px - a * cx[j];
        const dy = py - a * cy[j];
        logs[j] = base[j] - (dx * dx + dy * dy) * half[j];
        if (logs[j] > top) top = logs[j];
      }
      let sum = 0;
      let ex = 0;
      let ey = 0;
      for (let j = 0; j < K; j++) {
        if (logs[j] - top < -40) continue; // less than a rounding error of the sum
        const w = logs[j] === top ? 1 : Math.exp(logs[j] - top);
        sum += w;
        ex += w * (cx[j] + pull[j] * (px - a * cx[j]));
        ey += w * (cy[j] + pull[j] * (py - a * cy[j]));
      }
      ex /= sum;
      ey /= sum;
      x[i + size] = px - h * (on_x0 * ex + (on_eps * (px - a * ex)) / b);
      x[i + size + 1] = py - h * (on_x0 * ey + (on_eps * (py - a * ey)) / b);
      if (fresh) {
        x[i + size] += fresh * noise[i + size];
        x[i + size + 1] += fresh * noise[i + size + 1];
      }
    }
  }
  return x;
}

function render({ model, el }) {
  const { N, PATHS, STEPS, EDGE, BIN, beta, components } = model.get("_data");
  const size = 2 * N;
  const BINS = Math.round((2 * EDGE) / BIN);
  let [drawnOf, drawn] = [0, new Float64Array(0)];
  /** The stream's numbers as far as so many steps need them; they do not depend on the churn. */
  const noiseFor = (seed, steps) => {
    const wanted = (steps + 1) * size;
    if (drawnOf === seed && drawn.length >= wanted) return drawn;
    const kept = drawnOf === seed ? drawn : new Float64Array(0);
    [drawnOf, drawn] = [seed, new Float64Array(wanted)];
    drawn.set(kept);
    for (let i = kept.length; i < wanted; i++) drawn[i] = normal(seed, i);
    return drawn;
  };
  let [last, paths] = ["", null];
  const now = () => {
    const [churn, steps, time, seed] = ["churn", "steps", "time", "seed"].map((k) => model.get(k));
    const asked = `${churn} ${steps} ${seed}`;
    if (asked !== last) {
      const noise = noiseFor(seed, churn > 0 ? steps : 0);
      [last, paths] = [asked, walk({ size, beta, components, churn, steps, noise })];
    }
    const step = Math.floor((steps * (100 - time)) / 100 + 0.5);
    const s = (steps - step) / steps;
    const { a, b } = levels(beta, s);
    const x = paths.subarray(step * size, (step + 1) * size);
    const sides = [0, 1].map((axis) => marginal(x, axis, a, b));
    const distance = sides.reduce((sum, { found, exact }) => sum + apart(found, exact), 0) / 2;
    const chance = sides.reduce((sum, { exact }) => sum + byChance(exact), 0) / 2;
    return { churn, steps, step, s, x, sides, distance, chance };
  };
  /** Of x or y: the exact law's components, and of each bin the particles' share and the exact one. */
  const marginal = (x, axis, a, b) => {
    const law = mixed(
      components.map((c) => [c[0], c[1 + axis], c[3] ** 2]),
      a,
      b,
    );
    const found = new Array(BINS + 2).fill(0);
    for (let i = axis; i < size; i += 2)
      found[clamp(Math.floor((x[i] + EDGE) / BIN), -1, BINS) + 1] += 1 / N;
    const below = Array.from({ length: BINS + 1 }, (_, i) => shareBelow(law, i * BIN - EDGE));
    const exact = [...below, 1].map((value, i) => value - (below[i - 1] ?? 0));
    return { law, found, exact };
  };
  /** The mean distance of N exact samples. */
  const byChance = (exact) =>
    (exact.reduce((sum, p) => sum + Math.sqrt(Math.max(0, p * (1 - p))), 0) *
      Math.sqrt(2 / Math.PI / N)) /
    2;

  const setting = {
    title: "One process, three views",
    label: "Interactive figure: particles under the SDE, the ODE and in between",
    states: ["churn", "steps", "time", "seed"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const plot = new Axes({ height: null, left: 26 });
    const hists = ["*x*", "*y*"].map((x) => new Axes({ height: 128, x, left: 14 }));
    const table = facts({ distance: "distance from exact", chance: "by chance alone" });
    const verdict = h("p", { class: "dmw-verdict" });
    body.append(
      h(
        "div",
        { class: "tv-main" },
        h(
          "div",
          { class: "tv-left" },
          legend(["blue", "particles"], ["orange", `paths of ${PATHS} of them`, true]),
          plot.node,
          h(
            "div",
            { class: "dmw-row" },
            player(model, "time", { min: 100, max: 0, seconds: 6, onStop }),
            slider(model, "time", {
              label: "*s*",
              min: 0,
              max: 100,
              format: (v) => (v / 100).toFixed(2),
              falling: true,
            }).node,
          ),
        ),
        h(
          "div",
          { class: "tv-side" },
          slider(model, "churn", {
            label: "churn",
            min: 0,
            max: 1.5,
            step: 0.05,
            format: (v) => v.toFixed(2),
          }).node,
          h(
            "div",
            { class: "dmw-row" },
            choice(model, "steps", {
              label: "Steps",
              options: STEPS.map((n) => [n, String(n)]),
            }),
            h(
              "button",
              { type: "button", onclick: () => put(model, "seed", (model.get("seed") % 99) + 1) },
              "New particles",
            ),
          ),
          legend(["blue", "particles"], ["green", "exact density", true]),
          ...hists.map((axes) => axes.node),
          table.node,
          verdict,
        ),
      ),
      rich(
        "Churn 0 is the probability-flow ODE, churn 1 the reverse SDE. *s* = 1 is noise, *s* = 0 data. Distance: total variation over bins of a quarter, the mean of *x* and *y*.",
        { class: "dmw-note" },
      ),
    );

    const xs = Array.from({ length: 141 }, (_, i) => -EDGE + (i * EDGE) / 70);
    const curve = (law) => xs.map((x) => densityOf(law, x));
    const column = (flat, d) => Array.from({ length: flat.length / 2 }, (_, i) => flat[2 * i + d]);
    const draw = () => {
      const { churn, steps, step, s, x, sides, distance, chance } = now();
      const ticks_ = [-3, -2, -1, 0, 1, 2, 3];
      plot.begin({ xlim: [-EDGE, EDGE], ylim: [-EDGE, EDGE], xticks: ticks_, yticks: ticks_ });
      const trail = (i, d) =>
        Array.from({ length: step + 1 }, (_, k) => paths[k * size + 2 * i + d]);
      // Random walks of many steps would cover everything.
      const thin =
        churn > 0 && steps > 25 ? { width: 0.9, alpha: 0.5 } : { width: 1.4, alpha: 0.8 };
      plot.lines(
        Array.from({ length: PATHS }, (_, i) => [trail(i, 0), trail(i, 1)]),
        { color: "orange", ...thin },
      );
      plot.clip(() => {
        plot.dots(column(x, 0), column(x, 1), { radius: 1.7, alpha: 0.6 });
        const some = x.subarray(0, 2 * PATHS);
        plot.dots(column(some, 0), column(some, 1), { color: "orange", radius: 3 });
      });
      const state = `${N} particles at s = ${s.toFixed(2)} after ${step} of ${steps} steps with churn ${churn.toFixed(2)}`;
      plot.describe(`${state}; ${PATHS} paths, ${churn ? "jagged" : "smooth"}`);
      hists.forEach((axes, axis) => {
        const { law, found } = sides[axis];
        const density = curve(law);
        axes.begin({ xlim: [-EDGE, EDGE], ylim: [0, 1.2 * Math.max(...density)], yticks: [] });
        axes.bars(
          -EDGE,
          BIN,
          found.slice(1, -1).map((share) => share / BIN),
        );
        axes.line(xs, density, { color: "green" });
        axes.describe(
          `Histogram of ${"xy"[axis]} beside its exact density, ${heaps(density)}; total variation distance ${number(apart(found, sides[axis].exact))}`,
        );
      });
      table.set({ distance: number(distance), chance: number(chance) });
      const right = distance < CLEAR * chance;
      verdict.toggleAttribute("data-warn", !right);
      verdict.replaceChildren(right ? "✓ " : "⚠ ", rich(say(right, churn, steps)));
    };
    const say = (right, churn, steps) => {
      if (right)
        return `With ${steps} steps the marginals at this *s* are right: ${N} exact samples would be about as far off.`;
      return churn
        ? `With ${steps} steps the marginals at this *s* are not right. Take more steps, or less churn.`
        : `With ${steps} steps the marginals at this *s* are not right. Take more steps.`;
    };
    const numbers = () => {
      const { s, step, x, sides, distance, chance } = now();
      return {
        s,
        step,
        paths: Array.from(paths),
        x: Array.from(x),
        sides: sides.map(({ found, exact, law }) => ({ found, exact, density: curve(law) })),
        distance,
        chance,
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.tv-main { display:grid; gap:calc(1*var(--r)) calc(1.4*var(--r)); align-items:center; } .tv-left { min-width:0; display:grid; gap:calc(.3*var(--r)); }
.tv-side { display:grid; gap:calc(.6*var(--r)); align-content:center; min-width:0; } .tv-side .dmw-facts { grid-template-columns:1fr 1fr; }
@container (min-width:40rem) { .tv-main { grid-template-columns:minmax(0,calc(29*var(--r))) minmax(calc(16*var(--r)),1fr); } }
`;

export default { render };
