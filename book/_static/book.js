// What a page does by itself: hints where something scrolls, TeX for the clipboard, paper, the search.

const SCROLLERS =
  ".bd-article table, .bd-article pre, .bd-article .cell_output, .bd-article figure";

/** What scrolls sideways says so: it fades out at the side where it goes on, and keys reach it. */
function hints() {
  const watched = new Set();
  const mark = (node) => {
    const rest = node.scrollWidth - node.clientWidth;
    const clips = getComputedStyle(node).overflowX !== "visible";
    const scrolls = clips && rest > 2;
    if (clips && rest > 0) node.tabIndex = 0; // even a pixel must be reached by keys
    node.classList.toggle("more-right", scrolls && node.scrollLeft < rest - 2);
    node.classList.toggle("more-left", scrolls && node.scrollLeft > 2);
  };
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) mark(target);
  });
  for (const node of document.querySelectorAll(SCROLLERS)) {
    if (watched.has(node) || node.closest(".dmw")) continue;
    watched.add(node);
    sizes.observe(node);
    node.addEventListener("scroll", () => mark(node), { passive: true });
  }
}

/** A formula in what is copied becomes its TeX. */
function copyTex(event) {
  const selection = getSelection();
  if (selection.isCollapsed) return;
  const fragment = selection.getRangeAt(0).cloneContents();
  const formulas = fragment.querySelectorAll("[data-tex]");
  if (formulas.length === 0) return;
  for (const node of formulas) {
    const display = node.classList.contains("m-block");
    node.replaceWith(display ? `\n$$${node.dataset.tex}$$\n` : `$${node.dataset.tex}$`);
  }
  for (const node of fragment.querySelectorAll(".headerlink, .eqno")) node.remove();
  event.clipboardData.setData("text/plain", fragment.textContent);
  event.preventDefault();
}

/** On paper everything is open: solutions, code that is folded away. */
function openForPaper() {
  for (const node of document.querySelectorAll("details:not([open])")) {
    node.open = true;
    node.dataset.shut = "";
  }
}

function shutAgain() {
  for (const node of document.querySelectorAll("details[data-shut]")) {
    node.open = false;
    delete node.dataset.shut;
  }
}

/** Excerpts in the search are sentences: formulas as letters, no buttons, no drawings. */
function cleanExcerpts() {
  if (typeof Search === "undefined") return;
  const original = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const node of page.querySelectorAll("[data-tex]")) {
      node.replaceWith(` ${node.getAttribute("data-plain")} `);
    }
    const noise = "script, style, svg, nav, button, .dmw-host, .eqno, .headerlink, .onlyprint";
    for (const node of page.querySelectorAll(noise)) node.remove();
    return original.call(Search, page.documentElement.outerHTML, anchor);
  };
}

document.addEventListener("DOMContentLoaded", hints);
document.addEventListener("DOMContentLoaded", cleanExcerpts);
document.addEventListener("copy", copyTex);
addEventListener("beforeprint", openForPaper);
addEventListener("afterprint", shutAgain);
