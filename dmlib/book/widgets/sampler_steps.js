// The samplers of dmlib in JavaScript: the same formulas in the same order (dmlib/steps.py,
// parameterization.py, guidance.py). Images are flat Float64Arrays; `bar` is the table alpha_bar.

/** steps + 1 whole numbers from `from` down to 0, evenly spaced (dmlib.sampling.spaced_times). */
function spacedTimes(from, steps) {
  return Array.from({ length: steps + 1 }, (_, k) =>
    Math.floor((2 * from * (steps - k) + steps) / (2 * steps)),
  );
}

/** Noise number k of a run of `n` pixels: k = 0 is where it starts, k >= 1 belongs to step k. */
function runNoise(seed, k, n) {
  const noise = new Float64Array(n);
  for (let i = 0; i < n; i++) noise[i] = normal(seed, k * n + i);
  return noise;
}

const each = (x, f) => x.map(f); // a Float64Array again

/** x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t) */
function x0FromEps(eps, xt, bar_t) {
  const [signal, noise] = [Math.sqrt(bar_t), Math.sqrt(1 - bar_t)];
  return each(xt, (x, i) => (x - noise * eps[i]) / signal);
}

/** eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t) */
function epsFromX0(x0, xt, bar_t) {
  const [signal, noise] = [Math.sqrt(bar_t), Math.sqrt(1 - bar_t)];
  return each(xt, (x, i) => (x - signal * x0[i]) / noise);
}

/** eps = sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v */
function epsFromV(v, xt, bar_t) {
  const [signal, noise] = [Math.sqrt(bar_t), Math.sqrt(1 - bar_t)];
  return each(xt, (x, i) => noise * x + signal * v[i]);
}

/** DDPM: a sample of p(x_prev | x_t), with variance beta_tilde (dmlib.steps.ddpm). */
function ddpmStep(xt, eps, noise, { t, tPrev, bar }) {
  const alpha = bar[t] / bar[tPrev];
  const beta = 1 - alpha;
  const [pull, root] = [beta / Math.sqrt(1 - bar[t]), Math.sqrt(alpha)];
  const sigma = tPrev > 0 ? Math.sqrt(((1 - bar[tPrev]) / (1 - bar[t])) * beta) : 0;
  return each(xt, (x, i) => (x - pull * eps[i]) / root + (sigma && sigma * noise[i]));
}

/** DDIM: the network's x_0, noised again to the level of t_prev (dmlib.steps.ddim). */
function ddimStep(xt, eps, noise, { t, tPrev, bar, eta }) {
  const x0 = x0FromEps(eps, xt, bar[t]);
  const sigma =
    eta * Math.sqrt((1 - bar[tPrev]) / (1 - bar[t])) * Math.sqrt(1 - bar[t] / bar[tPrev]);
  const [signal, rest] = [Math.sqrt(bar[tPrev]), Math.sqrt(1 - bar[tPrev] - sigma ** 2)];
  return each(x0, (x, i) => signal * x + rest * eps[i] + (sigma && sigma * noise[i]));
}

/** DPM-Solver++(2M): a step that remembers the last x0_hat (dmlib.steps.dpm_solver). */
function dpmSolver() {
  let before = null;
  const lambda = (bar, t) => Math.log(bar[t] / (1 - bar[t])) / 2;
  return (xt, eps, _noise, { t, tPrev, bar }) => {
    const x0 = x0FromEps(eps, xt, bar[t]);
    const h = lambda(bar, tPrev) - lambda(bar, t);
    const second = before && before.tPrev === t && tPrev > 0;
    const r = second && (lambda(bar, t) - lambda(bar, before.t)) / h;
    const D = second ? each(x0, (x, i) => x + (x - before.x0[i]) / (2 * r)) : x0;
    before = { t, tPrev, x0 };
    const [shrink, pull] = [
      Math.sqrt((1 - bar[tPrev]) / (1 - bar[t])),
      Math.sqrt(bar[tPrev]) * Math.expm1(-h),
    ];
    return each(xt, (x, i) => shrink * x - pull * D[i]);
  };
}

/** The step rule of a name, fresh: "ddim", "ddpm" or "dpm". */
function stepRule(name) {
  return name === "ddpm" ? ddpmStep : name === "dpm" ? dpmSolver() : ddimStep;
}

/**
 * The denoiser that a run calls, (xt, t) -> Promise of eps_hat: guidance (dmlib.guidance.guided) around
 * the network, and x0_hat cut to [-1, 1] if `clip` (dmlib.sampling.clipped).
 * @param predict (xt, t, y) -> Promise of eps_hat; y is null for no class, or a class for each image.
 */
function makeDenoiser(predict, { y, scale, clip, bar }) {
  const guided = async (xt, t) => {
    if (!y || scale === 1) return predict(xt, t, y);
    const uncond = await predict(xt, t, null);
    if (scale === 0) return uncond;
    const cond = await predict(xt, t, y);
    return each(uncond, (e, i) => e + scale * (cond[i] - e));
  };
  if (!clip) return guided;
  return async (xt, t) => {
    const x0 = x0FromEps(await guided(xt, t), xt, bar[t]).map((x) => clamp(x, -1, 1));
    return epsFromX0(x0, xt, bar[t]);
  };
}

/**
 * Walk from x_T to x_0 (dmlib.sampling.sample): `moment(k, { t, xt, x0 })` is called before every step
 * and at the end. `gate` is awaited before each call of the network: it holds a paused run, and throws
 * to end one.
 */
async function walkBack(denoise, xT, { times, step, eta, seed, bar, gate, moment }) {
  let xt = xT;
  for (let k = 0; k < times.length - 1; k++) {
    await gate?.();
    const [t, tPrev] = [times[k], times[k + 1]];
    const eps = await denoise(xt, t);
    await gate?.();
    moment(k, { t, xt, x0: x0FromEps(eps, xt, bar[t]) });
    xt = step(xt, eps, runNoise(seed, k + 1, xt.length), { t, tPrev, bar, eta });
  }
  moment(times.length - 1, { t: 0, xt, x0: xt });
}
