// Where a displayed formula may be broken: rows and cells of `aligned` and `gathered`, and in each cell
// before a relation, before a + or − between terms, and after a wide space.

const RELATIONS =
  /^\\(?:le|ge|leq|geq|propto|sim|approx|ne|neq|equiv|to|mapsto|Rightarrow|Leftrightarrow)$/;
const WIDE = /^\\q?quad$/;

/** Tokens of TeX, each with the depth of braces, environments and parentheses that it stands at. */
function tokens(tex) {
  const found = [];
  let depth = 0;
  let groups = 0; // of those that cannot be broken: braces and environments
  const pattern =
    /\\(?:begin|end)\{[^}]*\}|\\[bB]igg?[lrm]?\s*(?:\\[a-zA-Z]+|\\?[^a-zA-Z\s])|\\(?:left|right)\s*(?:\\[a-zA-Z]+|\\?[^a-zA-Z\s])|\\[a-zA-Z]+|\\[\s\S]|[\s\S]/g;
  for (const [token] of tex.matchAll(pattern)) {
    const opens = /^(?:\{|\(|\[|\\begin.*|\\left.*|\\[bB]igg?l.*|\\lVert|\\lvert|\\langle)$/.test(
      token,
    );
    const closes =
      /^(?:\}|\)|\]|\\end.*|\\right(?![a-z]*arrow).*|\\[bB]igg?r.*|\\rVert|\\rvert|\\rangle)$/.test(
        token,
      );
    const group = /^(?:[{}]|\\begin.*|\\end.*)$/.test(token);
    if (closes) depth -= 1;
    if (closes && group) groups -= 1;
    found.push({ token, depth, groups });
    if (opens) depth += 1;
    if (opens && group) groups += 1;
  }
  return found;
}

/** A bracket of a size of its own in the place of one that fits itself. */
const fixed = (token) =>
  token.replace(/^\\left(?![a-z])/, "\\Biggl").replace(/^\\right(?![a-z])/, "\\Biggr");

/** Split at a separator that stands at the top. */
function split(tex, separator) {
  const parts = [""];
  for (const { token, depth } of tokens(tex)) {
    if (token === separator && depth === 0) parts.push("");
    else parts[parts.length - 1] += token;
  }
  return parts.map((part) => part.trim());
}

/** The rows of cells of a displayed formula, and whether its columns are aligned. */
function rows(tex) {
  let inner = tex.trim();
  let name = "";
  for (;;) {
    const found =
      /^\\begin\{(split|aligned|gathered|align\*?|gather\*?|equation\*?)\}([\s\S]*)\\end\{\1\}$/.exec(
        inner,
      );
    if (!found || found[2].includes(`\\begin{${found[1]}}`)) break;
    [name, inner] = [found[1], found[2].trim()];
  }
  if (!name) return [[inner]];
  const lines = split(inner, "\\\\").filter(Boolean);
  return lines.map((line) => split(line.replace(/^\[[\d.]+\w\w\]/, ""), "&"));
}

/**
 * The pieces of one cell, in TeX; a line may end after each. With `level` 1 also inside of the outer
 * brackets, whose size is then given: TeX fits brackets to what stands between them in one piece.
 */
function pieces(cell, level = 0) {
  const found = [""];
  let before = ""; // the last token that is not a space
  const cut = (lead) => found.at(-1).replace("{}", "").trim() && found.push(lead);
  const all = tokens(cell);
  for (const [i, { token, depth, groups }] of all.entries()) {
    const free = depth <= level && groups === 0;
    const colon = token === ":" && all[i + 1]?.token === "=";
    const relation = token === "=" || RELATIONS.test(token) || colon;
    const sign =
      /^[+-]$/.test(token) &&
      before &&
      !/[([]$/.test(before) &&
      !/^(?:[=,(<>+:-]|\\q?quad|\\,|\\;)$/.test(before) &&
      !RELATIONS.test(before);
    const parallel = level > 0 && /^\\(?:big|Big|bigg)\\?(?:\\Vert|\|)/.test(token);
    if (free && (sign || parallel || (relation && before !== ":"))) cut("{}");
    found[found.length - 1] += level > 0 && depth === 0 ? fixed(token) : token;
    const listed = level > 0 && depth === level && token === ",";
    if (free && (listed || WIDE.test(token))) cut("");
    if (token.trim()) before = token;
  }
  return found.filter((piece) => piece.trim());
}

module.exports = { rows, pieces };
