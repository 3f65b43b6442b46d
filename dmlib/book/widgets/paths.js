// Pairs of data and noise, each on its own line, beside the flow that has the same laws.

/** Of each path: a and b at a time, their rates, and where a time and an x stand in the picture. */
const waysOf = ({ beta, end }) => ({
  diffusion: {
    end: 1,
    ...{ at: (s) => levels(beta, s), place: (s) => s, time: (p) => p, scale: () => 1 },
    rates(s) {
      const { a, b, beta: g2 } = levels(beta, s);
      return [(-g2 / 2) * a, ((g2 / 2) * a * a) / b];
    },
  },
  straight: {
    end: 1,
    ...{ at: (s) => ({ a: 1 - s, b: s }), place: (s) => s, time: (p) => p, scale: () => 1 },
    rates: () => [-1, 1],
  },
  // In perspective, which keeps straight lines straight: the noise is forty times as wide as the data.
  growing: {
    end,
    ...{ at: (s) => ({ a: 1, b: s }), place: (s) => s / (1 + s), time: (p) => p / (1 - p) },
    ...{ scale: (s) => 1 / (1 + s), rates: () => [0, 1] },
  },
});

/**
 * E[x_0 | x] of a law at a x_0 + b eps (dmlib.MixtureOracle in one dimension). A thousand particles
 * ask it up to forty times a frame: plain loops, nothing made in them.
 */
function guessAt(law, { a, b }) {
  const K = law.length;
  const [mean, centre, pull, half, base, logs] = Array.from(
    { length: 6 },
    () => new Float64Array(K),
  );
  law.forEach(([w, m, v], k) => {
    const V = a * a * v + b * b;
    [mean[k], centre[k], pull[k]] = [m, a * m, (a * v) / V];
    [half[k], base[k]] = [0.5 / V, Math.log(w / Math.sqrt(V))];
  });
  return (x) => {
    let top = -Infinity;
    for (let k = 0; k < K; k++) {
      const d = x - centre[k];
      logs[k] = base[k] - half[k] * d * d;
      if (logs[k] > top) top = logs[k];
    }
    let sum = 0;
    let found = 0;
    for (let k = 0; k < K; k++) {
      const w = logs[k] === top ? 1 : Math.exp(logs[k] - top);
      sum += w;
      found += w * (mean[k] + pull[k] * (x - centre[k]));
    }
    return found / sum;
  };
}

/** dmlib.continuous.euler(), dmlib.steps.ddim() and heun(): of one x at time s, to s_prev. */
const RULES = {
  euler(way, law, s, s_prev) {
    const { a, b } = way.at(s);
    const [rate_a, rate_b] = way.rates(s);
    const guess = guessAt(law, { a, b });
    return (x) => {
      const x0 = guess(x);
      return x - (s - s_prev) * (rate_a * x0 + (rate_b * (x - a * x0)) / b);
    };
  },
  ddim(way, law, s, s_prev) {
    const [{ a, b }, to] = [way.at(s), way.at(s_prev)];
    const guess = guessAt(law, { a, b });
    return (x) => {
      const x0 = guess(x);
      return to.a * x0 + (to.b * (x - a * x0)) / b;
    };
  },
  heun(way, law, s, s_prev) {
    const [{ a, b }, to] = [way.at(s), way.at(s_prev)];
    const guess = guessAt(law, { a, b });
    if (to.b === 0) return RULES.ddim(way, law, s, s_prev);
    const again = guessAt(law, to);
    const gap = Math.log(to.a / to.b) - Math.log(a / b); // infinite from pure noise
    const share = 1 + Math.expm1(-gap) / gap;
    return (x) => {
      const x0 = guess(x);
      const there = to.a * x0 + (to.b * (x - a * x0)) / b;
      return there + to.a * share * (again(there) - x0);
    };
  },
};

function render({ model, el }) {
  const data = model.get("_data");
  const { N, PAIRS, CURVES, MOMENTS, BINS, EDGE, GOAL, MOST, REACH, WIDTHS, weights, stds } = data;
  const ways = waysOf(data);
  const start = ["light", "heavy", "width"].map((key) => data.start[key]);
  const ranks = Array.from({ length: N }, (_, i) => (i + 0.5) / N);
  const drawnOnes = Array.from({ length: CURVES }, (_, i) => Math.floor(((i + 0.5) * N) / CURVES));
  const pairRanks = Array.from({ length: PAIRS }, (_, i) => uniform(1, i)).sort((p, q) => p - q);
  const pairNoise = pairRanks.map((_, i) => normal(2, i));

  let [last, known] = ["", null];
  /** What no solver changes, for a path and a law; computed anew when one of them moves. */
  const truthOf = (path, law) => {
    const asked = `${path} ${law}`;
    if (asked === last) return known;
    const way = ways[path];
    const far = way.place(way.end);
    const moments = Array.from({ length: MOMENTS }, (_, i) => way.time((far * i) / (MOMENTS - 1)));
    const at = (s) => mixed(law, way.at(s).a, way.at(s).b);
    const shown = drawnOnes.map((i) => ranks[i]);
    const x0 = quantiles(law, pairRanks);
    [last, known] = [
      asked,
      {
        start: quantiles(at(way.end), ranks),
        exact: quantiles(law, ranks),
        moments,
        // Trajectories: at every moment the same shares of the law; and pairs, each held.
        curves: moments.map((s) => quantiles(at(s), shown)),
        lines: moments.map((s) => {
          const { a, b } = way.at(s);
          return x0.map((value, i) => a * value + b * pairNoise[i]);
        }),
      },
    ];
    return known;
  };
  const now = () => {
    const keys = ["path", "solver", "evaluations", "spacing", "light", "heavy", "width"];
    const state = Object.fromEntries(keys.map((key) => [key, model.get(key)]));
    const { path, solver, evaluations, spacing, width } = state;
    const [way, means] = [ways[path], [state.light, state.heavy]];
    const law = weights.map((w, k) => [w, means[k], (width * stds[k]) ** 2]);
    const truth = truthOf(path, law);
    const steps = solver === "heun" ? Math.floor((evaluations + 1) / 2) : evaluations;
    const asked = solver === "heun" ? 2 * steps - 1 : steps;
    const times = Array.from({ length: steps + 1 }, (_, i) => way.end * (1 - i / steps) ** spacing);
    let x = truth.start;
    const walked = [drawnOnes.map((i) => x[i])];
    for (let k = 0; k < steps; k++) {
      x = x.map(RULES[solver](way, law, times[k], times[k + 1]));
      walked.push(drawnOnes.map((i) => x[i]));
    }
    const found = new Array(BINS).fill(0);
    for (const value of x)
      found[clamp(Math.floor(BINS * shareBelow(law, value)), 0, BINS - 1)] += 1 / N;
    const distance = apart(found, new Array(BINS).fill(1 / BINS));
    const off = x.reduce((sum, value, i) => sum + Math.abs(value - truth.exact[i]), 0) / N;
    return { ...state, ...truth, way, law, steps, asked, times, walked, x, distance, off };
  };

  const setting = {
    title: "Lines that cross, a flow that cannot",
    label: "Interactive figure: pairs of data and noise, and the flow with the same laws",
    states: ["path", "solver", "evaluations", "spacing", "light", "heavy", "width"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    const heap = new Axes({ height: 320, x: "density", left: 4 });
    const plot = new Axes({ height: 320, x: "*s*, from data to noise", left: 26 });
    const table = facts({
      asked: "evaluations used",
      steps: "steps",
      distance: "total variation",
      off: "off the exact map",
    });
    const verdict = h("p", { class: "dmw-verdict" });
    const handles = ["light", "heavy"].map((key, k) =>
      handle(model, key, {
        label: `mean of the ${key} heap, ${number(100 * weights[k], 0)} % of the data`,
        reach: REACH,
        at: (y) => {
          const { box, ylim } = heap;
          const share = (box[3] - y) / (box[3] - box[1]);
          return ylim[0] + share * (ylim[1] - ylim[0]);
        },
      }),
    );
    body.append(
      rich(
        `Task: a total variation below ${number(GOAL, 2)} with at most ${MOST} evaluations of the exact denoiser.`,
        { class: "pt-task" },
      ),
      h(
        "div",
        { class: "pt-main" },
        h(
          "div",
          { class: "pt-left" },
          legend(
            ["orange", "pairs (*x*_0, *ε*), held", true],
            ["green", "exact flow and law", true],
            ["blue", "solver"],
          ),
          h(
            "div",
            { class: "pt-plots" },
            h("div", { class: "pt-heap" }, heap.node, ...handles.map((one) => one.node)),
            plot.node,
          ),
        ),
        h(
          "div",
          { class: "pt-side" },
          h(
            "div",
            { class: "dmw-row" },
            choice(model, "path", {
              label: "Path",
              options: {
                diffusion: "variance-preserving",
                straight: "straight",
                growing: "growing noise",
              },
            }),
            choice(model, "solver", {
              label: "Solver",
              options: { euler: "Euler", ddim: "DDIM", heun: "Heun" },
            }),
          ),
          slider(model, "evaluations", { label: "evaluations", min: 1, max: 40 }).node,
          slider(model, "spacing", {
            label: "spacing *p*",
            min: 1,
            max: 7,
            step: 0.25,
            format: (v) => number(v, 2),
          }).node,
          slider(model, "width", {
            label: "width of the heaps",
            min: WIDTHS[0],
            max: WIDTHS[1],
            step: 0.05,
            format: (v) => `× ${number(v, 2)}`,
          }).node,
          table.node,
          verdict,
        ),
      ),
      rich(
        `Drag the round handles, or move them with the arrow keys: they are the means of the two heaps. Step *i* of *n* is at the time *s* = (1 − *i*/*n*)^p of the whole: *p* = 1 is even, a larger *p* goes in shorter and shorter steps towards the data. ${N} particles start at the exact quantiles; total variation is over ${BINS} equally likely bins, so that an exact solver has 0. Growing noise is drawn in perspective, *x*/(1 + *σ*) over *σ*/(1 + *σ*), which keeps straight lines straight.`,
        { class: "dmw-note" },
      ),
    );

    const xs = Array.from({ length: 141 }, (_, i) => -EDGE + (i * EDGE) / 70);
    const draw = () => {
      const state = now();
      drawFlow(state);
      drawHeaps(state);
      const { asked, steps, distance, off } = state;
      table.set({
        asked: String(asked),
        steps: String(steps),
        distance: number(distance),
        off: number(off),
      });
      const done = distance < GOAL && asked <= MOST;
      verdict.toggleAttribute("data-warn", !done);
      verdict.replaceChildren(done ? "✓ " : "⚠ ", rich(say(done, state)));
    };
    const drawFlow = (state) => {
      const { path, way, times, walked, solver, asked, distance, moments, curves, lines } = state;
      const growing = path === "growing";
      plot.xLabel = growing ? "*σ*, from data to noise" : "*s*, from data to noise";
      plot.begin({
        xlim: [0, 1],
        ylim: [-EDGE, EDGE],
        xticks: growing ? [0, 1 / 3, 0.5, 2 / 3, 5 / 6, 40 / 41] : [0, 0.25, 0.5, 0.75, 1],
        xformat: (p) => tickText(growing ? Math.round(way.time(p) * 100) / 100 : p),
      });
      const all = (rows, at) =>
        Array.from(rows[0], (_, i) => [
          at.map(way.place),
          rows.map((row, k) => row[i] * way.scale(at[k])),
        ]);
      plot.lines(all(lines, moments), { color: "orange", width: 1, alpha: 0.55 });
      plot.lines(all(curves, moments), { color: "green", width: 2 });
      const taken = all(walked, times);
      plot.lines(taken, { width: 1.4 });
      plot.clip(() => {
        for (const [s, x] of taken) plot.dots(s, x, { radius: 2.2 });
      });
      plot.describe(
        `${PAIRS} lines of pairs, ${path === "diffusion" ? "bent" : "straight"} and crossing; ${CURVES} curves of the exact flow, which do not cross; and where ${NAMES[solver]} goes with ${asked} evaluations, total variation ${number(distance)}`,
      );
    };
    const drawHeaps = ({ law, x, light, heavy, width, distance }) => {
      const density = xs.map((value) => densityOf(law, value));
      heap.begin({
        xlim: [1.2 * Math.max(...density), 0],
        ylim: [-EDGE, EDGE],
        xticks: [],
        yticks: [],
      });
      const bin = EDGE / 25;
      const shares = new Array(50).fill(0);
      for (const value of x) {
        const i = Math.floor((value + EDGE) / bin);
        if (i in shares) shares[i] += 1 / N;
      }
      sideways(
        heap,
        bin,
        shares.map((share) => share / bin),
      );
      heap.line(density, xs, { color: "green" });
      heap.describe(
        `The data’s density on its side, ${heaps(density)}, with means ${number(light, 2)} and ${number(heavy, 2)} and standard deviations ${stds.map((std) => number(width * std, 2)).join(" and ")}, beside the histogram of what the solver makes, total variation ${number(distance)}`,
      );
      handles.forEach(({ show }, k) => {
        const [, mean] = law[k];
        const text = `${number(mean, 2)}, standard deviation ${number(width * stds[k], 2)}`;
        show(heap.X(densityOf(law, mean)), heap.Y(mean), text);
      });
    };
    const say = (done, { light, heavy, width, asked, distance }) => {
      const moved = [light, heavy, width].some((value, i) => value !== start[i]);
      if (done && moved)
        return `${number(distance)} with ${asked} evaluations, for these heaps. Does it also do for those you began with?`;
      if (done)
        return `${number(distance)} with ${asked} evaluations. Now move the heaps: does it hold?`;
      if (asked > MOST && distance < GOAL)
        return `Near enough, but with ${asked} evaluations. The task allows ${MOST}.`;
      return `With ${asked} ${asked === 1 ? "evaluation" : "evaluations"} the total variation is ${number(distance)}, not yet below ${number(GOAL, 2)}.`;
    };
    const numbers = () => {
      const { way, law, ...state } = now();
      const plainly = (rows) => rows.map((row) => Array.from(row));
      return {
        ...state,
        x: Array.from(state.x),
        exact: Array.from(state.exact),
        curves: plainly(state.curves),
        lines: plainly(state.lines),
        density: xs.map((value) => densityOf(law, value)),
      };
    };
    return { draw, numbers };
  });
}

const NAMES = { euler: "Euler", ddim: "DDIM", heun: "Heun" };

/** A histogram that lies on its side, from -EDGE upwards in bins of `step`. */
function sideways(axes, step, heights) {
  const { c } = axes;
  axes.canvas.drawn.bars.push(heights);
  axes.clip(() => {
    Object.assign(c, { fillStyle: axes.color("blue"), globalAlpha: 0.55 });
    heights.forEach((height, i) => {
      const [low, left] = [axes.Y(axes.ylim[0] + i * step), axes.X(height)];
      const high = axes.Y(axes.ylim[0] + (i + 1) * step);
      c.fillRect(left, high + 0.5, axes.X(0) - left, low - high - 1);
    });
  });
}

/** A handle that moves a state up and down: by the mouse, a finger or the keys of a slider. */
function handle(model, key, { label, reach, at }) {
  const node = h("span", {
    class: "pt-handle",
    role: "slider",
    tabindex: 0,
    "aria-label": label,
    "aria-orientation": "vertical",
    "aria-valuemin": -reach,
    "aria-valuemax": reach,
  });
  const to = (value) => put(model, key, Math.round(100 * clamp(value, -reach, reach)) / 100);
  let grip = null; // from the pointer to the middle of the handle
  const height = (event) => event.clientY - node.parentElement.getBoundingClientRect().top;
  node.addEventListener("pointerdown", (event) => {
    grip = Number.parseFloat(node.style.top) - height(event);
    node.setPointerCapture(event.pointerId);
  });
  node.addEventListener("pointermove", (event) => {
    if (grip !== null) to(at(height(event) + grip));
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (grip = null));
  const small = { ArrowUp: 0.05, ArrowRight: 0.05, ArrowDown: -0.05, ArrowLeft: -0.05 };
  const moves = { ...small, PageUp: 0.5, PageDown: -0.5, Home: -2 * reach, End: 2 * reach };
  node.addEventListener("keydown", (event) => {
    if (!(event.key in moves)) return;
    event.preventDefault();
    to(model.get(key) + moves[event.key]);
  });
  model.allow(key, (value) => Math.abs(value) <= reach);
  const show = (x, y, text) => {
    Object.assign(node.style, { left: `${x}px`, top: `${y}px` });
    node.setAttribute("aria-valuenow", model.get(key));
    node.setAttribute("aria-valuetext", text);
  };
  return { node, show };
}

const LAYOUT = `
.pt-main { display:grid; gap:calc(1*var(--r)) calc(1.4*var(--r)); align-items:center; } .pt-left { min-width:0; }
.pt-task { font-weight:600; } .pt-plots { display:grid; grid-template-columns:minmax(0,1fr) minmax(0,3fr); } .pt-heap { position:relative; min-width:0; }
.pt-side { display:grid; gap:calc(.5*var(--r)); align-content:center; min-width:0; } .pt-side .dmw-facts { grid-template-columns:1fr 1fr; }
.pt-handle { position:absolute; width:28px; height:28px; margin:-14px 0 0 -14px; display:grid; place-items:center; cursor:ns-resize; touch-action:none; border-radius:50%; }
.pt-handle::before { content:""; width:14px; height:14px; border-radius:50%; background:var(--panel); border:3px solid var(--green); }
.pt-handle:focus-visible { outline:3px solid var(--blue); outline-offset:-2px; }
@container (min-width:40rem) { .pt-main { grid-template-columns:minmax(0,calc(29*var(--r))) minmax(calc(19*var(--r)),1fr); } }
`;

export default { render };
