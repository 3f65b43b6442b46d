// Recorded trajectories of a real network: x_t, x0_hat and eps_hat at every step of the sampler.
// Only x0_hat goes over, in grey levels; noise and steps are computed here as dmlib computes them.

/** Steps of the sampler from x_T to x_0: { x, eps }, each [step][sample][pixel] flat (eps: no last step). */
function replay({ x0_hat, bars, sampler, seed, size }) {
  const steps = bars.length - 1;
  const x = new Float64Array((steps + 1) * size);
  const eps = new Float64Array((steps + 1) * size);
  for (let i = 0; i < size; i++) x[i] = normal(seed, i);
  for (let k = 0; k < steps; k++) {
    const [bar, bar_prev] = [bars[k], bars[k + 1]];
    const [root, rest] = [Math.sqrt(bar), Math.sqrt(1 - bar)];
    const alpha = bar / bar_prev;
    const sigma = sampler === "ddpm" ? Math.sqrt(((1 - bar_prev) / (1 - bar)) * (1 - alpha)) : 0;
    const [on_x0, on_eps] = [Math.sqrt(bar_prev), Math.sqrt(1 - bar_prev - sigma ** 2)];
    for (let i = 0; i < size; i++) {
      const at = k * size + i;
      eps[at] = (x[at] - root * x0_hat[at]) / rest;
      const fresh = sigma && sigma * normal(seed, (k + 1) * size + i);
      x[at + size] = on_x0 * x0_hat[at] + on_eps * eps[at] + fresh;
    }
  }
  return { x, eps };
}

function render({ model, el }) {
  const { side, times, bars, names, x0_hat: packed, sampler, seed, about } = model.get("_data");
  const pixels = side ** 2;
  const size = names.length * pixels;
  const steps = times.length - 1;
  const recorded = toUnit(unpack(packed));
  const { x, eps } = replay({ x0_hat: recorded, bars, sampler, seed, size });
  const last = x.subarray(steps * size);
  const at = (all, k, i) => all.subarray(k * size + i * pixels, k * size + (i + 1) * pixels);
  const x0At = (k, i) => (k < steps ? at(recorded, k, i) : at(last, 0, i));
  /** How far x0_hat moved since the step before: root of the mean square over the pixels. */
  const moved = (k, i) => {
    if (k === 0) return NaN;
    const [a, b] = [x0At(k, i), x0At(k - 1, i)];
    return Math.sqrt(a.reduce((sum, v, p) => sum + (v - b[p]) ** 2, 0) / pixels);
  };
  const moves = names.map((_, i) => times.map((_, k) => moved(k, i)));

  const setting = {
    title: "A network at work: from noise to a picture",
    label: "Interactive figure: recorded samples of a network over time",
    states: ["step", "sample"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const [big, clean, field] = [
      picture(side, "x_t"),
      picture(side, "predicted picture"),
      picture(side, "predicted noise"),
    ];
    const [a, b] = [
      h("strong", { style: "color:var(--blue)" }),
      h("strong", { style: "color:var(--orange)" }),
    ];
    const table = facts({
      step: "step",
      bar: "*ᾱ*_t",
      moved: "*x̂*_0 moved since the last step by",
    });
    const group = `dmw-${Math.random().toString(36).slice(2)}`;
    const cells = names.map((name, i) => {
      const [top, below] = [
        h("canvas", { width: side, height: side, "aria-hidden": "true" }),
        h("canvas", { width: side, height: side, "aria-hidden": "true" }),
      ];
      const input = h("input", { type: "radio", name: group, value: i, "aria-label": name });
      return {
        top,
        below,
        input,
        node: h(
          "label",
          { class: "rv-cell dmw-thumb", title: name },
          input,
          top,
          below,
          h("span", { "aria-hidden": "true" }, name.replace("/", "/\u200b")),
        ),
      };
    });
    const all = h(
      "fieldset",
      { onchange: (e) => put(model, "sample", Number(e.target.value)) },
      h("legend", null, rich("All samples at this *t*: above *x*_t, below *x̂*_0. Choose one.")),
      h("div", { class: "rv-all" }, ...cells.map((cell) => cell.node)),
    );
    body.append(
      h(
        "div",
        { class: "rv-sum" },
        h("figure", null, big, h("figcaption", null, rich("*x*_t"))),
        h("span", null, "="),
        h(
          "figure",
          null,
          h("div", { class: "rv-term" }, a, " ×", clean),
          h("figcaption", null, rich("picture *x̂*_0")),
        ),
        h("span", null, "+"),
        h(
          "figure",
          null,
          h("div", { class: "rv-term" }, b, " ×", field),
          h("figcaption", null, rich("noise *ε̂*")),
        ),
      ),
      h(
        "div",
        { class: "dmw-row" },
        player(model, "step", { min: 0, max: steps, seconds: 6, onStop }),
        slider(model, "step", { label: "*t*", min: 0, max: steps, format: (k) => times[k] }).node,
      ),
      table.node,
      all,
      rich(about, { class: "dmw-note" }),
    );

    const draw = () => {
      const [k, chosen] = [model.get("step"), model.get("sample")];
      const [signal, noisy] = [number(Math.sqrt(bars[k])), number(Math.sqrt(1 - bars[k]))];
      drawGrey(big, at(x, k, chosen));
      drawGrey(clean, x0At(k, chosen));
      drawGrey(field, at(eps, k, chosen));
      [a.textContent, b.textContent] = [signal, noisy];
      big.setAttribute(
        "aria-label",
        `${names[chosen]}: x_t at t = ${times[k]}, ${signal} times the predicted picture plus ${noisy} times the predicted noise`,
      );
      clean.setAttribute(
        "aria-label",
        `${names[chosen]}: the picture that the network sees in x_t at t = ${times[k]}`,
      );
      field.setAttribute(
        "aria-label",
        `${names[chosen]}: the noise that the network sees in x_t at t = ${times[k]}`,
      );
      table.set({
        step: `${k} of ${steps}`,
        bar: number(bars[k], 4),
        moved: number(moves[chosen][k]),
      });
      for (const [i, cell] of cells.entries()) {
        drawGrey(cell.top, at(x, k, i));
        drawGrey(cell.below, x0At(k, i));
        cell.input.checked = i === chosen;
      }
    };
    const numbers = () => {
      const [k, chosen] = [model.get("step"), model.get("sample")];
      return {
        t: times[k],
        alpha_bar: bars[k],
        moved: k ? moves[chosen][k] : null,
        xt: Array.from(at(x, k, chosen)),
        x0_hat: Array.from(x0At(k, chosen)),
        eps_hat: Array.from(at(eps, k, chosen)),
        all: Array.from(x.subarray(k * size, (k + 1) * size)),
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.rv-sum { display:grid; grid-template-columns:repeat(2,minmax(0,1fr) auto) minmax(0,1fr);
  gap:calc(.7*var(--r)); align-items:end; font-size:calc(1.3*var(--r)); max-width:calc(38*var(--r)); margin:0 auto; width:100%; }
.rv-sum figure { margin:0; text-align:center; } .rv-sum figcaption { font-size:calc(1*var(--r)); margin-top:calc(.3*var(--r)); color:var(--ink); }
.rv-sum > span { align-self:center; } .rv-term { font-size:calc(1*var(--r)); } .rv-term canvas { margin-top:calc(.3*var(--r)); }
.rv-all { display:grid; grid-template-columns:repeat(auto-fit,minmax(calc(3.6*var(--r)),1fr)); gap:calc(.6*var(--r)) calc(.45*var(--r)); }
.dmw .rv-cell { flex-direction:column; gap:calc(.25*var(--r)); max-width:none; align-items:stretch; justify-content:start; }
.rv-cell span { font-size:calc(.75*var(--r)); line-height:1.2; text-align:center; color:var(--soft); overflow-wrap:anywhere; }
.rv-cell input:checked ~ canvas { border-color:var(--panel); box-shadow:0 0 0 2.5px var(--blue); }
.rv-cell input:checked ~ span { color:var(--ink); font-weight:600; }
.rv-cell input:focus-visible ~ canvas { outline:3px solid var(--blue); outline-offset:2px; }
@container (max-width:30rem) { .rv-sum { gap:calc(.4*var(--r)); font-size:calc(1.05*var(--r)); } .rv-sum figcaption,.rv-term { font-size:calc(.85*var(--r)); } }
`;

export default { render };
