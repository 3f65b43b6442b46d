// The exact q(x_{t-1} | x_t) of a 1-D mixture beside the Gaussian with its mean and variance.

const REACH = 3.5; // of the axis of x_{t-1}
const NODES = 501; // of the integral
const BETAS = Array.from({ length: 33 }, (_, i) => 10 ** (-4 + (i * 3.98) / 32));
const FLOOR = 1e-7; // of the axis of the distance

/** The law of x_{t-1} given x_t (dmlib.mixture.reverse_posterior in 1-D): [weight, mean, variance] each. */
function reverseLaw(components, bar_prev, beta, xt) {
  const alpha = 1 - beta;
  const bar = bar_prev * alpha;
  const logs = components.map(([w, m, s]) => {
    const V = bar * s ** 2 + 1 - bar;
    return Math.log(w) - 0.5 * Math.log(V) - (0.5 * (xt - Math.sqrt(bar) * m) ** 2) / V;
  });
  const top = Math.max(...logs);
  const shares = logs.map((v) => Math.exp(v - top));
  const sum = shares.reduce((a, b) => a + b);
  return components.map(([, m, s], k) => {
    const V = bar_prev * s ** 2 + 1 - bar_prev;
    const below = alpha * V + beta;
    return [
      shares[k] / sum,
      (beta * Math.sqrt(bar_prev) * m + Math.sqrt(alpha) * V * xt) / below,
      (V * beta) / below,
    ];
  });
}

const densityOf = (law, x) => law.reduce((sum, [w, m, v]) => sum + w * gaussian(x, m, v), 0);

/** Mean and standard deviation of a mixture. */
function summaryOf(law) {
  const mean = law.reduce((sum, [w, m]) => sum + w * m, 0);
  return [mean, Math.sqrt(law.reduce((sum, [w, m, v]) => sum + w * (v + (m - mean) ** 2), 0))];
}

/** Half the integral of |p - Gaussian of the same mean and variance|, by the trapezoidal rule. */
function totalVariation(law) {
  const [mean, std] = summaryOf(law);
  const all = [[mean, std], ...law.map(([, mu, v]) => [mu, Math.sqrt(v)])];
  const low = Math.min(...all.map(([mu, sd]) => mu - 8 * sd));
  const step = (Math.max(...all.map(([mu, sd]) => mu + 8 * sd)) - low) / (NODES - 1);
  // Plain arrays and one loop: this runs for 33 betas a frame while t or x_t moves.
  const [w, m, s] = [
    [-1, ...law.map(([share]) => share)],
    all.map(([mu]) => mu),
    all.map(([, sd]) => sd),
  ];
  const heights = w.map((share, k) => share / (s[k] * Math.sqrt(2 * Math.PI)));
  let sum = 0;
  for (let i = 0; i < NODES; i++) {
    const x = low + i * step;
    let gap = 0;
    for (let k = 0; k < w.length; k++) {
      const z = (x - m[k]) / s[k];
      if (z * z < 90) gap += heights[k] * Math.exp(-0.5 * z * z); // else below rounding
    }
    sum += i === 0 || i === NODES - 1 ? Math.abs(gap) / 2 : Math.abs(gap);
  }
  return (sum * step) / 2;
}

function render({ model, el }) {
  const { components, beta: packed } = model.get("_data");
  const { T, beta: own, alphaBar } = tables(unpack(packed));
  let [last, curve] = ["", []];
  const now = () => {
    const [t, beta, xt] = ["t", "beta", "xt"].map((name) => model.get(name));
    if (`${t} ${xt}` !== last) {
      last = `${t} ${xt}`;
      curve = BETAS.map((b) => totalVariation(reverseLaw(components, alphaBar[t - 1], b, xt)));
    }
    const bar = alphaBar[t - 1];
    const before = components.map(([w, m, s]) => [w, Math.sqrt(bar) * m, bar * s ** 2 + 1 - bar]);
    const law = reverseLaw(components, bar, beta, xt);
    const [mean, std] = summaryOf(law);
    return { t, beta, xt, before, law, mean, std, tv: totalVariation(law), curve };
  };

  const setting = {
    title: "One step back: how Gaussian is *q*(*x*_{*t*−1} | *x*_t)?",
    label: "Interactive figure: the exact reverse step and its Gaussian",
    states: ["t", "beta", "xt"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    const bayes = new Axes({ height: 190, x: "*x*_{*t*−1}", left: 14 });
    const zoom = new Axes({
      height: 190,
      x: "*x*_{*t*−1} − mean, in standard deviations",
      left: 34,
    });
    const far = new Axes({ height: 190, x: "*β*_t", y: "total variation distance", left: 44 });
    const table = facts({
      tv: "total variation",
      beta: "*β*_t",
      mean: "mean of *x*_{*t*−1}",
      std: "its std",
    });
    const verdict = h("p", { class: "dmw-verdict" });
    const usual = h("span", { class: "dmw-note" });
    const log = {
      step: 0.02,
      format: (v) => small(v),
      width: "5.4em",
      toValue: (v) => Number((10 ** v).toPrecision(4)),
      fromValue: Math.log10,
    };
    body.append(
      h(
        "div",
        { class: "dmw-grid rp-pair" },
        h(
          "div",
          null,
          h("p", { class: "dmw-head" }, "Bayes: prior × bell, each drawn to the same height"),
          legend(
            ["grey", "prior *q*(*x*_{*t*−1})"],
            ["green", "bell *q*(*x*_t | *x*_{*t*−1})", true],
            ["blue", "their product"],
          ),
          bayes.node,
        ),
        h(
          "div",
          null,
          h("p", { class: "dmw-head" }, "The product under the lens"),
          legend(
            ["blue", "exact *q*(*x*_{*t*−1} | *x*_t)"],
            ["orange", "Gaussian, same mean and variance", true],
          ),
          zoom.node,
        ),
      ),
      slider(model, "beta", { label: "*β*_t", min: -4, max: -0.02, ...log }).node,
      h(
        "div",
        { class: "dmw-row" },
        slider(model, "t", { label: "*t*", min: 1, max: T }).node,
        slider(model, "xt", {
          label: "*x*_t",
          min: -3,
          max: 3,
          step: 0.05,
          format: (v) => number(v, 2),
        }).node,
      ),
      h(
        "div",
        { class: "dmw-row" },
        h(
          "button",
          {
            type: "button",
            onclick: () => put(model, "beta", clamp(own[model.get("t")], 1e-4, 0.98)),
          },
          rich("Take the schedule’s own *β*_t"),
        ),
        usual,
      ),
      table.node,
      h(
        "div",
        { class: "dmw-grid rp-pair" },
        h(
          "div",
          null,
          legend(["blue", "at this *t* and *x*_t, both axes logarithmic", true]),
          far.node,
        ),
        verdict,
      ),
    );

    const xs = Array.from({ length: 281 }, (_, i) => -REACH + (i * 2 * REACH) / 280);
    const zs = Array.from({ length: 161 }, (_, i) => -4 + i / 20);
    const bell = zs.map((z) => gaussian(z, 0, 1));
    /** One curve to height 1; a spike between two points of the grid keeps its point. */
    const even = (at, points = xs) => {
      const heights = points.map(at);
      const top = Math.max(...heights) || 1;
      return heights.map((v) => v / top);
    };
    const near = ({ mean, std }) => xs.concat(zs.map((z) => mean + std * z)).sort((a, b) => a - b);
    const draw = () => {
      const s = now();
      const { t, beta, xt, before, law, mean, std, tv } = s;
      const fine = near(s);
      const likely = (x) => Math.exp((-0.5 * (xt - Math.sqrt(1 - beta) * x) ** 2) / beta);
      bayes.begin({ xlim: [-REACH, REACH], ylim: [0, 1.12], yticks: [] });
      const prior = even((x) => densityOf(before, x));
      bayes.area(xs, prior, { color: "grey", alpha: 0.3 });
      bayes.line(xs, prior, { color: "grey", width: 1.4 });
      bayes.line(fine, even(likely, fine), { color: "green" });
      const product = even((x) => densityOf(law, x), fine);
      bayes.area(fine, product);
      bayes.line(fine, product, { width: 2.6 });
      bayes.describe(
        `Prior, bell and their product over x_(t−1): the product has mean ${number(mean)} and standard deviation ${number(std)}`,
      );
      const exact = zs.map((z) => std * densityOf(law, mean + std * z));
      zoom.begin({
        xlim: [-4, 4],
        ylim: [0, Math.max(0.5, 1.1 * Math.max(...exact))],
        xticks: [-4, -2, 0, 2, 4],
      });
      zoom.area(zs, exact);
      zoom.line(zs, exact, { width: 2.8 });
      zoom.line(zs, bell, { color: "orange", dash: [7, 5] });
      zoom.describe(
        `The exact reverse density, ${heaps(exact)}, and the Gaussian of the same mean and variance, one heap; total variation distance ${small(tv)}`,
      );
      const power = (v) => Math.log10(Math.max(v, FLOOR));
      const ten = (v) => `10^{${number(v, 0)}}`;
      far.begin({
        xlim: [-4, 0],
        ylim: [-7, 0],
        xticks: [-4, -3, -2, -1, 0],
        yticks: [-6, -4, -2, 0],
        xformat: ten,
        yformat: ten,
      });
      far.line(BETAS.map(Math.log10), s.curve.map(power));
      far.marker(Math.log10(beta), power(tv));
      far.describe(
        `Total variation distance over beta, rising; at beta = ${small(beta)} it is ${small(tv)}`,
      );
      table.set({ tv: small(tv), beta: small(beta), mean: number(mean), std: small(std) });
      usual.replaceChildren(rich(`At *t* = ${t} it is ${small(own[t])}.`));
      judge(tv);
    };
    const judge = (tv) => {
      const close = tv < 0.01;
      // As many digits as it takes to differ from 50.
      const odds = number(50 * (1 + tv), clamp(1 - Math.floor(Math.log10(50 * tv)), 1, 8));
      verdict.toggleAttribute("data-warn", !close);
      verdict.replaceChildren(
        close ? "✓ " : "⚠ ",
        rich(
          `${close ? "As good as Gaussian." : "Not a Gaussian."} One sample from one of the two, chosen by a fair coin: the best possible guesser names the right one in ${odds} % of the cases. Blind guessing gives 50 %.`,
        ),
      );
    };
    const numbers = () => {
      const s = now();
      return {
        ...s,
        betas: BETAS,
        xs,
        zs,
        exact: zs.map((z) => s.std * densityOf(s.law, s.mean + s.std * z)),
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.rp-pair { align-items:end; } .rp-pair > .dmw-verdict { align-self:center; }
@container (min-width:38rem) { .rp-pair { grid-template-columns:repeat(2,minmax(0,1fr)); } }
`;

export default { render };
