// Elements, the small markup of labels, style sheets and the page's theme.

/** h("p", { class: "x", onclick: f }, "text", child) -> element; null and false children are left out. */
function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

/** Split "*x*_t" into pieces: *italic*, _sub or _{sub}, ^sup or ^{sup}, √{under the root}. */
function pieces(text) {
  const found = [];
  const pattern = /\*([^*]+)\*|([_^])(?:\{([^}]*)\}|(.))|√\{((?:[^{}]|\{[^}]*\})*)\}|[^*_^√]+|./gu;
  for (const m of text.matchAll(pattern)) {
    if (m[1]) found.push({ kind: "i", text: m[1] });
    else if (m[2]) found.push({ kind: m[2] === "_" ? "sub" : "sup", text: m[3] ?? m[4] });
    else if (m[5]) found.push({ kind: "rad", text: m[5] });
    else found.push({ kind: "", text: m[0] });
  }
  return found;
}

/** The same small markup as HTML: rich("√{*ᾱ*_t} = 0.5"). Letters in sub and sup may be *t*. */
function rich(text, props) {
  const node = h("span", props);
  for (const piece of pieces(text)) {
    if (piece.kind === "") node.append(piece.text);
    else if (piece.kind === "i") node.append(h("i", null, piece.text));
    else if (piece.kind === "rad") node.append(h("span", { class: "rad" }, "√", rich(piece.text)));
    else if (/^[a-z]$/i.test(piece.text))
      node.append(h(piece.kind, null, h("i", null, piece.text)));
    else node.append(h(piece.kind, null, rich(piece.text)));
  }
  return node;
}

/** The same markup read aloud or written without markup, for aria-label. */
function plain(text) {
  return pieces(text)
    .map((p) => (p.kind === "rad" ? `√(${plain(p.text)})` : p.text))
    .join("");
}

const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Is the page dark? sphinx-book-theme, Colab, JupyterLab, VS Code, else the system's wish. */
function isDark() {
  const { documentElement: html, body } = document;
  const theme = html.dataset.theme || html.getAttribute("theme");
  if (theme === "dark" || theme === "light") return theme === "dark";
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  if (body.dataset.vscodeThemeKind) return !body.dataset.vscodeThemeKind.includes("light");
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Call `changed` whenever the page's theme may have changed; returns how to stop. */
function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  const attributeFilter = ["data-theme", "theme", "data-jp-theme-light", "data-vscode-theme-kind"];
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter });
  }
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", changed);
  return () => (observer.disconnect(), query.removeEventListener("change", changed));
}

/**
 * A style sheet once a document, however many widgets bring it: a second copy of the shared one would
 * undo what a widget's own sheet says.
 */
function styleOnce(css) {
  const known = [...document.querySelectorAll("style[data-dmw]")];
  if (known.some((node) => node.textContent === css)) return;
  const sheet = h("style", { "data-dmw": true }, css);
  // The shared sheet comes before every other one.
  if (css === STYLE) document.head.insertBefore(sheet, known[0] ?? null);
  else document.head.append(sheet);
}
