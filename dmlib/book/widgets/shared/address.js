// A figure's state in the address: `#fig-forward-player?t=400` opens the page at that figure and state.

/** An id for a figure in a static page: of its class, with a number from the second on. */
function freeId(name) {
  const base = `fig-${name.replace(/(?<=[a-z])(?=[A-Z])/g, "-").toLowerCase()}`;
  let [id, n] = [base, 1];
  while (document.getElementById(id)) id = `${base}-${++n}`;
  return id;
}

/** The states that an address asks of the figure `id`, as { name: text }; null if of another one. */
function asked(hash, id) {
  const [name, query] = decodeURIComponent(hash.slice(1)).split("?");
  return query && name === id ? Object.fromEntries(new URLSearchParams(query)) : null;
}

/** Text of an address as a value of the same kind as `like`. */
function valueLike(like, text) {
  if (typeof like === "number") return text.trim() === "" ? NaN : Number(text);
  if (typeof like === "boolean") return text === "true";
  return text;
}

/** Take over the states that the controls allow; whatever else stands in the address is ignored. */
function takeOver(model, states, wanted) {
  for (const name of states.filter((state) => state in wanted)) {
    const value = valueLike(model.get(name), wanted[name]);
    if (model.allows(name, value)) put(model, name, value);
  }
}

/** The buttons beside a figure's title: back to the start, and copy a link to the present state. */
function tools(model, { root, states, start, onStop }) {
  const reset = h("button", { type: "button", class: "dmw-tool" }, "Reset");
  reset.addEventListener("click", () => {
    for (const [name, value] of start) put(model, name, value);
  });
  const row = h("div", { class: "dmw-tools" }, reset);
  const host = root.closest("[data-dmw-host]");
  if (!host) return row; // in a notebook an address leads nowhere
  const copy = h("button", { type: "button", class: "dmw-tool" }, "Copy link");
  copy.addEventListener("click", async () => {
    const shown = states.filter((name) => model.allows(name, model.get(name)));
    const query = new URLSearchParams(shown.map((name) => [name, model.get(name)]));
    history.replaceState(null, "", `#${host.id}?${query}`);
    const done = await navigator.clipboard?.writeText(location.href).then(
      () => true,
      () => false,
    );
    copy.textContent = done ? "Copied" : "In the address bar";
    setTimeout(() => (copy.textContent = "Copy link"), 2000);
  });
  row.append(copy);
  const follow = () => {
    const wanted = asked(location.hash, host.id);
    if (!wanted) return;
    takeOver(model, states, wanted);
    host.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", follow);
  onStop(() => removeEventListener("hashchange", follow));
  follow();
  return row;
}
