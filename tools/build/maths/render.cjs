// TeX in, HTML out: [[tex, displayed], …] as JSON on stdin becomes { formulas, glyphs } on stdout.
//
// MathJax draws each piece of a formula as SVG, with its glyphs by reference; Speech Rule Engine says it in
// words, for those who listen. A page then holds every glyph once. NODE_PATH leads to vendored/.

const { readFileSync } = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const { rows, pieces } = require("./pieces.cjs");

// The rule engine asks for its command line's parser, which nobody needs here.
const load = Module._load;
Module._load = (name, ...rest) => (name === "commander" ? { program: {} } : load(name, ...rest));

const VENDORED = path.join(__dirname, "vendored");
process.env.SRE_JSON_PATH = path.join(VENDORED, "speech-rule-engine", "lib", "mathmaps");

const attribute = (text) =>
  text.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");
const NARROW = 39; // ex that a phone's column has for one piece
const round = (value) => String(Math.round(value * 100) / 100);

/** What is drawn, without MathJax's own marks: glyphs by reference, lines, and their places. */
function drawn(adaptor, node, glyphs) {
  const kind = adaptor.kind(node);
  const get = (name) => adaptor.getAttribute(node, name);
  if (kind === "use") {
    const id = (get("xlink:href") ?? get("href"))
      .replace("#MJX-", "")
      .replace(/^\d+-/, "")
      .replace("TEX-", "m");
    glyphs.add(id);
    const place = get("transform");
    return `<use href="#${id}"${place ? ` transform="${place}"` : ""}/>`;
  }
  const inner = adaptor.childNodes(node).filter((child) => adaptor.kind(child) !== "#text");
  if (kind === "g") {
    const place = get("transform");
    const content = inner.map((child) => drawn(adaptor, child, glyphs)).join("");
    if (!content) return "";
    // A group without a place of its own says nothing; one glyph carries its own place.
    if (!place) return content;
    const single = /^<use href="(#[^"]+)"\/>$/.exec(content);
    return single
      ? `<use href="${single[1]}" transform="${place}"/>`
      : `<g transform="${place}">${content}</g>`;
  }
  if (kind === "rect" || kind === "path") {
    const names = ["x", "y", "width", "height", "d", "transform"].filter((name) => get(name));
    return `<${kind} ${names.map((name) => `${name}="${get(name)}"`).join(" ")}/>`;
  }
  if (kind === "svg") {
    const names = ["x", "y", "width", "height", "viewBox"].filter((name) => get(name));
    const content = inner.map((child) => drawn(adaptor, child, glyphs)).join("");
    return `<svg ${names.map((name) => `${name}="${get(name)}"`).join(" ")}>${content}</svg>`;
  }
  throw new Error(`MathJax drew <${kind}>: a letter that its font does not have?`);
}

async function main() {
  const MathJax = await require("mathjax/node-main.js").init({
    loader: { load: ["input/tex", "output/svg", "adaptors/liteDOM"], require },
    svg: { fontCache: "global" },
    tex: {
      packages: ["base", "ams", "newcommand"],
      formatError: (_jax, error) => {
        throw error;
      },
    },
    startup: { typeset: false },
  });
  const adaptor = MathJax.startup.adaptor;
  const sre = require("speech-rule-engine/lib/sre.js");
  await sre.setupEngine({
    locale: "en",
    domain: "clearspeak",
    style: "default",
    modality: "speech",
  });

  /** A formula in words, row by row: `|` is "given" in a book on probability, `~` is a distribution's. */
  const WORDS = [
    ["mid", "given"],
    ["sim", "is drawn from"],
  ];
  const words = (tex) => {
    let said = tex
      .replace(/\\math(?:bb|bf|cal|rm)\s*\{(\w)\}/g, "$1")
      .replace(/(?:[.,;]|\\,|\s)+$/, "");
    for (const [names, word] of WORDS) {
      said = said.replace(
        new RegExp(`\\\\(?:${names})(?![a-zA-Z])`, "g"),
        `\\mathbin{\\text{${word}}}`,
      );
    }
    const speech = sre.toSpeech(MathJax.tex2mml(said));
    return speech
      .replace(/\bmetric\b/g, "norm")
      .replace(/\bnormal (?=\w\b)/g, "")
      .replace(/\bl n\b/g, "log")
      .replace(/\s+/g, " ")
      .trim();
  };

  const piece = (tex, display, glyphs) => {
    const svg = adaptor.firstChild(MathJax.tex2svg(tex, { display }));
    const get = (name) => adaptor.getAttribute(svg, name);
    const [, , width, height] = get("viewBox").split(" ").map(Number);
    const down = /vertical-align:\s*(-?[\d.]+)ex/.exec(get("style"))?.[1] ?? "0";
    const content = adaptor
      .childNodes(svg)
      .map((child) => (adaptor.kind(child) === "defs" ? "" : drawn(adaptor, child, glyphs)))
      .join("");
    // 442 units are one ex of the font: with the size in ex, the letters are as high as the text's.
    const html = `<svg class="m" viewBox="${get("viewBox")}" width="${round(width / 442)}ex" height="${round(height / 442)}ex" style="vertical-align:${down}ex" aria-hidden="true">${content}</svg>`;
    return { html, width: width / 442 };
  };

  const used = new Set();
  const one = ([tex, display]) => {
    const cells = (display ? rows(tex) : [[tex]]).map((row) =>
      row.map((cell) => (cell ? pieces(cell) : [])),
    );
    const whole = display ? rows(tex).map((row) => row.join(" ")) : [tex];
    const spoken = whole.map(words).join("; ");
    const drawPiece = (part) => {
      const whole = piece(part, display, used);
      const parts = whole.width > NARROW ? pieces(part, 1) : [];
      if (parts.length < 2) return whole.html;
      return parts.map((inner) => piece(inner, display, used).html).join("<wbr>");
    };
    const drawCell = (all, j) =>
      all.map((part, k) => drawPiece(j > 0 && k === 0 ? `{}${part}` : part)).join("<wbr>");
    if (!display)
      return `<span class="m-in" role="math" aria-label="${attribute(spoken)}" data-tex="${attribute(tex)}">${drawCell(cells[0][0], 0)}</span>`;
    const columns = Math.max(...cells.map((row) => row.length));
    const lines = cells.map(
      (row) =>
        `<span class="m-row">${row.map((cell, j) => `<span class="m-cell">${drawCell(cell, j)}</span>`).join("")}</span>`,
    );
    return `<span class="m-block"${columns > 1 ? ` data-columns="${columns}"` : ""} role="math" aria-label="${attribute(spoken)}" data-tex="${attribute(tex)}">${lines.join("")}</span>`;
  };
  const formulas = JSON.parse(readFileSync(0, "utf8")).map((formula) => {
    try {
      return one(formula);
    } catch (error) {
      return { error: `${formula[0]}\n${error.message}` };
    }
  });
  const cache = MathJax.startup.document.outputJax.fontCache.getCache();
  const glyphs = {};
  for (const node of adaptor
    .childNodes(adaptor.firstChild(cache) ?? cache)
    .concat(adaptor.childNodes(cache))) {
    const id = adaptor
      .getAttribute(node, "id")
      ?.replace("MJX-", "")
      .replace(/^\d+-/, "")
      .replace("TEX-", "m");
    if (id && used.has(id)) glyphs[id] = adaptor.getAttribute(node, "d");
  }
  process.stdout.write(JSON.stringify({ formulas, glyphs }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
