// What scrolls sideways can be reached and moved by keyboard: equations, tables, code.
async function reachable() {
  await window.MathJax?.startup?.promise;
  const wide = "div.math, mjx-container[display='true'], .bd-article table, .bd-article pre, .cell_output";
  const mark = () => {
    for (const node of document.querySelectorAll(wide)) {
      const scrolls = getComputedStyle(node).overflowX !== "visible" && node.scrollWidth > node.clientWidth;
      if (scrolls) node.tabIndex = 0;
    }
  };
  mark();
  addEventListener("resize", mark);
}
addEventListener("load", reachable);
