// How many labels does a pixel classifier need? Recorded masks, beside the truth and the score.

const LINES = {
  unet: ["a U-Net from nothing", "blue", []],
  window: ["windows of pixels", "orange", [6, 4]],
  untrained: ["the network untrained", "grey", [2, 3]],
};

/** Classes as coloured pixels. */
function drawClasses(canvas, classes, colours) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < classes.length; i++) image.data.set([...colours[classes[i]], 255], 4 * i);
  context.putImageData(image, 0, 0);
}

const rgb = (hex) => [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));

function render({ model, el }) {
  const data = model.get("_data");
  const { times, labels, classes, seeds, mean, std, compared } = data;
  const colours = data.colours.map(rgb);
  const [images, truth, packed] = ["images", "true", "shown"].map((key) => unpack(data[key]));
  const [count, side] = [data.true.shape[0], data.true.shape[1]];
  const area = side ** 2;
  const of = (flat, i, size = area) => flat.subarray(i * size, (i + 1) * size);
  const trues = Array.from({ length: count }, (_, i) => of(truth, i));
  const now = () => {
    const [time, budget] = [model.get("time"), model.get("budget")];
    const start = ((time * labels.length + budget) * count * area) / 2;
    const called = trues.map((_, i) =>
      Uint8Array.from({ length: area }, (_, k) => {
        const byte = packed[start + ((i * area + k) >> 1)];
        return k % 2 ? byte & 15 : byte >> 4;
      }),
    );
    const wrong = called.map((one, i) => one.reduce((n, c, k) => n + (c !== trues[i][k]), 0));
    return { time, budget, called, wrong, score: mean[time][budget], spread: std[time][budget] };
  };

  const setting = {
    title: "Label budget",
    label: "Interactive figure: predicted masks against the number of labelled scenes",
    states: ["budget", "time"],
    layout: LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    const named = (kind) => trues.map((_, i) => picture(side, `${kind}, scene ${i + 1}`));
    const [scenes, masks, guesses] = [named("scene"), named("true classes"), named("called")];
    scenes.forEach((canvas, i) => drawColor(canvas, toUnit(of(images, i, 3 * area))));
    masks.forEach((canvas, i) => {
      drawClasses(canvas, trues[i], colours);
      const there = classes.filter((_, k) => k && trues[i].includes(k));
      canvas.setAttribute("aria-label", `scene ${i + 1} in truth: ${there.join(", ")}`);
    });
    const notes = trues.map(() => h("figcaption", { class: "dmw-note" }));
    const row = (text, canvases, captions) => [
      h("span", { class: "lb-name dmw-note" }, text),
      ...canvases.map((canvas, i) =>
        h("figure", { class: "lb-cell" }, canvas, captions?.[i] ?? null),
      ),
    ];
    const plot = new Axes({ height: 250, x: "labelled scenes", y: "mIoU", left: 34 });
    const table = facts({ here: "mIoU here", unet: "U-Net from nothing" });
    const verdict = h("p", { class: "dmw-verdict" });
    body.append(
      h(
        "div",
        { class: "lb-controls" },
        slider(model, "budget", {
          label: "labelled scenes",
          min: 0,
          max: labels.length - 1,
          format: (i) => labels[i],
        }).node,
        slider(model, "time", {
          label: "*t*",
          min: 0,
          max: times.length - 1,
          format: (i) => times[i],
        }).node,
      ),
      h(
        "div",
        { class: "lb-main" },
        h(
          "div",
          { class: "lb-left" },
          h(
            "div",
            { class: "lb-grid", style: `--n:${count}` },
            ...row("scene", scenes),
            ...row("true", masks),
            ...row("called", guesses, notes),
          ),
          h(
            "div",
            { class: "dmw-legend" },
            ...classes.map((name, k) =>
              h(
                "span",
                null,
                h("span", { class: "dmw-key lb-key", style: `color:${data.colours[k]}` }),
                name,
              ),
            ),
          ),
        ),
        h(
          "div",
          { class: "lb-side" },
          legend(
            ["green", "features at this *t*", true],
            ...Object.values(LINES).map(([text, color]) => [color, text, true]),
          ),
          plot.node,
          table.node,
          verdict,
        ),
      ),
      rich(
        `The masks are those of one choice of labelled scenes, the curves means over ${seeds} choices. Recorded, not computed here.`,
        { class: "dmw-note" },
      ),
    );

    const xs = labels.map(Math.log10);
    const draw = () => {
      const { time, budget, called, wrong, score, spread } = now();
      guesses.forEach((canvas, i) => {
        drawClasses(canvas, called[i], colours);
        canvas.setAttribute(
          "aria-label",
          `scene ${i + 1} as it is called, ${wrong[i]} pixels wrong`,
        );
        notes[i].textContent = `${wrong[i]} wrong`;
      });
      plot.begin({
        xlim: [xs[0], xs.at(-1)],
        ylim: [0, 1],
        xticks: xs,
        xformat: (x) => String(Math.round(10 ** x)),
      });
      for (const [name, [, color, dash]] of Object.entries(LINES))
        plot.line(xs, compared[name], { color, dash, width: 1.8 });
      const [low, high] = [-1, 1].map((sign) => mean[time].map((m, i) => m + sign * std[time][i]));
      for (const edge of [low, high]) plot.line(xs, edge, { color: "green", width: 1, alpha: 0.5 });
      plot.line(xs, mean[time], { color: "green", width: 2.8 });
      plot.dots(xs, mean[time], { color: "green", radius: 3 });
      plot.marker(xs[budget], score, { color: "green" });
      const state = `${labels[budget]} labelled scenes, features at t = ${times[time]}`;
      plot.describe(
        `mIoU against the number of labelled scenes; ${state}: ${number(score, 2)}, spread ${number(spread, 2)}; U-Net from nothing ${number(compared.unet[budget], 2)}`,
      );
      table.set({
        here: `${number(score, 2)} ± ${number(spread, 2)}`,
        unet: number(compared.unet[budget], 2),
      });
      verdict.replaceChildren(rich(say(budget, score)));
    };
    /** What the figure shows, in a sentence. */
    const say = (budget, score) => {
      const scenes =
        labels[budget] === 1 ? "one labelled scene" : `${labels[budget]} labelled scenes`;
      const ahead = 100 * (score - compared.unet[budget]);
      const far = `${Math.abs(ahead).toFixed(0)} points`;
      if (Math.abs(ahead) < 2)
        return `With ${scenes} the features at this *t* and a U-Net from nothing are about as good.`;
      return ahead > 0
        ? `With ${scenes} the features at this *t* are ${far} ahead of a U-Net from nothing.`
        : `With ${scenes} a U-Net from nothing is ${far} ahead of the features at this *t*.`;
    };
    const numbers = () => {
      const { called, wrong, score, spread, time, budget } = now();
      return {
        t: times[time],
        labels: labels[budget],
        called: called.map((one) => Array.from(one)),
        wrong,
        score,
        spread,
        unet: compared.unet[budget],
      };
    };
    return { draw, numbers };
  });
}

const LAYOUT = `
.lb-controls { display:grid; gap:calc(.2*var(--r)) calc(1.4*var(--r)); }
.lb-main { display:grid; gap:calc(1*var(--r)) calc(1.4*var(--r)); align-items:center; } .lb-main > * { min-width:0; }
.lb-grid { display:grid; grid-template-columns:calc(3.4*var(--r)) repeat(var(--n),minmax(0,1fr)); gap:calc(.35*var(--r)); align-items:start; }
.dmw .lb-cell { margin:0 !important; padding:0 !important; text-align:center; } .lb-cell .dmw-pixels { border-radius:5px; }
.dmw .lb-cell figcaption { margin:0 !important; font-weight:400 !important; color:var(--soft) !important; font-family:inherit !important; font-size:calc(.8*var(--r)) !important; }
.lb-left { display:grid; gap:calc(.5*var(--r)); } .lb-key { outline:1px solid var(--line); }
.lb-side { display:grid; gap:calc(.6*var(--r)); }
@container (min-width:40rem) { .lb-controls { grid-template-columns:1fr 1fr; } .lb-main { grid-template-columns:minmax(0,11fr) minmax(0,10fr); } }
`;

export default { render };
