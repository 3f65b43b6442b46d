// A measured coordinate, the exact posterior, and what a method makes of it: in the plane.

const CLEAR = 1.5; // times what chance alone gives: from here on the shares are called wrong

/** Gaussians [weight, x, y, std] as { log w, means, variances along x and y }. */
function prior(components) {
  return components.map(([w, x, y, std]) => ({
    w: Math.log(w),
    m: [x, y],
    v: [std * std, std * std],
  }));
}

/** What is left of them where x + noise is known (dmlib.mixture.given_measurement). */
function given(law, y, std) {
  const left = law.map(({ w, m, v }) => {
    const total = std * std + v[0];
    const off = y - m[0];
    return {
      w: w - (off * off) / (2 * total) - Math.log(total) / 2,
      m: [m[0] + (v[0] / total) * off, m[1]],
      v: [(v[0] * std * std) / total, v[1]],
    };
  });
  const top = Math.max(...left.map(({ w }) => w));
  const sum = left.reduce((total, { w }) => total + Math.exp(w - top), 0);
  return left.map((one) => ({ ...one, w: one.w - top - Math.log(sum) }));
}

/**
 * E[x_0 | x_t] for such a law, into `out` as x, y, and with `slopes` the slope of its x over x_t in x
 * and y. All of a walk runs anew at every frame: plain loops, nothing made in them.
 */
function guesser(law, slopes) {
  const K = law.length;
  const make = () => new Float64Array(K);
  const [mx, my, vx, vy] = [0, 1, 2, 3].map((i) =>
    Float64Array.from(law, ({ m, v }) => [...m, ...v][i]),
  );
  const [share, base, cx, cy, Vx, Vy, pullX, pullY, hx] = Array.from({ length: 9 }, make);
  const out = new Float64Array(4);
  return {
    out,
    /** What does not depend on the point. */
    at(a, b) {
      for (let k = 0; k < K; k++) {
        [Vx[k], Vy[k]] = [a * a * vx[k] + b * b, a * a * vy[k] + b * b];
        [cx[k], cy[k]] = [a * mx[k], a * my[k]];
        [pullX[k], pullY[k]] = [(a * vx[k]) / Vx[k], (a * vy[k]) / Vy[k]];
        base[k] = law[k].w - Math.log(Vx[k] * Vy[k]) / 2;
      }
    },
    look(x, y) {
      let top = -Infinity;
      for (let k = 0; k < K; k++) {
        const dx = x - cx[k];
        const dy = y - cy[k];
        share[k] = base[k] - (dx * dx) / (2 * Vx[k]) - (dy * dy) / (2 * Vy[k]);
        if (share[k] > top) top = share[k];
      }
      let sum = 0;
      let ex = 0;
      let ey = 0;
      for (let k = 0; k < K; k++) {
        const off = share[k] - top;
        share[k] = off < -40 ? 0 : Math.exp(off); // less is a rounding error of the sum
        if (share[k] === 0) continue;
        sum += share[k];
        hx[k] = mx[k] + pullX[k] * (x - cx[k]);
        ex += share[k] * hx[k];
        ey += share[k] * (my[k] + pullY[k] * (y - cy[k]));
      }
      out[0] = ex /= sum;
      out[1] = ey / sum;
      if (!slopes) return;
      let sx = 0;
      let sy = 0;
      for (let k = 0; k < K; k++) {
        if (share[k] === 0) continue;
        const off = hx[k] - ex;
        sx += share[k] * (pullX[k] - (off * (x - cx[k])) / Vx[k]);
        sy -= (share[k] * (off * (y - cy[k]))) / Vy[k];
      }
      out[2] = sx / sum;
      out[3] = sy / sum;
    },
  };
}

/** Where a method's walk ends: DDPM with dmlib's rules of the same names, from the same numbers. */
function walked({ components, levels, method, y, std, noise, N }) {
  const law = prior(components);
  const scale = method.startsWith("dps-") ? Number(method.slice(4)) : 0;
  const pushes = method === "pigdm";
  const oracle = guesser(method === "exact" ? given(law, y, std) : law, pushes || scale > 0);
  const { out } = oracle;
  const x = noise.slice(0, 2 * N);
  for (let step = 0; step < levels.length - 1; step++) {
    const [[a, b], [a_prev, b_prev]] = [levels[step], levels[step + 1]];
    const alpha = (a / a_prev) ** 2;
    const beta = b * b - alpha * b_prev ** 2;
    const [on_x0, on_xt] = [(a_prev * beta) / b ** 2, (Math.sqrt(alpha) * b_prev ** 2) / b ** 2];
    const sigma = (b_prev / b) * Math.sqrt(beta);
    const rest = b_prev ** 2 - (a_prev * std) ** 2; // of noise, beside that of y
    const r2 = b ** 2 / (a ** 2 + b ** 2); // of around_the_guess, for data of variance 1
    oracle.at(a, b);
    for (let i = 0; i < 2 * N; i += 2) {
      const z = 2 * N * (step + 1) + i;
      oracle.look(x[i], x[i + 1]);
      let gx = out[0];
      let gy = out[1];
      const sx = out[2];
      const sy = out[3];
      const misfit = y - gx;
      if (pushes) {
        const push = ((b ** 2 / a) * misfit) / (r2 + std ** 2);
        gx += push * sx;
        gy += push * sy;
      }
      x[i] = on_x0 * gx + on_xt * x[i] + (b_prev ? sigma * noise[z] : 0);
      x[i + 1] = on_x0 * gy + on_xt * x[i + 1] + (b_prev ? sigma * noise[z + 1] : 0);
      x[i] += scale * Math.sign(misfit) * sx; // the slope of |y - x0_hat| is minus this
      x[i + 1] += scale * Math.sign(misfit) * sy;
      if (method === "replacement" && rest >= 0) x[i] = a_prev * y + Math.sqrt(rest) * noise[z];
    }
  }
  return x;
}

function render({ model, el }) {
  const { N, EDGE, levels, methods, noises, components } = model.get("_data");
  const STEPS = levels.length - 1;
  const heapsAt = components.map(([, x, y]) => [x, y]);
  const known = {};
  /** The walk's numbers and those of the exact samples; they do not depend on the method. */
  const streams = (seed) =>
    (known[seed] ??= {
      noise: Float64Array.from({ length: 2 * N * (STEPS + 3) }, (_, i) => normal(seed, i)),
      u: Float64Array.from({ length: N }, (_, i) => uniform(seed, 4 * N * (STEPS + 3) + i)),
    });
  /** As many exact samples: by the shares to a Gaussian, and there to a point. */
  const drawnFrom = (law, { noise, u }) => {
    let sum = 0;
    const below = law.map(({ w }) => (sum += Math.exp(w)));
    const x = new Float64Array(2 * N);
    for (let i = 0; i < N; i++) {
      const k = below.findIndex((most) => most >= u[i]);
      const { m, v } = law.at(k);
      for (const d of [0, 1])
        x[2 * i + d] = m[d] + Math.sqrt(v[d]) * noise[2 * N * (STEPS + 2) + 2 * i + d];
    }
    return x;
  };
  const sharesOf = (x) => {
    const found = new Array(components.length).fill(0);
    for (let i = 0; i < 2 * N; i += 2) {
      let [nearest, least] = [0, Infinity];
      for (let k = 0; k < heapsAt.length; k++) {
        const off = (x[i] - heapsAt[k][0]) ** 2 + (x[i + 1] - heapsAt[k][1]) ** 2;
        if (off < least) [nearest, least] = [k, off];
      }
      found[nearest] += 1 / N;
    }
    return found;
  };
  let [last, kept] = ["", null];
  const now = () => {
    const [method, seed] = [model.get("method"), model.get("seed")];
    const [y, std] = [model.get("y") / 100, noises[model.get("noise")]];
    const asked = `${method} ${seed} ${y} ${std}`;
    if (asked === last) return kept;
    const numbers = streams(seed);
    const x = walked({ components, levels, method, y, std, noise: numbers.noise, N });
    const law = given(prior(components), y, std);
    const [exact, found] = [law.map(({ w }) => Math.exp(w)), sharesOf(x)];
    const distance = exact.reduce((sum, p, k) => sum + Math.abs(p - found[k]), 0) / 2;
    const chance =
      exact.reduce((sum, p) => sum + Math.sqrt(Math.max(0, p * (1 - p))), 0) /
      Math.sqrt(2 * Math.PI * N);
    const samples = drawnFrom(law, numbers);
    [last, kept] = [asked, { method, y, std, x, samples, exact, found, distance, chance }];
    return kept;
  };

  const setting = {
    title: "A measurement, and what a method makes of it",
    label: "Interactive figure: the exact posterior beside the particles of a method",
    states: ["y", "noise", "method", "seed"],
    layout: POSTERIOR_LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    const plots = [0, 1].map(() => new Axes({ height: null, left: 26 }));
    const line = slider(model, "y", {
      label: "measured *x*",
      min: -200,
      max: 200,
      format: (v) => number(v / 100, 2),
    });
    const table = facts({ distance: "distance", chance: "by chance alone" });
    const verdict = h("p", { class: "dmw-verdict" });
    const name = h("span");
    model.allow("seed", (value) => Number.isInteger(value) && value >= 1);
    body.append(
      h(
        "div",
        { class: "po-controls" },
        h(
          "div",
          { class: "dmw-row po-method" },
          choice(model, "method", { label: "Method", options: methods }),
          h(
            "button",
            { type: "button", onclick: () => put(model, "seed", (model.get("seed") % 99) + 1) },
            "New particles",
          ),
        ),
        line.node,
        slider(model, "noise", {
          label: "noise",
          min: 0,
          max: noises.length - 1,
          format: (i) => noises[i],
        }).node,
      ),
      h(
        "div",
        { class: "po-plots" },
        h("div", null, legend(["green", "exact posterior"]), plots[0].node),
        h("div", null, h("div", { class: "dmw-legend" }, name), plots[1].node),
      ),
      h("div", { class: "po-told" }, table.node, verdict),
      rich(
        "Drag the line: it is the measured first coordinate, the band its noise. The percentages are the shares of the heaps; the distance is the total variation between the two. Grey rings: the heaps of the data.",
        { class: "dmw-note" },
      ),
    );
    for (const plot of plots)
      draggable(plot.canvas, line.input, ({ clientX }) => {
        const x = clientX - plot.canvas.getBoundingClientRect().left;
        const [low, high] = [plot.box[0], plot.box[2]];
        const value = -EDGE + (2 * EDGE * (x - low)) / (high - low);
        put(model, "y", Math.round(clamp(100 * value, -200, 200)));
      });

    const circle = Array.from({ length: 25 }, (_, i) => (i * Math.PI) / 12);
    const rings = components.map(([, x, y, std]) => [
      circle.map((angle) => x + 3 * std * Math.cos(angle)),
      circle.map((angle) => y + 3 * std * Math.sin(angle)),
    ]);
    const percent = (share) => `${Math.round(100 * share)} %`;
    /** The shares that are not next to nothing, the largest first, read aloud. */
    const listed = (shares) =>
      shares
        .map((share, k) => [share, heapsAt[k]])
        .filter(([share]) => share >= 0.005)
        .sort(([p], [q]) => q - p)
        .map(([share, at]) => `${percent(share)} at ${at.map((v) => number(v, 1)).join(", ")}`)
        .join("; ");
    /** Particles that ran away are said to be there. */
    const outside = (x) => {
      const far = (i) => Math.max(Math.abs(x[2 * i]), Math.abs(x[2 * i + 1])) > EDGE;
      const count = Array.from({ length: N }, (_, i) => far(i)).filter(Boolean).length;
      return count ? ` (${count} outside the picture)` : "";
    };
    const column = (x, d) => Array.from({ length: N }, (_, i) => x[2 * i + d]);
    const show = (plot, { x, shares, color, y, std }) => {
      const marks = [-2, -1, 0, 1, 2];
      plot.begin({ xlim: [-EDGE, EDGE], ylim: [-EDGE, EDGE], xticks: marks, yticks: marks });
      for (const edge of [y - std, y + std])
        plot.line([edge, edge], [-EDGE, EDGE], { color: "orange", width: 1, dash: [4, 4] });
      plot.marker(y, undefined, { color: "orange" });
      plot.lines(rings, { color: "grey", width: 1 });
      plot.clip(() => plot.dots(column(x, 0), column(x, 1), { color, radius: 1.7, alpha: 0.6 }));
      shares.forEach((share, k) => {
        const [px, py] = heapsAt[k].map((value) => 1.36 * value);
        if (share >= 0.005)
          plot.text(percent(share), plot.X(px), plot.Y(py) + 4, { align: "center", weight: 600 });
      });
    };
    const draw = () => {
      const { method, y, std, x, samples, exact, found, distance, chance } = now();
      show(plots[0], { x: samples, shares: exact, color: "green", y, std });
      show(plots[1], { x, shares: found, color: "blue", y, std });
      name.replaceChildren(
        h("span", { class: "dmw-key", style: "color:var(--blue)" }),
        `particles by: ${methods[method]}${outside(x)}`,
      );
      const told = `x measured as ${number(y, 2)} with noise ${std}`;
      plots[0].describe(`The exact posterior, ${told}: ${listed(exact)}`);
      plots[1].describe(
        `${N} particles by the method ${methods[method]}, ${told}: ${listed(found)}`,
      );
      table.set({ distance: number(distance), chance: number(chance) });
      const right = distance < CLEAR * chance + 2 / N;
      verdict.toggleAttribute("data-warn", !right);
      verdict.replaceChildren(
        right
          ? `✓ The shares are right: ${N} exact samples would be about as far off.`
          : `⚠ ${percent(distance)} of the particles ended in other heaps than they should.`,
      );
    };
    const numbers = () => {
      const { y, std, x, samples, exact, found, distance, chance } = now();
      return {
        y,
        std,
        x: Array.from(x),
        samples: Array.from(samples),
        exact,
        found,
        distance,
        chance,
      };
    };
    return { draw, numbers };
  });
}

const POSTERIOR_LAYOUT = `
.po-controls { display:grid; gap:calc(.4*var(--r)) calc(1.4*var(--r)); }
.po-plots { display:grid; gap:calc(.8*var(--r)); grid-template-columns:minmax(0,1fr); } .po-plots > * { min-width:0; }
.po-plots canvas { cursor:ew-resize; }
.po-told { display:grid; gap:calc(.7*var(--r)); align-items:center; } .dmw .po-told .dmw-facts { grid-template-columns:1fr 1fr; }
@container (min-width:32rem) { .po-plots { grid-template-columns:minmax(0,1fr) minmax(0,1fr); } }
@container (min-width:40rem) { .po-controls { grid-template-columns:1fr 1fr; } .po-method { grid-column:1 / -1; } .po-told { grid-template-columns:minmax(0,1fr) minmax(0,1fr); } }
`;

export default { render };
