// Particles flow back from noise under the exact score of 2-D data; one trajectory, scrubbed by t.

const EDGE = 3.3; // of both axes
const CELL = 0.5; // between two arrows
const KNOTS = 13; // arrows a row, from -3 to 3
const TRAILS = { ddim: 24, ddpm: 5 }; // particles that leave a trail; random walks cover each other

/** E[x_0 | x_t] of a finite data set (dmlib.FiniteOracle): at(x, y, out) writes the two numbers. */
function finiteMean(points, bar) {
  const n = points.length / 2;
  const root = Math.sqrt(bar);
  const scale = 0.5 / (1 - bar);
  const logits = new Float64Array(n);
  return (x, y, out) => {
    let top = -Infinity;
    for (let i = 0; i < n; i++) {
      const dx = x - root * points[2 * i];
      const dy = y - root * points[2 * i + 1];
      logits[i] = -(dx * dx + dy * dy) * scale;
      if (logits[i] > top) top = logits[i];
    }
    let sum = 0,
      mx = 0,
      my = 0;
    for (let i = 0; i < n; i++) {
      if (logits[i] - top < -45) continue; // less than a rounding error of the sum
      const w = Math.exp(logits[i] - top);
      sum += w;
      mx += w * points[2 * i];
      my += w * points[2 * i + 1];
    }
    out[0] = mx / sum;
    out[1] = my / sum;
  };
}

/** E[x_0 | x_t] of a Gaussian mixture [weight, x, y, std] (dmlib.MixtureOracle). */
function mixtureMean(components, bar) {
  const root = Math.sqrt(bar);
  return (x, y, out) => {
    const found = components.map(([w, mx, my, s]) => {
      const V = bar * s * s + 1 - bar;
      const [dx, dy] = [x - root * mx, y - root * my];
      const pull = (root * s * s) / V;
      return [
        Math.log(w) - Math.log(V) - (dx * dx + dy * dy) / (2 * V),
        mx + pull * dx,
        my + pull * dy,
      ];
    });
    const top = Math.max(...found.map(([log]) => log));
    let [sum, ex, ey] = [0, 0, 0];
    for (const [log, hx, hy] of found) {
      const w = Math.exp(log - top);
      sum += w;
      ex += w * hx;
      ey += w * hy;
    }
    [out[0], out[1]] = [ex / sum, ey / sum];
  };
}

/** x_{t-1} from x_t as x0_hat, eps_hat and fresh noise make it: dmlib.steps.ddim and ddpm. */
function weights(sampler, bar, bar_prev) {
  if (sampler === "ddim")
    return { x: 0, x0: Math.sqrt(bar_prev), eps: Math.sqrt(1 - bar_prev), noise: 0 };
  const alpha = bar / bar_prev;
  const beta = 1 - alpha;
  const spread = Math.sqrt(((1 - bar_prev) / (1 - bar)) * beta);
  return {
    x: 1 / Math.sqrt(alpha),
    x0: 0,
    eps: -beta / Math.sqrt(1 - bar) / Math.sqrt(alpha),
    noise: bar_prev < 1 ? spread : 0,
  };
}

/** All particles at all times, [t][particle][x, y] flat; slot T is noise, slot 0 the end. */
function flowBack({ N, alphaBar, meanAt, sampler, seed }) {
  const T = alphaBar.length - 1;
  const size = 2 * N;
  const x = new Float64Array((T + 1) * size);
  const hat = [0, 0];
  for (let i = 0; i < size; i++) x[T * size + i] = normal(seed, i);
  for (let t = T; t >= 1; t--) {
    const [bar, bar_prev] = [alphaBar[t], alphaBar[t - 1]];
    const [root, rest] = [Math.sqrt(bar), Math.sqrt(1 - bar)];
    const mean = meanAt(bar);
    const w = weights(sampler, bar, bar_prev);
    for (let i = 0; i < size; i += 2) {
      const at = t * size + i;
      mean(x[at], x[at + 1], hat);
      for (let d = 0; d < 2; d++) {
        const eps = (x[at + d] - root * hat[d]) / rest;
        const fresh = w.noise && w.noise * normal(seed, (T - t + 1) * size + i + d);
        x[at - size + d] = w.x * x[at + d] + w.x0 * hat[d] + w.eps * eps + fresh;
      }
    }
  }
  return x;
}

function render({ model, el }) {
  const { N, sets, components, beta, fresh } = model.get("_data");
  const { T, alphaBar } = tables(unpack(beta));
  const data = Object.fromEntries(
    Object.entries(sets).map(([name, packed]) => [name, unpack(packed)]),
  );
  const meanFor = (name) => (bar) =>
    name === "mixture" ? mixtureMean(components, bar) : finiteMean(data[name], bar);
  let [last, paths] = ["", null];
  const now = () => {
    const [t, name, sampler, seed] = ["t", "points", "sampler", "seed"].map((key) =>
      model.get(key),
    );
    const asked = `${name} ${sampler} ${seed}`;
    if (asked !== last)
      [last, paths] = [asked, flowBack({ N, alphaBar, meanAt: meanFor(name), sampler, seed })];
    return { t, name, sampler, points: data[name], x: paths.subarray(t * 2 * N, (t + 1) * 2 * N) };
  };
  /** The score times sqrt(1 - alpha_bar_t), which is -eps_hat, at the knots of a grid: [x, y, u, v] each. */
  const field = (t, name) => {
    if (t === 0) return [];
    const bar = alphaBar[t];
    const mean = meanFor(name)(bar);
    const hat = [0, 0];
    return Array.from({ length: KNOTS ** 2 }, (_, i) => {
      const x = -3 + CELL * (i % KNOTS);
      const y = -3 + CELL * Math.floor(i / KNOTS);
      mean(x, y, hat);
      return [x, y, ...[x, y].map((v, d) => (Math.sqrt(bar) * hat[d] - v) / Math.sqrt(1 - bar))];
    });
  };
  /** Mean distance from a particle to the data point that is nearest to it. */
  const nearest = (x, points) => {
    let sum = 0;
    for (let i = 0; i < x.length; i += 2) {
      let best = Infinity;
      for (let j = 0; j < points.length; j += 2)
        best = Math.min(best, (x[i] - points[j]) ** 2 + (x[i + 1] - points[j + 1]) ** 2);
      sum += Math.sqrt(best);
    }
    return sum / N;
  };

  const setting = {
    title: "Back from noise, with the exact score",
    label: "Interactive figure: particles in the plane flow back from noise",
    states: ["t", "points", "sampler", "seed"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const plot = new Axes({ height: null, left: 26 });
    const table = facts({
      bar: "*ᾱ*_t",
      noise: "noise √{1 − *ᾱ*_t}",
      near: "to the nearest data point",
    });
    const verdict = h("p", { class: "dmw-verdict" });
    body.append(
      h(
        "div",
        { class: "pa-main" },
        h(
          "div",
          { class: "pa-left" },
          legend(
            ["blue", "particles *x*_t"],
            ["grey", "data"],
            ["orange", "score × √{1 − *ᾱ*_t} = −*ε̂*", true],
          ),
          plot.node,
          h(
            "div",
            { class: "dmw-row" },
            player(model, "t", { min: T, max: 0, seconds: 6, onStop }),
            slider(model, "t", { label: "*t*", min: 0, max: T, width: "2.4em", falling: true })
              .node,
          ),
        ),
        h(
          "div",
          { class: "pa-side" },
          choice(model, "points", {
            label: "Data",
            options: Object.keys(sets).map((name) => [name, name]),
          }),
          choice(model, "sampler", {
            label: "Step",
            options: { ddim: "DDIM, no noise added", ddpm: "DDPM, fresh noise" },
          }),
          h(
            "button",
            { type: "button", onclick: () => put(model, "seed", (model.get("seed") % 99) + 1) },
            "New particles",
          ),
          table.node,
          verdict,
        ),
      ),
      rich(
        `The slider runs from *t* = ${T} on the left, noise, to *t* = 0 on the right, data. Thin lines: the way that some of the ${N} particles took. Arrows longer than their cell are cut.`,
        { class: "dmw-note" },
      ),
    );

    const arrows = (all) => {
      const { c } = plot;
      plot.clip(() => {
        Object.assign(c, {
          strokeStyle: plot.color("orange"),
          lineWidth: 1.2,
          globalAlpha: 0.65,
          lineCap: "round",
        });
        c.beginPath();
        for (const [x, y, u, v] of all) {
          const size = Math.hypot(u, v);
          const shrink = (0.92 * CELL * Math.min(1, size / 2.5)) / (size || 1);
          const [x0, y0, x1, y1] = [
            plot.X(x),
            plot.Y(y),
            plot.X(x + shrink * u),
            plot.Y(y + shrink * v),
          ];
          const [dx, dy] = [(x1 - x0) * 0.3, (y1 - y0) * 0.3];
          c.moveTo(x0, y0);
          c.lineTo(x1, y1);
          c.moveTo(x1 - dx - 0.6 * dy, y1 - dy + 0.6 * dx);
          c.lineTo(x1, y1);
          c.lineTo(x1 - dx + 0.6 * dy, y1 - dy - 0.6 * dx);
        }
        c.stroke();
        c.lineCap = "butt";
      });
    };
    const column = (flat, d) => Array.from({ length: flat.length / 2 }, (_, i) => flat[2 * i + d]);
    const draw = () => {
      const { t, name, sampler, points, x } = now();
      plot.begin({
        xlim: [-EDGE, EDGE],
        ylim: [-EDGE, EDGE],
        xticks: [-2, 0, 2],
        yticks: [-2, 0, 2],
      });
      plot.dots(column(points, 0), column(points, 1), { color: "grey", radius: 4, alpha: 0.6 });
      arrows(field(t, name));
      const steps = Array.from({ length: T - t + 1 }, (_, k) => T - k);
      const trail = (i, d) => steps.map((s) => paths[2 * (s * N + i) + d]);
      plot.lines(
        Array.from({ length: TRAILS[sampler] }, (_, i) => [trail(i, 0), trail(i, 1)]),
        sampler === "ddim" ? { width: 1.7, alpha: 0.75 } : { width: 1.1, alpha: 0.6 },
      );
      plot.clip(() => plot.dots(column(x, 0), column(x, 1), { radius: 2.6, alpha: 0.95 }));
      const near = nearest(x, points);
      table.set({
        bar: number(alphaBar[t], 4),
        noise: number(Math.sqrt(1 - alphaBar[t])),
        near: number(near),
      });
      verdict.replaceChildren(rich(say(t, name, near)));
      plot.describe(
        `${N} particles at t = ${t} of ${T} on their way from noise to the ${name}; mean distance to the nearest data point ${number(near)}`,
      );
    };
    const say = (t, name, near) => {
      if (t && name === "mixture")
        return "The denoiser knows the *law*, three round heaps. The grey points are there to compare with.";
      if (t)
        return `The denoiser knows the ${data[name].length / 2} grey points, and nothing else.`;
      const both = `On average a particle ends ${number(near)} from a data point; a new point of the law would lie ${number(fresh[name])} from one.`;
      return name === "mixture"
        ? `${both} So these *are* new points.`
        : `${both} Exact for these points means: learned by heart.`;
    };
    const numbers = () => {
      const { t, name, points, x } = now();
      return {
        t,
        paths: Array.from(paths),
        x: Array.from(x),
        field: field(t, name),
        near: nearest(x, points),
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.pa-main { display:grid; gap:calc(1*var(--r)) calc(1.4*var(--r)); align-items:center; } .pa-left { min-width:0; display:grid; gap:calc(.3*var(--r)); }
.pa-side { display:grid; gap:calc(.7*var(--r)); justify-items:start; align-content:center; } .pa-side > :is(dl,p) { width:100%; }
.pa-side .dmw-facts { grid-template-columns:1fr 1fr; } .pa-side .dmw-facts > :last-child { grid-column:1 / -1; }
@container (min-width:40rem) { .pa-main { grid-template-columns:minmax(0,calc(31*var(--r))) minmax(calc(15*var(--r)),1fr); } }
`;

export default { render };
