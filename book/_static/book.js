// What scrolls sideways can be reached and moved by keyboard: equations, tables, code, plots.
function reachable() {
  const wide = ".bd-article table, .bd-article pre, .cell_output, .cell_output figure";
  const mark = () => {
    // A plot as wide as the page of a phone would have letters that nobody can read (book.css).
    for (const image of document.querySelectorAll(".cell_output img"))
      image.classList.toggle("plot", image.naturalWidth >= 600);
    for (const node of document.querySelectorAll(wide)) {
      const scrolls =
        getComputedStyle(node).overflowX !== "visible" && node.scrollWidth > node.clientWidth;
      if (scrolls) node.tabIndex = 0;
      if (node.querySelector(":scope > img.plot")) node.classList.toggle("swipe", scrolls);
    }
  };
  mark();
  addEventListener("resize", mark);
}
addEventListener("load", reachable);
