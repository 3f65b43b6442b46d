// Numbers: decoding what Python handed over, the seeded generator, the schedules of dmlib.
// Every formula here has its twin in Python; tests/browser/test_widgets.py compares them.

/** {dtype, shape, b64} as made by base.pack() -> a typed array (float16 becomes Float64Array). */
function unpack({ dtype, b64 }) {
  const bytes = Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
  if (dtype === "uint8") return bytes;
  if (dtype === "float32") return new Float32Array(bytes.buffer);
  if (dtype === "float64") return new Float64Array(bytes.buffer);
  if (dtype === "float16") return Float64Array.from(new Uint16Array(bytes.buffer), fromHalf);
  throw new Error(`unknown dtype ${dtype}`);
}

/** The bits of an IEEE half -> its value. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Uniform in (0, 1): number n of the stream `seed` (mulberry32; twin: dmlib.book.widgets.rng). */
function uniform(seed, n) {
  let a = (seed + Math.imul(n + 1, 0x6d2b79f5)) | 0;
  a = Math.imul(a ^ (a >>> 15), a | 1);
  a ^= a + Math.imul(a ^ (a >>> 7), a | 61);
  return (((a ^ (a >>> 14)) >>> 0) + 0.5) / 4294967296;
}

/** Standard normal: number n of the stream `seed` (Box-Muller; twin: dmlib.book.widgets.rng). */
function normal(seed, n) {
  const radius = Math.sqrt(-2 * Math.log(uniform(seed, 2 * n)));
  return radius * Math.cos(2 * Math.PI * uniform(seed, 2 * n + 1));
}

/** The density of N(mean, variance) at x. */
function gaussian(x, mean, variance) {
  return Math.exp((-0.5 * (x - mean) ** 2) / variance) / Math.sqrt(2 * Math.PI * variance);
}

/** The distribution function of N(0, 1): Marsaglia's series, exact to rounding for |x| < 7. */
function normalCdf(x) {
  if (Math.abs(x) >= 7) return x > 0 ? 1 : 0;
  let [sum, term] = [x, x];
  for (let i = 3; sum + term !== sum; i += 2) sum += term *= (x * x) / i;
  return 0.5 + sum * gaussian(x, 0, 1);
}

const SCHEDULES = {
  linear: "linear",
  cosine: "cosine",
  sigmoid: "sigmoid",
  "zero-snr": "linear, zero terminal SNR",
};

/** The tables of dmlib.NoiseSchedule, length T + 1, slot 0 the clean data. */
function tables(beta) {
  const alphaBar = new Float64Array(beta.length);
  alphaBar[0] = 1;
  for (let t = 1; t < beta.length; t++) alphaBar[t] = alphaBar[t - 1] * (1 - beta[t]);
  return { T: beta.length - 1, beta, alphaBar, logSnr: alphaBar.map((a) => Math.log(a / (1 - a))) };
}

/** dmlib's linear_schedule, cosine_schedule, sigmoid_schedule, zero_terminal_snr by name. */
function schedule(name, T, beta_1 = 1e-4, beta_T = 0.02) {
  if (name === "linear") return tables(linearBeta(T, beta_1, beta_T));
  if (name === "zero-snr") return tables(zeroTerminalBeta(linearBeta(T, beta_1, beta_T)));
  if (name === "cosine") {
    const f = (u) => Math.cos(((Math.PI / 2) * (u + 0.008)) / 1.008) ** 2;
    return tables(betaFrom(T, (u) => f(u) / f(0)));
  }
  const s = (x) => 1 / (1 + Math.exp(-x));
  return tables(betaFrom(T, (u) => (s(3) - s(-3 + 6 * u)) / (s(3) - s(-3))));
}

function linearBeta(T, beta_1, beta_T) {
  const beta = new Float64Array(T + 1);
  for (let t = 1; t <= T; t++)
    beta[t] = beta_1 + ((beta_T - beta_1) * (t - 1)) / Math.max(T - 1, 1);
  return beta;
}

function betaFrom(T, alphaBar) {
  const beta = new Float64Array(T + 1);
  for (let t = 1; t <= T; t++) {
    beta[t] = Math.min(1 - alphaBar(t / T) / alphaBar((t - 1) / T), 0.999);
  }
  return beta;
}

function zeroTerminalBeta(beta) {
  const T = beta.length - 1;
  const root = tables(beta).alphaBar.map(Math.sqrt);
  const [first, last] = [root[1], root[T]];
  const bar = root.map((r, t) => (t === 0 ? 1 : (((r - last) * first) / (first - last)) ** 2));
  return bar.map((a, t) => (t === 0 ? 0 : 1 - a / bar[t - 1]));
}

/** x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (dmlib.forward.q_sample), into `out`. */
function qSample(x0, eps, alphaBar_t, out) {
  const signal = Math.sqrt(alphaBar_t);
  const noise = Math.sqrt(1 - alphaBar_t);
  for (let i = 0; i < out.length; i++) out[i] = signal * x0[i] + noise * eps[i];
  return out;
}

/** Pixels 0..255 -> [-1, 1] (dmlib.data.to_unit). */
function toUnit(bytes) {
  return Float64Array.from(bytes, (b) => b / 127.5 - 1);
}

/** "one heap", "two heaps": how many a density shows, for those who do not see it. */
function heaps(heights) {
  const least = 0.02 * Math.max(...heights);
  const peak = (h, i) => h > least && h > (heights[i - 1] ?? 0) && h >= (heights[i + 1] ?? 0);
  const count = heights.filter(peak).length;
  return ["no heap", "one heap", "two heaps", "three heaps"][count] ?? `${count} heaps`;
}

/** Mean and standard deviation (of the population). */
function moments(values) {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return [mean, Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length)];
}
