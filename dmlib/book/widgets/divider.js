// Two versions of a picture, one over the other; what divides them is dragged.

/** Peak signal-to-noise ratio in decibels, of grey levels 0..255 (dmlib.applications.translation.psnr). */
function psnr(levels, truth) {
  let sum = 0;
  for (let i = 0; i < levels.length; i++) sum += ((levels[i] - truth[i]) / 127.5) ** 2;
  return 10 * Math.log10(4 / (sum / levels.length));
}

function render({ model, el }) {
  const { versions, truth, pictures, levels: packed } = model.get("_data");
  const levels = unpack(packed);
  const [, count, height, width] = packed.shape;
  const area = height * width;
  const of = (version, image) => {
    const start = (version * count + image) * area;
    return levels.subarray(start, start + area);
  };
  const now = () => {
    const [image, position] = [model.get("image"), model.get("position")];
    const sides = [model.get("left"), model.get("right")];
    const shown = sides.map((version) => of(version, image));
    const against = truth === null ? null : shown.map((one) => psnr(one, of(truth, image)));
    return { image, position, sides, shown, against };
  };

  const setting = {
    title: "Two versions of a picture",
    label: "Interactive figure: two versions of a picture with a divider between them",
    states: ["image", "left", "right", "position"],
    layout: DIVIDER_LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    const canvases = ["left", "right"].map((side) => picture(width, side, height));
    const stage = h(
      "div",
      { class: "dv-stage", style: `aspect-ratio:${width}/${height}` },
      ...canvases,
      h("div", { class: "dv-line", "aria-hidden": "true" }, h("span", null, "◂ ▸")),
    );
    const options = versions.map((name, i) => [i, name]);
    const names = ["left", "right"].map((side) => choice(model, side, { label: side, options }));
    /** What the handle's place means, read aloud. */
    const share = () => `${model.get("position")} % ${versions[model.get("left")]}`;
    const handle = slider(model, "position", {
      label: "divider",
      min: 0,
      max: 100,
      format: () => share(),
    });
    const table = truth === null ? null : facts({ left: "PSNR, left", right: "PSNR, right" });
    const verdict = h("p", { class: "dmw-verdict" });
    const from = truth ?? versions.length - 1;
    const looks = pictures.map((_, i) => toUnit(of(from, i)));
    const chosen = thumbs(model, "image", {
      label: "Picture",
      pictures: looks,
      names: pictures,
      side: width,
      height,
    });
    body.append(
      h(
        "div",
        { class: "dv-main" },
        h(
          "div",
          { class: "dv-seen", style: `--ratio:${Math.min(1, width / height)}` },
          h("div", { class: "dv-names" }, ...names),
          stage,
          h("div", { class: "dv-handle" }, handle.node),
        ),
        h("div", { class: "dv-side" }, pictures.length > 1 && chosen, table?.node, verdict),
      ),
    );
    draggable(stage, handle.input, ({ clientX }) => {
      const { left, width } = stage.getBoundingClientRect();
      put(model, "position", Math.round(clamp((100 * (clientX - left)) / width, 0, 100)));
    });

    const dB = (value) => `${number(value, 2)}\u00a0dB`;
    /** What is printed of a side: the truth has no distance from itself. */
    const told = (version, decibels) => (version === truth ? "the truth" : dB(decibels));
    /** What the figure shows, in a sentence. */
    const say = ({ sides: [left, right], against }) => {
      if (left === right) return `Both sides show “${versions[left]}”.`;
      if (!against)
        return `Left of the divider “${versions[left]}”, right of it “${versions[right]}”.`;
      const off = [left, right].filter((version) => version !== truth);
      if (off.length === 1) {
        const decibels = against[off[0] === left ? 0 : 1];
        return decibels === Infinity
          ? `“${versions[off[0]]}” does not differ from the truth in any grey level.`
          : `The PSNR of “${versions[off[0]]}” is ${dB(decibels)}. More would be nearer to the truth.`;
      }
      // As printed: a lead of 0.00 dB is none. (Infinity - Infinity is no number.)
      if (!(Math.abs(against[0] - against[1]) >= 0.005))
        return "By PSNR both are equally far from the truth.";
      const [near, far] = against[0] > against[1] ? [left, right] : [right, left];
      const lead = dB(Math.abs(against[0] - against[1]));
      return `By PSNR “${versions[near]}” is nearer to the truth than “${versions[far]}”, by ${lead}.`;
    };
    const draw = () => {
      const shown = now();
      const { image, position, sides, against } = shown;
      stage.style.setProperty("--at", `${position}%`);
      const ends = [`the left ${position} %`, `the right ${100 - position} %`];
      canvases.forEach((canvas, k) => {
        drawGrey(canvas, toUnit(shown.shown[k]));
        canvas.setAttribute(
          "aria-label",
          `${pictures[image]}: ${versions[sides[k]]}, of which ${ends[k]} of the width are seen`,
        );
      });
      handle.input.setAttribute("aria-valuetext", share()); // another version may be on the left
      if (against)
        table.set({ left: told(sides[0], against[0]), right: told(sides[1], against[1]) });
      const text = say(shown);
      if (verdict.textContent !== text) verdict.textContent = text; // the divider says nothing new
    };
    const numbers = () => {
      const { image, position, sides, shown, against } = now();
      const names = sides.map((version) => versions[version]);
      return { image, position, names, shown: shown.map((one) => Array.from(one)), psnr: against };
    };
    return { draw, numbers };
  });
}

const DIVIDER_LAYOUT = `
.dv-main { display:grid; gap:calc(1*var(--r)) calc(1.6*var(--r)); align-items:center; } .dv-main > * { min-width:0; }
/* A tall picture is no higher than a square one. */
.dv-seen { width:100%; max-width:max(15*var(--r),26*var(--r)*var(--ratio)); margin:0 auto; }
.dv-names { display:flex; justify-content:space-between; gap:calc(.8*var(--r)); margin-bottom:calc(.5*var(--r)); }
.dmw .dv-names label { flex-direction:column; align-items:flex-start; gap:calc(.15*var(--r)); min-width:0; }
.dmw .dv-names label:last-child { align-items:flex-end; }
.dv-stage { position:relative; width:100%; overflow:hidden; border-radius:8px; cursor:ew-resize; touch-action:pan-y; user-select:none; -webkit-user-select:none; }
.dv-stage .dmw-pixels { position:absolute; inset:0; width:100%; height:100%; aspect-ratio:auto; border-radius:0; }
.dv-stage .dmw-pixels + .dmw-pixels { clip-path:inset(0 0 0 var(--at)); }
.dv-line { position:absolute; top:0; bottom:0; left:var(--at); width:0; pointer-events:none; }
.dv-line::before { content:""; position:absolute; top:0; bottom:0; left:-1.5px; width:3px; background:#fff; box-shadow:0 0 0 1px rgb(0 0 0/.65); }
.dv-line span { position:absolute; top:50%; left:0; translate:-50% -50%; width:calc(2.3*var(--r)); height:calc(2.3*var(--r)); border-radius:50%;
  display:grid; place-items:center; background:#fff; color:#16202e; font-size:calc(.8*var(--r)); line-height:1; white-space:nowrap; box-shadow:0 0 0 1px rgb(0 0 0/.65); }
.dv-stage:has(+ .dv-handle :focus-visible) .dv-line span { box-shadow:0 0 0 1px rgb(0 0 0/.65),0 0 0 4px var(--blue); }
/* The thumb is 16 pixels wide, and its middle stands below the divider. */
.dv-handle { margin:calc(.4*var(--r)) -8px 0; } .dmw .dv-handle .dmw-slider { display:block !important; }
.dv-handle .dmw-slider > span { display:none; } .dmw .dv-handle input { width:100%; min-width:0; }
.dv-side { display:grid; gap:calc(.9*var(--r)); }
@container (min-width:40rem) { .dv-main { grid-template-columns:minmax(0,11fr) minmax(0,9fr); } }
`;

export default { render };
