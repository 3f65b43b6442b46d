// The parts of a trained U-Net: what each costs and what it puts out for a real noisy image.

const ABOUT = {
  conditioning:
    "The step *t* as waves of many lengths, through two linear maps. Every residual block listens to these numbers.",
  stem: "One 3 × 3 convolution: from pixels to feature maps.",
  "residual block":
    "Two 3 × 3 convolutions beside a shortcut. Between them the time scales and shifts every channel.",
  "self-attention": "Every place of the map looks at every other place and takes over what fits.",
  downsample: "A convolution of stride 2: half as high, half as wide.",
  upsample: "A convolution, then every value becomes 2 × 2 of its kind.",
  head: "Norm, SiLU and one 3 × 3 convolution: from feature maps back to pixels.",
};
const SKIP =
  " On the way up it reads two things side by side: what comes from below, and the skip, what its partner on the way down put out.";
const ANSWERS = {
  v: " This network answers with *v*, from which *ε* follows.",
  eps: " This network answers with *ε* itself.",
};
const COLORS = {
  "residual block": "blue",
  "self-attention": "orange",
  downsample: "green",
  upsample: "green",
};

const upper = (text) => text[0].toUpperCase() + text.slice(1);
const shape = (dims) => dims.join(" × ");
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, " ");
const short = (n) =>
  n >= 1e6 ? `${(n / 1e6).toPrecision(3)} M` : n >= 1e4 ? `${Math.round(n / 1e3)} k` : grouped(n);

function render({ model, el }) {
  const { parts, times, alpha_bar, side, names, answers, ...packed } = model.get("_data");
  const [maps, scales, guesses, noise] = ["maps", "scales", "x0_hat", "noise"].map((key) =>
    unpack(packed[key]),
  );
  const pixels = toUnit(unpack(packed.images));
  const area = side ** 2;
  const x0s = names.map((_, i) => pixels.subarray(i * area, (i + 1) * area));
  const perCase = parts.reduce((n, p) => n + p.channels.length * p.map[0] * p.map[1], 0);
  const perScale = parts.reduce((n, p) => n + p.channels.length, 0);
  const total = (key) => parts.reduce((sum, p) => sum + p[key], 0);
  const now = () => {
    const [part, step, image] = ["part", "step", "image"].map((key) => model.get(key));
    const at = image * times.length + step;
    const p = parts[part];
    const size = p.map[0] * p.map[1];
    const shown = p.channels.map((channel, c) => {
      const start = at * perCase + p.map_start + c * size;
      const scale = scales[at * perScale + p.scale_start + c];
      return {
        channel,
        scale,
        unit: Float64Array.from(maps.subarray(start, start + size), (b) => b / 127.5 - 1),
      };
    });
    const xt = qSample(x0s[image], noise, alpha_bar[step], new Float64Array(area));
    return {
      p,
      t: times[step],
      shown,
      xt,
      x0_hat: toUnit(guesses.subarray(at * area, (at + 1) * area)),
    };
  };

  const setting = {
    title: "A U-Net, taken apart",
    label: "Interactive figure: the parts of a trained U-Net",
    states: ["part", "step", "image", "bars"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    const [noisy, guess] = [picture(side, "the noisy image"), picture(side, "the guess")];
    const ends = (canvas, text) =>
      h("figure", { class: "ue-end" }, canvas, h("figcaption", { class: "dmw-note" }, rich(text)));
    const group = `dmw-${Math.random().toString(36).slice(2)}`;
    const inputs = [];
    const fills = [];
    const boxes = parts.map((p, i) => {
      const [title, out] = [upper(p.kind), shape(p.shape_out)];
      const where = p.place ? `, ${p.place}` : "";
      const input = h("input", {
        type: "radio",
        name: group,
        value: i,
        "aria-label": `${title} ${out}${where}`,
      });
      const fill = h("span", { class: "ue-fill" });
      inputs.push(input), fills.push(fill);
      return h(
        "label",
        {
          class: "ue-part",
          style: `grid-row:${p.row};grid-column:${p.column};--mark:var(--${COLORS[p.kind] ?? "grey"})`,
        },
        input,
        h(
          "span",
          { class: "ue-box" },
          h("span", null, title),
          h("span", { class: "ue-shape" }, out),
          h("span", { class: "ue-bar" }, fill),
        ),
      );
    });
    const skips = parts
      .filter((p) => p.skip)
      .map((p) =>
        h(
          "span",
          {
            class: "ue-skip",
            style: `grid-row:${p.row}`,
            title: "skip connection",
            "aria-hidden": "true",
          },
          "skip",
        ),
      );
    const diagram = h(
      "fieldset",
      {
        class: "ue-diagram",
        onchange: (e) => e.target.name === group && put(model, "part", Number(e.target.value)),
      },
      h(
        "legend",
        null,
        "Choose a part: left the way down, right the way up (from below). Each shows the shape that it puts out.",
      ),
      h(
        "div",
        { class: "ue-grid" },
        ends(noisy, "*x*_t goes in"),
        ends(guess, "*x̂*_0 comes out"),
        ...boxes,
        ...skips,
      ),
    );
    const title = h("strong", { class: "ue-title" });
    const about = h("p");
    const table = facts({
      shape_in: "in",
      shape_out: "out",
      parameters: "parameters",
      multiply_adds: "multiply-adds",
    });
    const head = h("p", { class: "dmw-note" });
    const gallery = h("div", { class: "ue-maps" });
    body.append(
      h(
        "div",
        { class: "dmw-row" },
        slider(model, "step", {
          label: "*t*",
          min: 0,
          max: times.length - 1,
          format: (i) => times[i],
        }).node,
        choice(model, "bars", {
          label: "Bars",
          options: { parameters: "parameters", multiply_adds: "multiply-adds" },
        }),
      ),
      h(
        "div",
        { class: "ue-both" },
        diagram,
        h(
          "div",
          {
            class: "ue-part-view",
            role: "group",
            "aria-label": "the chosen part",
            "aria-live": "polite",
          },
          title,
          about,
          table.node,
          head,
          gallery,
          thumbs(model, "image", { label: "Image *x*_0", pictures: x0s, names, side }),
        ),
      ),
    );

    const draw = () => {
      const { p, t, shown, xt, x0_hat } = now();
      const name = names[model.get("image")];
      inputs[model.get("part")].checked = true;
      const key = model.get("bars");
      const most = Math.max(...parts.map((part) => part[key]));
      parts.forEach((part, i) => (fills[i].style.width = `${(100 * part[key]) / most}%`));
      drawGrey(noisy, xt);
      drawGrey(guess, x0_hat);
      noisy.setAttribute("aria-label", `x_t at t = ${t}: ${name} in noise`);
      guess.setAttribute("aria-label", `the network's guess of x_0 at t = ${t}`);
      title.replaceChildren(upper(p.kind), h("span", { class: "dmw-note" }, ` ${p.name}`));
      about.replaceChildren(
        rich(ABOUT[p.kind] + (p.skip ? SKIP : "") + (p.kind === "head" ? ANSWERS[answers] : "")),
      );
      const share = (k) =>
        `${short(p[k])} (${((100 * p[k]) / total(k)).toFixed(p[k] / total(k) < 0.0095 ? 1 : 0)} %)`;
      table.set({
        shape_in: shape(p.shape_in),
        shape_out: shape(p.shape_out),
        parameters: share("parameters"),
        multiply_adds: share("multiply_adds"),
      });
      const [rows, columns] = p.map;
      const flat = p.kind === "conditioning";
      head.replaceChildren(
        rich(
          flat
            ? `Its ${p.shape_out[0]} numbers at *t* = ${t}`
            : `${shown.length} of its ${p.shape_out[0]} channels at *t* = ${t}`,
        ),
      );
      gallery.toggleAttribute("data-flat", flat);
      gallery.replaceChildren(
        ...shown.map(({ channel, scale, unit }) => {
          const canvas = h("canvas", {
            class: "dmw-pixels",
            width: columns,
            height: rows,
            role: "img",
            "aria-label": flat
              ? `the numbers, up to ${number(scale, 2)}`
              : `channel ${channel}, values up to ${number(scale, 2)}`,
            style: `aspect-ratio:${columns}/${rows}`,
          });
          drawGrey(canvas, unit);
          return h(
            "figure",
            null,
            canvas,
            h("figcaption", null, `±${number(scale, scale < 10 ? 2 : 0)}`),
          );
        }),
      );
    };
    const numbers = () => {
      const { p, t, shown, xt, x0_hat } = now();
      return {
        ...p,
        t,
        xt: Array.from(xt),
        x0_hat: Array.from(x0_hat),
        scales: shown.map((s) => s.scale),
        values: shown.map((s) => Array.from(s.unit, (v) => v * s.scale)),
        totals: { parameters: total("parameters"), multiply_adds: total("multiply_adds") },
      };
    };
    const note = rich(
      "Grey is 0, white is positive, black is negative; each channel is stretched to its own largest value, which stands below it.",
      { class: "dmw-note" },
    );
    body.append(note);
    return { draw, numbers };
  });
}

const LAYOUT = `
.ue-both { display:grid; gap:calc(1*var(--r)) calc(1.4*var(--r)); grid-template-columns:minmax(0,1fr); }
.ue-diagram { max-width:calc(27*var(--r)); width:100%; margin:0 auto !important; }
.ue-grid { display:grid; grid-template-columns:minmax(0,1fr) calc(2.6*var(--r)) minmax(0,1fr); gap:calc(.34*var(--r)) 0; }
.dmw .ue-end { margin:0 !important; padding:0 !important; grid-row:1; text-align:center; } .ue-end .dmw-pixels { width:calc(4.6*var(--r)); margin:0 auto; }
.ue-end:nth-child(2) { grid-column:3; } .ue-end figcaption { margin:calc(.15*var(--r)) 0 calc(.2*var(--r)) !important; line-height:1.25; }
.ue-part { position:relative; cursor:pointer; display:block !important; min-width:0; }
.ue-part input { position:absolute; inset:0; width:100%; height:100%; margin:0; opacity:0; cursor:pointer; }
.ue-box { display:grid; grid-template-columns:minmax(0,1fr); background:var(--tint);
  border:1px solid var(--line); border-left:5px solid var(--mark); border-radius:8px; padding:calc(.22*var(--r)) calc(.55*var(--r)) calc(.3*var(--r)); font-size:calc(.82*var(--r)); line-height:1.3; }
.ue-shape { color:var(--soft); white-space:nowrap; } .ue-bar { height:4px; background:var(--line); border-radius:2px; margin-top:calc(.15*var(--r)); }
.ue-fill { display:block; height:100%; border-radius:2px; background:var(--mark); }
.ue-part:hover .ue-box { border-color:var(--blue) var(--blue) var(--blue) var(--mark); }
.ue-part input:checked + .ue-box { background:var(--blue-tint); box-shadow:0 0 0 2px var(--blue); }
.ue-part input:focus-visible + .ue-box { outline:3px solid var(--blue); outline-offset:3px; }
.ue-skip { grid-column:2; align-self:center; text-align:center; color:var(--soft); font-size:calc(.72*var(--r)); line-height:1; padding-bottom:calc(.1*var(--r));
  border-bottom:2px dashed var(--grey); margin:0 2px; position:relative; }
.ue-skip::after { content:"▸"; position:absolute; right:-3px; bottom:-.5em; font-size:calc(.9*var(--r)); color:var(--grey); }
.ue-part-view { display:grid; gap:calc(.7*var(--r)); align-content:start; min-width:0; } .ue-title { font-size:calc(1.05*var(--r)); }
.ue-maps { display:grid; grid-template-columns:repeat(4,minmax(0,1fr)); gap:calc(.45*var(--r)); } .ue-maps[data-flat] { grid-template-columns:1fr; }
.ue-maps figure { margin:0 !important; padding:0 !important; text-align:center; } .ue-maps figcaption { font-size:calc(.78*var(--r)); margin:0 !important; }
.ue-diagram figcaption,.ue-maps figcaption { font-weight:400 !important; color:var(--soft) !important; font-family:inherit !important; }
.ue-maps .dmw-pixels { border-radius:5px; } .ue-part-view .dmw-facts { grid-template-columns:repeat(2,minmax(0,1fr)); gap:calc(.45*var(--r)); }
.ue-part-view dl { margin:0 !important; } .ue-part-view dd { font-size:calc(.88*var(--r)) !important; margin:0 !important; } .ue-part-view .dmw-facts > div { padding:calc(.35*var(--r)) calc(.55*var(--r)) calc(.4*var(--r)); }
@container (min-width:35rem) { .ue-both { grid-template-columns:minmax(0,6fr) minmax(0,5fr); } }
@container (max-width:30rem) { .ue-grid { grid-template-columns:minmax(0,1fr) calc(2*var(--r)) minmax(0,1fr); } .ue-box { font-size:calc(.8*var(--r)); padding-left:calc(.45*var(--r)); } }
`;

export default { render };
