// Say it: four pictures of a caption, how they come out of noise, and where they look for each word.

const SIDE = 32;
const MAP = 8;
const ASKED = 8e3; // ms until the kernel counts as gone

/** The words of a text, in small letters, without commas, full stops and exclamation marks (captions.words_of). */
const wordsOf = (text) =>
  text
    .toLowerCase()
    .replace(/[,.!]/g, " ")
    .split(/\s+/)
    .filter((word) => word);

/** The words that the network has not (captions.unknown_words). */
const unknownWords = (text, words) =>
  wordsOf(text).filter((word) => !words.includes(word) || word.startsWith("<"));

/** START, the words, padding (captions.tokenize); null where a word is unknown or there are too many. */
function tokensOf(text, { words, length }) {
  const numbers = [1, ...wordsOf(text).map((word) => words.indexOf(word))];
  if (numbers.length > length || unknownWords(text, words).length) return null;
  return [...numbers, ...Array(length - numbers.length).fill(0)];
}

/** Two values a byte -> one each. */
function widened(bytes) {
  const values = new Uint8Array(2 * bytes.length);
  bytes.forEach((byte, i) => ((values[2 * i] = byte >> 4), (values[2 * i + 1] = byte & 15)));
  return values;
}

/** All recorded walks: by text and guidance, the colours of the pixels and the levels of the maps. */
function recordings(data) {
  const [palettes, pixels, maps] = ["palettes", "pixels", "maps"].map((name) => unpack(data[name]));
  const moments = data.t.length;
  const size = (moments * 4 * SIDE * SIDE) / 2;
  const walks = {};
  let at = 0;
  data.recorded.forEach((text, i) => {
    const n = wordsOf(text).length;
    const length = (moments * 4 * n * MAP * MAP) / 2;
    data.scales.forEach((scale, j) => {
      const k = i * data.scales.length + j;
      const palette = palettes.subarray(48 * moments * k, 48 * moments * (k + 1));
      const index = widened(pixels.subarray(k * size, (k + 1) * size));
      const colours = new Uint8Array(3 * index.length);
      index.forEach((c, p) => {
        const from = 48 * Math.floor(p / (4 * SIDE * SIDE)) + 3 * c; // each moment has its own
        colours.set(palette.subarray(from, from + 3), 3 * p);
      });
      const levels = widened(maps.subarray(at, at + length));
      walks[`${text}|${scale}`] = { t: data.t, colours, levels, n, kind: "recorded" };
      at += length;
    });
  });
  return walks;
}

/** Picture `j` at a moment, with a word's map over it where one is chosen: dark where nobody looks. */
function paintSaid(canvas, walk, { moment, j, word }) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  const from = 3 * SIDE * SIDE * (4 * moment + j);
  const map = MAP * MAP * ((4 * moment + j) * walk.n + word);
  for (let p = 0; p < SIDE * SIDE; p++) {
    const cell = Math.floor(p / SIDE / 4) * MAP + Math.floor((p % SIDE) / 4);
    const light = word < 0 ? 1 : 0.2 + (0.8 * walk.levels[map + cell]) / 15;
    for (let c = 0; c < 3; c++)
      image.data[4 * p + c] = Math.round(light * walk.colours[from + 3 * p + c]);
    image.data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** What the kernel sends: (moments, 4, 3, 32, 32) as (moments, 4, 32, 32, 3). */
function coloursLast(bytes) {
  const out = new Uint8Array(bytes.length);
  const area = SIDE * SIDE;
  for (let i = 0; i < bytes.length; i++) {
    const [picture, c, p] = [Math.floor(i / area / 3), Math.floor(i / area) % 3, i % area];
    out[3 * (picture * area + p) + c] = bytes[i];
  }
  return out;
}

/** Ask the kernel for a walk (SayIt._answer in Python). */
function askKernel(source, question) {
  const id = Math.random().toString(36).slice(2);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => done(reject, new Error("the kernel does not answer")),
      10 * ASKED,
    );
    const done = (call, value) => (
      clearTimeout(timer), source.off("msg:custom", heard), call(value)
    );
    const heard = (message, buffers) => {
      if (message.id !== id) return;
      if (message.kind === "error") return done(reject, new Error(message.text));
      const [pixels, levels] = buffers.map(
        (b) => new Uint8Array(b.buffer ?? b, b.byteOffset ?? 0, b.byteLength),
      );
      done(resolve, { t: message.t, colours: coloursLast(pixels), levels, kind: "live" });
    };
    source.on("msg:custom", heard);
    source.send({ kind: "say", id, ...question });
  });
}

function render({ model: source, el }) {
  const data = source.get("_data");
  const walks = recordings(data);
  const last = data.t.length - 1;
  const setting = {
    title: "Say it: four pictures of your words",
    label: "Interactive figure: pictures that a network draws of a caption",
    states: ["text", "guidance_scale", "negative", "seed", "moment", "word"],
    layout: SAY_LAYOUT,
  };
  return frame({ model: source, el }, setting, (body, { model, onStop }) => {
    const live = typeof source.send === "function";
    let drawn = null; // what the kernel drew: { key, walk }
    let asking = false;
    const key = () =>
      ["text", "guidance_scale", "negative", "seed"].map((name) => model.get(name)).join("|");
    const plainKey = () => `${model.get("text")}|${model.get("guidance_scale")}`;
    const walkNow = () => {
      if (drawn?.key === key()) return drawn.walk;
      const asRecorded = !model.get("negative") && model.get("seed") === 1;
      return (asRecorded && walks[plainKey()]) || null;
    };
    const input = (name, label) => {
      const node = h("input", {
        type: "text",
        class: "si-text",
        "aria-label": label,
        oninput: () => (put(model, "word", -1), put(model, name, node.value)),
      });
      const show = () => node.value === model.get(name) || (node.value = model.get(name));
      model.on(`change:${name}`, show);
      show();
      return h("label", { class: "si-line" }, h("span", { class: "dmw-note" }, label), node);
    };
    const pictures = Array.from({ length: 4 }, (_, j) => picture(SIDE, `picture ${j + 1}`));
    const chips = h("div", { class: "dmw-row si-chips", role: "group", "aria-label": "Words" });
    const verdict = h("p", { class: "dmw-note dmw-verdict" });
    const go = h("button", { type: "button", "data-main": true }, "▶ Generate");
    go.addEventListener("click", async () => {
      const [asked, question] = [
        key(),
        {
          text: model.get("text"),
          scale: model.get("guidance_scale"),
          negative: model.get("negative"),
          seed: model.get("seed"),
        },
      ];
      asking = true;
      draw();
      try {
        const walk = await askKernel(source, question);
        drawn = { key: asked, walk: { ...walk, n: wordsOf(question.text).length } };
        note = "";
      } catch (error) {
        note = error.message;
      }
      asking = false;
      draw();
    });
    let note = "";
    const known = choice(model, "text", {
      label: "Recorded captions",
      options: data.recorded.map((text) => [text, text]),
    });
    known.querySelector("select").addEventListener("change", () => put(model, "word", -1));
    model.allow("text", (value) => typeof value === "string" && value.length < 300);
    body.append(
      known,
      input("text", "Say what shall be seen"),
      ...(live ? [input("negative", "Away from (a negative prompt)")] : []),
      h(
        "div",
        { class: "dmw-row" },
        live && go,
        choice(model, "guidance_scale", {
          label: "Guidance *w*",
          options: data.scales.map((scale) => [scale, String(scale)]),
        }),
        live &&
          h(
            "button",
            { type: "button", onclick: () => put(model, "seed", 1 + (model.get("seed") % 9999)) },
            "Next seed",
          ),
      ),
      h("div", { class: "si-four" }, ...pictures),
      h(
        "div",
        { class: "dmw-row" },
        player(model, "moment", { min: 0, max: last, seconds: 2, onStop }),
        slider(model, "moment", {
          label: "moment",
          min: 0,
          max: last,
          width: "5em",
          format: (v) => `t = ${data.t[v]}`,
        }).node,
      ),
      h("p", { class: "dmw-note" }, "Press a word to see which pixels look at it:"),
      chips,
      verdict,
    );

    const buttons = (text) => {
      const words = wordsOf(text);
      const strange = unknownWords(text, data.words);
      const nodes = words.map((word, i) =>
        h(
          "button",
          {
            type: "button",
            class: strange.includes(word) && "si-strange",
            "aria-pressed": String(model.get("word") === i),
            disabled: !walkNow(),
            onclick: () => put(model, "word", model.get("word") === i ? -1 : i),
          },
          word,
        ),
      );
      // Rebuilt only where something changed: the focus stays on the word that was pressed.
      const sign = `${text}|${Boolean(walkNow())}`;
      if (chips.dataset.sign !== sign) {
        chips.dataset.sign = sign;
        chips.replaceChildren(...nodes);
      }
      Array.from(chips.children, (node, i) =>
        node.setAttribute("aria-pressed", String(model.get("word") === i)),
      );
    };
    const sentence = () => {
      const text = model.get("text");
      const strange = unknownWords(text, data.words);
      if (strange.length) return `It does not know: ${[...new Set(strange)].join(", ")}.`;
      if (!tokensOf(text, data)) return `At most ${data.length - 1} words, please.`;
      if (note) return note;
      if (asking) return "The kernel draws …";
      if (walkNow()) return "";
      return live
        ? "Press Generate."
        : "It knows all these words. This page shows recorded captions only; in a notebook the kernel draws any.";
    };
    const draw = () => {
      const walk = walkNow();
      const [moment, text] = [model.get("moment"), model.get("text")];
      const word = walk && model.get("word") < walk.n ? model.get("word") : -1;
      pictures.forEach((canvas, j) => {
        if (walk) paintSaid(canvas, walk, { moment, j, word });
        else canvas.getContext("2d").clearRect(0, 0, SIDE, SIDE);
        const over = word < 0 ? "" : `, bright where the pixels look at “${wordsOf(text)[word]}”`;
        canvas.setAttribute(
          "aria-label",
          walk ? `Picture ${j + 1} of “${text}” at t = ${walk.t[moment]}${over}` : "no picture yet",
        );
      });
      go.disabled = asking || !tokensOf(text, data);
      buttons(text);
      if (verdict.textContent !== sentence()) verdict.textContent = sentence();
      verdict.hidden = !sentence();
    };
    const numbers = () => {
      const walk = walkNow();
      return {
        tokens: tokensOf(model.get("text"), data),
        unknown: unknownWords(model.get("text"), data.words),
        kind: walk?.kind ?? null,
        colours: walk && Array.from(walk.colours),
        levels: walk && Array.from(walk.levels),
        sentence: sentence(),
      };
    };
    return { draw, numbers };
  });
}

const SAY_LAYOUT = `
.si-four { display:grid; grid-template-columns:repeat(4,minmax(0,1fr)); gap:calc(.5*var(--r)); max-width:calc(44*var(--r)); width:100%; margin:0 auto; }
.si-four .dmw-pixels { background:var(--tint); border-radius:6px; }
.si-line { display:grid; gap:calc(.2*var(--r)); }
.dmw .si-text { font:inherit; width:100%; box-sizing:border-box; color:var(--ink); background:var(--panel); border:1px solid var(--line); border-radius:9px; min-height:calc(2.4*var(--r)); padding:calc(.2*var(--r)) calc(.6*var(--r)); }
.dmw .si-chips button { min-height:calc(2.2*var(--r)); }
.dmw .si-chips button[aria-pressed=true] { border-color:var(--blue); box-shadow:0 0 0 1px var(--blue); }
.dmw .si-chips .si-strange { text-decoration:line-through; }
@container (max-width:30rem) { .si-four { grid-template-columns:repeat(2,minmax(0,1fr)); } }
`;

export default { render };
