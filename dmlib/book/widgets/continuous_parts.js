// Paths in continuous time, and one-dimensional mixtures on them: twins of dmlib.continuous and
// dmlib.mixture. A law is a list of [weight, mean, variance].

/** a_s, b_s and beta(s) of dmlib.continuous.DiffusionPath. */
function levels([beta_0, beta_1], s) {
  const integral = beta_0 * s + ((beta_1 - beta_0) * s * s) / 2;
  return {
    a: Math.exp(-integral / 2),
    b: Math.sqrt(-Math.expm1(-integral)),
    beta: beta_0 + s * (beta_1 - beta_0),
  };
}

/** The law of a x_0 + b eps. */
const mixed = (law, a, b) => law.map(([w, m, v]) => [w, a * m, a * a * v + b * b]);

const densityOf = (law, x) => law.reduce((sum, [w, m, v]) => sum + w * gaussian(x, m, v), 0);

const shareBelow = (law, x) =>
  law.reduce((sum, [w, m, v]) => sum + w * normalCdf((x - m) / Math.sqrt(v)), 0);

/**
 * The x below which the shares `ranks` of a law lie, ranks rising: Newton's steps, and where such a
 * step would leave what is known to hold the answer, half of that.
 */
function quantiles(law, ranks) {
  const reach = Math.max(...law.map(([, m, v]) => Math.abs(m) + 12 * Math.sqrt(v)));
  let x = -reach;
  return Float64Array.from(ranks, (rank) => {
    let [low, high] = [x, reach]; // the last answer is below this one
    for (let i = 0; i < 100; i++) {
      const off = shareBelow(law, x) - rank;
      if (off < 0) low = x;
      else high = x;
      let next = x - off / densityOf(law, x);
      if (!(next >= low && next <= high)) next = (low + high) / 2;
      const move = Math.abs(next - x);
      x = next;
      if (move < 1e-13 * reach) break;
    }
    return x;
  });
}

/** Half the sum of the differences of two lists of shares. */
const apart = (p, q) => p.reduce((sum, value, i) => sum + Math.abs(value - q[i]), 0) / 2;
