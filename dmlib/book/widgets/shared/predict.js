// The question before a figure: predict, find it yourself, then read why.

const GUESSES = "dmlib-guess-";

/** A short key for a question, the same on every visit. */
function keyOf(question) {
  let hash = 5381;
  for (const letter of question) hash = (Math.imul(hash, 33) + letter.codePointAt(0)) | 0;
  return GUESSES + (hash >>> 0).toString(36);
}

/** What was guessed before: in another view of this model, else in this browser; -1 is nothing. */
function guessed(model, { question, options }) {
  if (model.get("predicted") !== -1) return model.get("predicted");
  try {
    const kept = Number(localStorage.getItem(keyOf(question)) ?? -1);
    return Number.isInteger(kept) && kept >= -2 && kept < options.length ? kept : -1;
  } catch {
    return -1; // no storage, nothing kept
  }
}

function keepGuess(question, choice) {
  try {
    localStorage.setItem(keyOf(question), choice);
  } catch {
    // without storage the guess lasts as long as the page
  }
}

/**
 * Predict first: the figure stays hidden until the reader has chosen, or asks to be shown it. The
 * guess stays beside the figure; the reason comes after the first move, or when it is asked for.
 */
function ask(model, body, states) {
  const prediction = model.get("_predict");
  const { question, options, answer, reason } = prediction;
  if (!question) return;
  const name = `dmw-${Math.random().toString(36).slice(2)}`;
  const labels = options.map((option, i) =>
    h("label", null, h("input", { type: "radio", name, value: i }), rich(option)),
  );
  const verdict = h("p", { role: "status", tabindex: -1 });
  const check = h("button", { type: "button", "data-main": true, disabled: true }, "Find out");
  const skip = h("button", { type: "button", class: "dmw-plain" }, "Just show me");
  const why = h("button", { type: "button", class: "dmw-plain", hidden: true }, "Tell me");
  const buttons = h("div", { class: "dmw-row dmw-choose" }, check, skip);
  const legendNode = h("legend", null, "Predict first: ", rich(question));
  const form = h(
    "div",
    { class: "dmw-ask" },
    h("fieldset", null, legendNode, ...labels),
    buttons,
    verdict,
    why,
  );
  const say = (...content) => {
    verdict.className = "dmw-verdict";
    verdict.replaceChildren(...content);
  };
  const explain = (choice) => {
    if (form.dataset.state === "explained") return;
    form.dataset.state = "explained";
    why.hidden = true;
    for (const [i, node] of labels.entries()) {
      if (i === answer) node.toggleAttribute("data-right", true), node.append("✓");
      else if (i === choice) node.toggleAttribute("data-wrong", true), node.append("✗");
    }
    const opening = choice === answer ? "Right. " : choice >= 0 ? "Not quite. " : "";
    say(h("strong", null, opening), rich(reason));
  };
  const open = (choice) => {
    body.hidden = false;
    buttons.hidden = true;
    for (const [i, node] of labels.entries()) {
      node.firstChild.disabled = true;
      node.firstChild.checked = i === choice;
      node.toggleAttribute("data-guess", i === choice);
    }
  };
  const reveal = (choice) => {
    open(choice);
    form.dataset.state = "open";
    why.hidden = false;
    say(choice >= 0 ? "Your guess is marked. Now find out: move the figure." : "Move the figure.");
    for (const key of states) model.on(`change:${key}`, () => explain(choice));
    why.onclick = () => explain(choice);
    model.set("predicted", choice);
    commit(model);
    keepGuess(question, choice);
    verdict.focus({ preventScroll: true });
    const behavior = reducedMotion() ? "auto" : "smooth";
    body.querySelector("input[type=range]")?.scrollIntoView({ block: "nearest", behavior });
  };
  form.addEventListener("change", () => (check.disabled = false));
  check.addEventListener("click", () => reveal(Number(form.querySelector(":checked").value)));
  skip.addEventListener("click", () => reveal(-2));
  addEventListener("beforeprint", () => {
    if (body.hidden) open(-2);
    explain(-2);
  });
  body.hidden = true;
  body.before(form);
  const before = guessed(model, prediction);
  if (before !== -1) open(before), explain(before);
}
