// Parts of the sampler's view: sixteen pictures as one, the drawing pad, small controls.

const COLUMNS = 4;
const GAP = 2;

/** A canvas of `count` pictures in rows of four, with a gap between them. */
function sheet(side, count, label) {
  const rows = Math.ceil(count / COLUMNS);
  const size = (n) => n * side + (n - 1) * GAP;
  return h("canvas", {
    class: "dmw-pixels",
    width: size(COLUMNS),
    height: size(rows),
    role: "img",
    "aria-label": label,
  });
}

/** Draw the pictures, one after the other in `values`, in [-1, 1]. */
function drawSheet(canvas, values, side) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < values.length; i++) {
    const [n, p] = [Math.floor(i / side ** 2), i % side ** 2];
    const x = (n % COLUMNS) * (side + GAP) + (p % side);
    const y = Math.floor(n / COLUMNS) * (side + GAP) + Math.floor(p / side);
    const grey = Math.round((clamp(values[i], -1, 1) + 1) * 127.5);
    image.data.set([grey, grey, grey, 255], 4 * (y * canvas.width + x));
  }
  context.putImageData(image, 0, 0);
}

const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** The drawing of the model, side x side bytes; black where nothing was drawn yet. */
function drawingOf(model, side) {
  const text = model.get("drawing");
  return text ? fromBase64(text) : new Uint8Array(side ** 2);
}

/** A pad to draw on with finger, pen, mouse, or the arrow keys and the space bar. */
function drawingPad(model, side) {
  const canvas = h("canvas", {
    class: "dmw-pixels sm-pad",
    width: side,
    height: side,
    tabindex: 0,
    role: "application",
    "aria-label": `Drawing pad, ${side} by ${side}: arrow keys move, space draws`,
  });
  const tools = { ink: 255 };
  const cursor = { x: side >> 1, y: side >> 1, shown: false };
  const show = () => {
    drawGrey(canvas, toUnit(drawingOf(model, side)));
    if (!cursor.shown) return;
    const context = canvas.getContext("2d");
    context.fillStyle = "#e8793a";
    context.fillRect(cursor.x, cursor.y, 1, 1);
  };
  const dab = (bytes, x, y) => {
    for (let j = 0; j < side; j++) {
      for (let i = 0; i < side; i++) {
        const cover = clamp((tools.ink ? 1.9 : 3) - Math.hypot(i + 0.5 - x, j + 0.5 - y), 0, 1);
        const at = j * side + i;
        bytes[at] = Math.round(bytes[at] + cover * (tools.ink - bytes[at]));
      }
    }
  };
  const stroke = (from, to) => {
    const bytes = drawingOf(model, side);
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let k = 0; k <= steps; k++)
      dab(
        bytes,
        from[0] + ((to[0] - from[0]) * k) / steps,
        from[1] + ((to[1] - from[1]) * k) / steps,
      );
    put(model, "drawing", toBase64(bytes));
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * side,
      ((event.clientY - box.top) / box.height) * side,
    ];
  };
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(place(event), (last = place(event)));
    event.preventDefault();
    canvas.focus({ preventScroll: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const to = place(event);
    stroke(last, to);
    last = to;
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => (last = null));
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    cursor.shown = true;
    if (move)
      Object.assign(cursor, {
        x: clamp(cursor.x + move[0], 0, side - 1),
        y: clamp(cursor.y + move[1], 0, side - 1),
      });
    else stroke([cursor.x + 0.5, cursor.y + 0.5], [cursor.x + 0.5, cursor.y + 0.5]);
    show();
  });
  canvas.addEventListener("blur", () => ((cursor.shown = false), show()));
  const inks = [
    ["White", 255],
    ["Grey", 130],
    ["Erase", 0],
  ].map(([name, ink]) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(ink === tools.ink),
        onclick: () => {
          tools.ink = ink;
          for (const [i, button] of inks.entries())
            button.setAttribute("aria-pressed", String([255, 130, 0][i] === ink));
        },
      },
      name,
    ),
  );
  const clear = h("button", { type: "button", onclick: () => put(model, "drawing", "") }, "Clear");
  model.on("change:drawing", show);
  show();
  return h("div", { class: "sm-draw" }, canvas, h("div", { class: "dmw-row" }, ...inks, clear));
}

/** Pictures to take as the drawing, by a press. */
function examples(model, { pictures, names, side }) {
  return h(
    "fieldset",
    null,
    h("legend", null, "or take one"),
    h(
      "div",
      { class: "dmw-thumbs" },
      ...names.map((name, i) => {
        const bytes = pictures.subarray(i * side ** 2, (i + 1) * side ** 2);
        const canvas = h("canvas", { width: side, height: side, "aria-hidden": "true" });
        drawGrey(canvas, toUnit(bytes));
        return h(
          "button",
          {
            type: "button",
            class: "sm-take",
            title: name,
            "aria-label": `Take the picture: ${name}`,
            onclick: () => put(model, "drawing", toBase64(bytes)),
          },
          canvas,
        );
      }),
    ),
  );
}

/** A labelled tick box bound to a state. */
function tickBox(model, key, label) {
  const input = h("input", {
    type: "checkbox",
    "aria-label": plain(label),
    onchange: () => put(model, key, input.checked),
  });
  const show = () => (input.checked = model.get(key));
  model.on(`change:${key}`, show);
  show();
  return h("label", null, input, rich(label, { class: "dmw-note" }));
}

/** The seed: a number to type, and a button for another one. */
function seedBox(model) {
  const input = h("input", {
    type: "number",
    min: 1,
    max: 999999,
    step: 1,
    class: "sm-seed",
    "aria-label": "Seed",
    onchange: () => put(model, "seed", clamp(Math.round(Number(input.value)) || 1, 1, 999999)),
  });
  const show = () => (input.value = model.get("seed"));
  model.on("change:seed", show);
  show();
  const other = h(
    "button",
    { type: "button", onclick: () => put(model, "seed", 1 + Math.floor(Math.random() * 9999)) },
    "New seed",
  );
  return h(
    "span",
    { class: "dmw-row sm-tight" },
    h("label", null, rich("Seed", { class: "dmw-note" }), input),
    other,
  );
}

/** What the present state is in dmlib, to copy: it runs as it stands, and shows its picture. */
function pythonOf(model, names) {
  const get = (key) => model.get(key);
  const drawn = get("start") === "drawing";
  const rule = { ddim: "ddim", ddpm: "ddpm", dpm: "dpm_solver" }[get("sampler")];
  const eta = get("sampler") === "ddim" && get("eta") ? `eta=${get("eta")}` : "";
  const scale = get("guidance_scale");
  const y = get("label") < 0 ? `torch.arange(16) % ${names.length}` : get("label");
  const steps = drawn ? Math.min(get("steps"), get("t_start")) : get("steps");
  const names_ = ["sample", drawn && "spaced_times", get("clip") && "clipped"];
  const lines = [
    "import matplotlib.pyplot as plt",
    "import torch",
    "",
    "from dmlib.book import plotting",
    "from dmlib.checkpoint import load_shipped",
    drawn && "from dmlib.forward import q_sample",
    names.length > 0 && "from dmlib.guidance import guided",
    `from dmlib.sampling import ${names_.filter(Boolean).sort().join(", ")}`,
    `from dmlib.steps import ${rule}`,
    "",
    "net, card = load_shipped()",
    names.length > 0 && `denoiser = guided(net, ${y}, guidance_scale=${scale})`,
    names.length === 0 && "denoiser = net",
    get("clip") && "denoiser = clipped(denoiser)",
    `generator = torch.Generator().manual_seed(${get("seed")})`,
    "x_T = torch.randn(16, 1, 28, 28, generator=generator)",
    drawn && "x0 = torch.zeros(16, 1, 28, 28)  # your drawing, in [-1, 1]",
    drawn && `x_T = q_sample(x0, ${get("t_start")}, x_T, schedule=net.path)`,
    `times = ${drawn ? `spaced_times(${get("t_start")}, ${steps})` : steps}`,
    `walk = sample(denoiser, x_T, step=${rule}(${eta}), times=times, generator=generator)`,
    "plotting.image_grid(plt.gca(), list(walk)[-1].xt, columns=4)",
    "plt.show()",
  ];
  return lines.filter((line) => line !== false).join("\n");
}
