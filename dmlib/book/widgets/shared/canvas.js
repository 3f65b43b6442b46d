// Drawing: grey pictures and axes on canvas, sharp on every screen, in the theme's colours.

/** Values in [-1, 1] (clipped) as grey pixels; the canvas keeps its pixel size, CSS enlarges it. */
function drawGrey(canvas, values) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer); // one number a pixel: alpha, blue, green, red
  for (let i = 0; i < values.length; i++) {
    const grey = Math.round((Math.min(1, Math.max(-1, values[i])) + 1) * 127.5);
    pixels[i] = 0xff000000 | (grey * 0x010101);
  }
  context.putImageData(image, 0, 0);
}

/** The same in colour: red, green and blue of each pixel, one after the other. */
function drawColor(canvas, values) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const level = (v) => Math.round((Math.min(1, Math.max(-1, v)) + 1) * 127.5);
  for (let i = 0, k = 0; k < values.length; i += 4, k += 3)
    image.data.set([level(values[k]), level(values[k + 1]), level(values[k + 2]), 255], i);
  context.putImageData(image, 0, 0);
}

/** A picture of `width` x `height` pixels with a name for those who do not see it. */
function picture(width, label, height = width) {
  return h("canvas", {
    class: "dmw-pixels",
    width,
    height,
    role: "img",
    "aria-label": label,
  });
}

/** "nice" ticks covering [low, high]. */
function ticks(low, high, count = 5) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++)
    found.push(i * step);
  return found;
}

class Axes {
  #colors = {};
  #dark = null;
  #texts = {};

  /**
   * @param height in CSS pixels, or null for a square box (26 + 12 at its sides, 8 + 22 above and
   *   below); labels in the markup of rich().
   */
  constructor({ height, x = "", y = "", label = "", left = 44 }) {
    Object.assign(this, { height, xLabel: x, yLabel: y, left, square: height === null });
    this.canvas = h("canvas", {
      role: "img",
      "aria-label": plain(label),
      style: this.square ? "height:calc(100cqw - 8px)" : `height:${height}px`,
    });
    this.node = h("div", { class: "dmw-plot", "data-square": this.square }, this.canvas);
    // Asked for at every frame, the width would make the browser lay out the page at every frame.
    new ResizeObserver(([entry]) => (this.width = entry.contentRect.width)).observe(this.node);
  }

  /** A colour of the theme by its name, or a colour of its own; looked up once for each theme. */
  color(name) {
    return (this.#colors[name] ??= this.#style().getPropertyValue(`--${name}`) || name);
  }

  #style() {
    return getComputedStyle(this.canvas);
  }

  /** What the picture shows now, for those who do not see it. */
  describe(text) {
    this.canvas.setAttribute("aria-label", text);
  }

  /** Clear, fit the canvas to its box, set the limits, draw grid, ticks and labels. */
  begin({ xlim, ylim, xticks, yticks, xformat, yformat }) {
    const ratio = window.devicePixelRatio || 1;
    this.width ||= this.node.clientWidth;
    if (this.square) this.height = this.width - 8;
    const [w, hgt] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== hgt)
      Object.assign(this.canvas, { width: w, height: hgt });
    const c = (this.c = this.canvas.getContext("2d"));
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    const dark = this.canvas.closest(".dmw")?.hasAttribute("data-dark");
    if (Object.keys(this.#texts).length > 300) this.#texts = {};
    if (dark !== this.#dark) [this.#dark, this.#colors] = [dark, {}];
    this.font ??= this.#style().fontFamily;
    this.box = [
      this.left,
      this.yLabel ? 22 : 8,
      this.width - 12,
      this.height - (this.xLabel ? 38 : 22),
    ];
    Object.assign(this, { xlim, ylim });
    this.canvas.drawn = { lines: [], bars: [], markers: [], dots: [] }; // what is on show, for the tests
    this.#grid(
      xticks ?? ticks(...xlim, Math.max(3, this.width / 90)),
      yticks ?? ticks(...ylim, 4),
      xformat,
      yformat,
    );
    return this;
  }

  X(x) {
    return (
      this.box[0] +
      ((x - this.xlim[0]) / (this.xlim[1] - this.xlim[0])) * (this.box[2] - this.box[0])
    );
  }

  Y(y) {
    return (
      this.box[3] -
      ((y - this.ylim[0]) / (this.ylim[1] - this.ylim[0])) * (this.box[3] - this.box[1])
    );
  }

  #grid(xticks, yticks, xformat = tickText, yformat = tickText) {
    const { c, box } = this;
    c.lineWidth = 1;
    for (const y of yticks) {
      this.#stroke("line", [
        [box[0], this.Y(y)],
        [box[2], this.Y(y)],
      ]);
      this.text(yformat(y), box[0] - 6, this.Y(y) + 4, { align: "right", color: "soft" });
    }
    this.#stroke("grey", [
      [box[0], box[3]],
      [box[2], box[3]],
    ]);
    for (const x of xticks) {
      this.#stroke("grey", [
        [this.X(x), box[3]],
        [this.X(x), box[3] + 4],
      ]);
      this.text(xformat(x), this.X(x), box[3] + 16, { align: "center", color: "soft" });
    }
    if (this.xLabel)
      this.text(this.xLabel, (box[0] + box[2]) / 2, this.height - 5, { align: "center", size: 13 });
    if (this.yLabel) this.text(this.yLabel, 2, 12, { size: 13 });
  }

  #stroke(color, points) {
    const { c } = this;
    c.strokeStyle = this.color(color);
    c.beginPath();
    for (const [x, y] of points) c.lineTo(Math.round(x) + 0.5, Math.round(y) + 0.5);
    c.stroke();
  }

  /** Text in the small markup of rich(), at pixel (x, y). */
  text(text, x, y, { align = "left", color = "ink", size = 12, weight = 400 } = {}) {
    const { c } = this;
    const runs = (this.#texts[`${size} ${weight} ${text}`] ??= this.#runs(text, size, weight));
    const total = runs.reduce((sum, run) => sum + run.width, 0);
    let at = x - (align === "right" ? total : align === "center" ? total / 2 : 0);
    if (align === "center") at = Math.min(at, this.width - total - 1);
    c.fillStyle = this.color(color);
    c.textAlign = "left";
    for (const run of runs) {
      c.font = run.font;
      c.fillText(run.words, at, y + run.dy);
      at += run.width;
    }
  }

  /** A text's pieces, each with its font and width; measured once. */
  #runs(text, size, weight) {
    const { c } = this;
    return pieces(text).map((p) => {
      const shift = p.kind === "sub" ? 0.25 : p.kind === "sup" ? -0.4 : 0;
      const italic = p.kind === "i" || (shift && /^[a-z]$/i.test(p.text));
      const px = shift ? size * 0.75 : size * (italic ? 1.08 : 1);
      const family = italic ? 'Georgia,"DejaVu Serif",serif' : this.font;
      c.font = `${italic ? "italic " : ""}${weight} ${px}px ${family}`;
      const words = plain(p.kind === "rad" ? `√(${p.text})` : p.text);
      return { words, font: c.font, dy: shift * size, width: c.measureText(words).width };
    });
  }

  /** Run `draw` with everything outside the box cut off. */
  clip(draw) {
    const { c, box } = this;
    c.save();
    c.beginPath();
    c.rect(box[0], box[1] - 2, box[2] - box[0], box[3] - box[1] + 2);
    c.clip();
    draw();
    c.restore();
  }

  line(xs, ys, options) {
    this.lines([[xs, ys]], options);
  }

  /** Several lines [xs, ys] in one stroke; of more than two points a pixel some are left out. */
  lines(all, { color = "blue", width = 2.2, dash = [], alpha = 1 } = {}) {
    const { c } = this;
    this.canvas.drawn.lines.push(...all);
    this.clip(() => {
      Object.assign(c, {
        strokeStyle: this.color(color),
        lineWidth: width,
        lineJoin: "round",
        globalAlpha: alpha,
      });
      c.setLineDash(dash);
      c.beginPath();
      for (const [xs, ys] of all) {
        const last = xs.length - 1;
        const stride = Math.max(1, Math.floor(last / (2 * (this.box[2] - this.box[0]))));
        const point = (i) => [this.X(xs[i]), this.Y(clamp(ys[i], -1e6, 1e6))];
        c.moveTo(...point(0));
        for (let i = stride; i < last; i += stride) c.lineTo(...point(i));
        if (last > 0) c.lineTo(...point(last));
      }
      c.stroke();
    });
  }

  /** The surface between a line and y = 0. */
  area(xs, ys, { color = "blue", alpha = 0.25 } = {}) {
    const { c } = this;
    this.clip(() => {
      Object.assign(c, { fillStyle: this.color(color), globalAlpha: alpha });
      c.beginPath();
      c.moveTo(this.X(xs[0]), this.Y(0));
      for (let i = 0; i < xs.length; i++) c.lineTo(this.X(xs[i]), this.Y(ys[i]));
      c.lineTo(this.X(xs.at(-1)), this.Y(0));
      c.fill();
    });
  }

  /** Bars of equal width `step` from `start`; one too tall for the axes is cut and says its height. */
  bars(start, step, heights, { color = "blue", alpha = 0.55 } = {}) {
    const { c } = this;
    this.canvas.drawn.bars.push(heights);
    c.save();
    Object.assign(c, { fillStyle: this.color(color), globalAlpha: alpha });
    heights.forEach((height, i) => {
      const [x0, x1] = [this.X(start + i * step) + 0.5, this.X(start + (i + 1) * step) - 0.5];
      const top = Math.max(this.Y(height), this.box[1]);
      c.fillRect(x0, top, x1 - x0, this.box[3] - top);
    });
    c.restore();
    heights.forEach((height, i) => {
      if (height <= this.ylim[1]) return;
      this.text(`↑ ${height.toFixed(1)}`, this.X(start + (i + 0.5) * step), this.box[1] - 6, {
        align: "center",
        size: 11,
      });
    });
  }

  dots(xs, ys, { color = "blue", radius = 2.5, alpha = 1 } = {}) {
    const { c } = this;
    this.canvas.drawn.dots.push([xs, ys]);
    Object.assign(c, { fillStyle: this.color(color), globalAlpha: alpha });
    c.beginPath();
    for (let i = 0; i < xs.length; i++) {
      c.moveTo(this.X(xs[i]) + radius, this.Y(ys[i]));
      c.arc(this.X(xs[i]), this.Y(ys[i]), radius, 0, 2 * Math.PI);
    }
    c.fill();
    c.globalAlpha = 1;
  }

  /** A vertical rule at x, with a dot where y is given. */
  marker(x, y, { color = "orange", dash = [] } = {}) {
    const { c, box } = this;
    this.canvas.drawn.markers.push([x, y]);
    Object.assign(c, {
      strokeStyle: this.color(color),
      fillStyle: this.color(color),
      lineWidth: 1.5,
    });
    c.setLineDash(dash);
    c.beginPath();
    c.moveTo(this.X(x), box[1]);
    c.lineTo(this.X(x), box[3]);
    c.stroke();
    c.setLineDash([]);
    if (y === undefined) return;
    c.beginPath();
    c.arc(this.X(x), this.Y(y), 5, 0, 2 * Math.PI);
    c.fill();
  }
}

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

function tickText(value) {
  return String(Number(value.toPrecision(6))).replace("-", "−");
}
