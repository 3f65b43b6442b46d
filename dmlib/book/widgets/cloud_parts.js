// Clouds of points on a canvas that turns by mouse, touch and arrow keys.

const TURN = 5; // degrees an arrow key turns

/** A cloud (x, y, z, x, …) as it is seen: right, up, near (dmlib.book.clouds.turned). */
function turned(cloud, azimuth, elevation) {
  const [ca, sa] = [Math.cos((azimuth * Math.PI) / 180), Math.sin((azimuth * Math.PI) / 180)];
  const [ce, se] = [Math.cos((elevation * Math.PI) / 180), Math.sin((elevation * Math.PI) / 180)];
  const seen = new Float64Array(cloud.length);
  for (let i = 0; i < cloud.length; i += 3) {
    const away = sa * cloud[i] + ca * cloud[i + 1];
    seen[i] = ca * cloud[i] - sa * cloud[i + 1];
    seen[i + 1] = ce * cloud[i + 2] + se * away;
    seen[i + 2] = se * cloud[i + 2] - ce * away;
  }
  return seen;
}

/** Bytes of a recording, where 0 is -edge and 255 is edge. */
const unpacked = (bytes, edge) => Float64Array.from(bytes, (b) => (b * 2 * edge) / 255 - edge);

/** Lowest and highest of each coordinate, as [width, depth, height]. */
function extents(cloud) {
  return [0, 1, 2].map((d) => {
    let [low, high] = [Infinity, -Infinity];
    for (let i = d; i < cloud.length; i += 3) {
      if (cloud[i] < low) low = cloud[i];
      if (cloud[i] > high) high = cloud[i];
    }
    return high - low;
  });
}

/** A picture of one cloud; all pictures of a figure turn together, by the states of the model. */
class CloudView {
  #colors = {};
  #dark = null;

  constructor(model, { reach }) {
    this.reach = reach;
    this.canvas = h("canvas", { class: "cl-canvas", role: "img", tabindex: "0" });
    this.node = h("div", { class: "cl-view" }, this.canvas);
    turnable(model, this.canvas);
    new ResizeObserver(([entry]) => (this.width = entry.contentRect.width)).observe(this.node);
  }

  #color(name) {
    const dark = this.canvas.closest(".dmw")?.hasAttribute("data-dark");
    if (dark !== this.#dark) [this.#dark, this.#colors] = [dark, {}];
    return (this.#colors[name] ??=
      getComputedStyle(this.canvas).getPropertyValue(`--${name}`) || name);
  }

  /** `seen` as of turned(); `color(i)` of point i, "" leaves it out; far points first, and smaller. */
  draw(seen, color, text) {
    const ratio = window.devicePixelRatio || 1;
    this.width ||= this.node.clientWidth;
    const side = Math.round(this.width * ratio);
    if (this.canvas.width !== side) Object.assign(this.canvas, { width: side, height: side });
    const c = this.canvas.getContext("2d");
    c.clearRect(0, 0, side, side);
    const order = Array.from({ length: seen.length / 3 }, (_, i) => i);
    order.sort((i, j) => seen[3 * i + 2] - seen[3 * j + 2]);
    const scale = side / (2 * this.reach);
    const size = Math.max(1.4, this.width / 170) * ratio;
    c.globalAlpha = 0.85;
    for (const i of order) {
      const name = color(i);
      if (!name) continue;
      const near = clamp((seen[3 * i + 2] + this.reach) / (2 * this.reach), 0, 1);
      c.fillStyle = this.#color(name);
      c.beginPath();
      const [x, y] = [seen[3 * i], seen[3 * i + 1]];
      c.arc(side / 2 + x * scale, side / 2 - y * scale, size * (0.75 + 0.7 * near), 0, 7);
      c.fill();
    }
    c.globalAlpha = 1;
    this.canvas.setAttribute("aria-label", `${text} Arrow keys turn it.`);
  }
}

/** Dragging and the arrow keys turn: the states azimuth (-180 to 180) and elevation (-90 to 90). */
function turnable(model, canvas) {
  const turn = (right, up) => {
    const azimuth = model.get("azimuth") + right;
    model.set("azimuth", ((((azimuth + 180) % 360) + 360) % 360) - 180);
    put(model, "elevation", clamp(model.get("elevation") + up, -90, 90));
  };
  let last = null;
  canvas.addEventListener("pointerdown", (e) => {
    last = [e.clientX, e.clientY];
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", (e) => {
    if (!last) return;
    const share = 180 / canvas.clientWidth;
    turn((e.clientX - last[0]) * share, (e.clientY - last[1]) * share);
    last = [e.clientX, e.clientY];
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => (last = null));
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (e) => {
    if (!keys[e.key]) return;
    e.preventDefault();
    turn(TURN * keys[e.key][0], TURN * keys[e.key][1]);
  });
}

const CLOUD_LAYOUT = `
.dmw .cl-canvas { width:100%; aspect-ratio:1; height:auto; touch-action:pan-y; cursor:grab; border-radius:10px; background:var(--tint); }
.dmw .cl-canvas:active { cursor:grabbing; } .dmw .cl-canvas:focus-visible { outline:3px solid var(--blue); outline-offset:2px; }
.cl-view { min-width:0; }
.cl-one { display:grid; gap:calc(.8*var(--r)); } .cl-one > * { min-width:0; }
@container (min-width:38rem) { .cl-one { grid-template-columns:minmax(0,calc(22*var(--r))) minmax(calc(13*var(--r)),1fr); align-items:center; } }
.cl-side { display:grid; gap:calc(.7*var(--r)); align-content:center; }
.cl-controls { display:grid; gap:calc(.5*var(--r)); } .cl-controls > * { min-width:0; }
@container (min-width:38rem) { .cl-controls { grid-template-columns:auto minmax(0,1fr); gap:calc(1.5*var(--r)); } }
.cl-many { display:grid; gap:calc(.5*var(--r)); grid-template-columns:repeat(3,minmax(0,1fr)); }
@container (min-width:38rem) { .cl-many { grid-template-columns:repeat(5,minmax(0,1fr)); } }
`;
