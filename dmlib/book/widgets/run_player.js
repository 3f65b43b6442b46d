// A recorded training: the samples at a time of the run, the loss curve, the loss by noise level.

/** Ticks for an axis of logarithms: powers of ten, or 1, 2, 5 times those where these are few. */
function logTicks([low, high]) {
  const found = [];
  for (let k = Math.floor(low); k <= high; k++) {
    for (const m of high - low > 1.6 ? [1] : [1, 2, 5]) found.push(k + Math.log10(m));
  }
  return {
    yticks: found.filter((y) => y >= low && y <= high),
    yformat: (y) => tickText(Number((10 ** y).toPrecision(2))),
  };
}

/** Lowest and highest of the logarithms of positive numbers, with a little room. */
function logRange(values) {
  const logs = Array.from(values)
    .filter((v) => v > 0)
    .map(Math.log10);
  return [Math.min(...logs) - 0.1, Math.max(...logs) + 0.1];
}

function render({ model, el }) {
  const data = model.get("_data");
  const { step, grid_step, point, width, height, channels, each } = data;
  const [loss, norm, seconds, buckets] = ["loss", "grad_norm", "seconds", "bucket_loss"].map((n) =>
    unpack(data[n]),
  );
  const K = buckets.length / step.length;
  const levels = toUnit(unpack(data.grid));
  const size = width * height * channels;
  const image = (frame, j) =>
    levels.subarray((frame * each + j) * size, (frame * each + j + 1) * size);
  const paint = channels === 3 ? drawColor : drawGrey;
  const row = (i) => Array.from(buckets.subarray(i * K, (i + 1) * K));
  const last = grid_step.length - 1;
  const now = () => {
    const frame = model.get("frame");
    const i = point[frame];
    return {
      frame,
      i,
      step: grid_step[frame],
      minutes: seconds[i] / 60,
      loss: loss[i],
      grad_norm: norm[i],
      buckets: row(i),
    };
  };

  const setting = {
    title: "A recorded training",
    label: "Interactive figure: samples and curves of a recorded training",
    states: ["frame"],
    layout: RUN_LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const pictures = Array.from({ length: each }, (_, j) =>
      picture(width, `sample ${j + 1}`, height),
    );
    const curve = new Axes({ height: 200, x: "step", y: "loss", left: 50 });
    const levelsPlot = new Axes({
      height: 200,
      x: "range of *t*, from little noise to much",
      y: "loss by noise level",
      left: 50,
    });
    const table = facts({ step: "step", minutes: "minutes", loss: "loss", norm: "gradient norm" });
    body.append(
      h("div", { class: "rp-grid" }, ...pictures),
      h(
        "div",
        { class: "dmw-row" },
        player(model, "frame", { min: 0, max: last, seconds: 6, onStop }),
        slider(model, "frame", {
          label: "time",
          min: 0,
          max: last,
          width: "5em",
          format: (v) => `step ${grid_step[v]}`,
        }).node,
      ),
      table.node,
      h(
        "div",
        { class: "rp-plots" },
        curve.node,
        h(
          "div",
          null,
          levelsPlot.node,
          legend(["blue", "now", true], ["orange", "at the end", true]),
        ),
      ),
    );

    const lossRange = logRange(loss);
    const bucketRange = logRange(buckets);
    const middles = Array.from({ length: K }, (_, k) => k + 0.5);
    const draw = () => {
      const shown = now();
      pictures.forEach((canvas, j) => {
        paint(canvas, image(shown.frame, j));
        canvas.setAttribute("aria-label", `sample ${j + 1} of ${each} after step ${shown.step}`);
      });
      table.set({
        step: String(shown.step),
        minutes: number(shown.minutes, 1),
        loss: number(shown.loss, 4),
        norm: number(shown.grad_norm, 3),
      });
      curve.begin({ xlim: [0, step.at(-1)], ylim: lossRange, ...logTicks(lossRange) });
      curve.line(step, Array.from(loss, Math.log10), { width: 1.6 });
      curve.marker(shown.step, Math.log10(shown.loss));
      curve.describe(
        `The loss over ${step.at(-1)} steps on a logarithmic scale; after step ${shown.step} it is ${number(shown.loss, 4)}`,
      );
      levelsPlot.begin({ xlim: [0, K], ylim: bucketRange, xticks: [], ...logTicks(bucketRange) });
      levelsPlot.line(middles, row(step.length - 1).map(Math.log10), {
        color: "orange",
        width: 1.6,
        dash: [5, 4],
      });
      levelsPlot.line(middles, shown.buckets.map(Math.log10));
      levelsPlot.dots(middles, shown.buckets.map(Math.log10), { radius: 3 });
      levelsPlot.describe(
        `The loss for ${K} ranges of t after step ${shown.step}: ${shown.buckets.map((b) => number(b, 3)).join(", ")}`,
      );
    };
    const numbers = () => {
      const { step, minutes, loss, grad_norm, buckets } = now();
      return { step, minutes, loss, grad_norm, buckets };
    };
    return { draw, numbers };
  });
}

const RUN_LAYOUT = `
.rp-grid { display:grid; grid-template-columns:repeat(10,minmax(0,1fr)); gap:3px; width:100%; }
.rp-grid canvas { width:100%; }
.rp-plots { display:grid; gap:calc(.6*var(--r)); grid-template-columns:minmax(0,1fr); }
@container (min-width:34rem) { .rp-plots { grid-template-columns:minmax(0,1fr) minmax(0,1fr); } }
@container (max-width:30rem) { .rp-grid { grid-template-columns:repeat(5,minmax(0,1fr)); } }
`;

export default { render };
