// A few questions with one right choice each. What was tried is kept in the browser, if it can be.

const PREFIX = "dmlib-quiz-";

/** What the browser has kept for a quiz with these questions: the choices so far, or null. */
function recall({ chapter, id, answers }) {
  try {
    const kept = JSON.parse(localStorage.getItem(PREFIX + chapter));
    const fits =
      kept.id === id && kept.tries.length === answers.length && kept.tries.every(Array.isArray);
    return fits ? kept.tries : null;
  } catch {
    return null; // no storage, nothing kept, or something else under this name
  }
}

/** Keep them; without storage they last as long as the page. */
function keep({ chapter, id }, tries) {
  try {
    if (tries.some((choices) => choices.length))
      localStorage.setItem(PREFIX + chapter, JSON.stringify({ id, tries }));
    else localStorage.removeItem(PREFIX + chapter);
    return true;
  } catch {
    return false;
  }
}

/** One question: radio buttons, a button to check, the reasons. Returns how to show its state. */
function questionView({ text, choices }, number, answer, check) {
  const name = `dmw-${Math.random().toString(36).slice(2)}`;
  const rows = choices.map((choice, i) => {
    const input = h("input", { type: "radio", name, value: i });
    const mark = h("span", { class: "qq-mark" });
    const reason = rich(choice.reason, { class: "qq-reason", hidden: true });
    return {
      input,
      mark,
      reason,
      label: h("label", null, input, rich(choice.text), mark),
      node: h("div"),
    };
  });
  for (const row of rows) row.node.append(row.label, row.reason);
  const button = h("button", { type: "button", disabled: true }, "Check");
  const status = h("p", { role: "status", tabindex: "-1" });
  const node = h(
    "div",
    { class: "dmw-ask qq-question" },
    h(
      "fieldset",
      null,
      h("legend", null, `${number}. `, rich(text)),
      ...rows.map((row) => row.node),
    ),
    h("div", { class: "dmw-row" }, button, status),
  );
  node.addEventListener("change", () => (button.disabled = false));
  button.addEventListener("click", () => {
    check(rows.findIndex((row) => row.input.checked));
    status.focus({ preventScroll: true });
  });
  const show = (tries) => {
    const solved = tries.includes(answer);
    for (const [i, row] of rows.entries()) {
      const tried = tries.includes(i);
      row.label.toggleAttribute("data-right", tried && i === answer);
      row.label.toggleAttribute("data-wrong", tried && i !== answer);
      row.mark.textContent = tried ? (i === answer ? "✓ right" : "✗ not this") : "";
      row.reason.hidden = !(tried || solved);
      row.input.disabled = tried || solved;
      row.input.checked = solved ? i === answer : false;
    }
    button.disabled = true;
    button.hidden = solved;
    const last = tries.at(-1);
    const words = {
      0: "",
      1: solved ? "Right at once." : "Not this one: read the reason, then try again.",
    };
    status.textContent =
      words[tries.length] ?? (solved ? `Right at try ${tries.length}.` : "Not this one either.");
    status.toggleAttribute("data-warn", last !== undefined && !solved);
    status.className = last === undefined ? "" : "dmw-verdict";
  };
  return { node, show };
}

function render({ model, el }) {
  const { chapter, questions, quizzes } = model.get("_data");
  const here = quizzes.find((quiz) => quiz.chapter === chapter);
  const solved = (tries, { answers }) =>
    tries.filter((choices, i) => choices.includes(answers[i])).length;
  const atOnce = (tries, { answers }) =>
    tries.filter((choices, i) => choices[0] === answers[i]).length;

  const setting = {
    title: `${questions.length} questions on “${here.title}”`,
    label: `Quick quiz: ${here.title}`,
    states: ["tries"],
    layout: LAYOUT,
    bare: true,
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const kept = recall(here);
    if (kept && !model.get("tries").some((choices) => choices.length)) put(model, "tries", kept);
    // Another tab of this book has written: take over what it knows.
    const elsewhere = ({ key }) => {
      const theirs = key === PREFIX + chapter && recall(here);
      if (theirs) put(model, "tries", theirs);
    };
    addEventListener("storage", elsewhere);
    onStop(() => removeEventListener("storage", elsewhere));
    const choose = (i, choice) => {
      const tries = model.get("tries").map((choices) => [...choices]);
      tries[i].push(choice);
      put(model, "tries", tries);
    };
    const views = questions.map((question, i) =>
      questionView(question, i + 1, here.answers[i], (choice) => choose(i, choice)),
    );
    const score = h("p", { role: "status" });
    const again = h("button", { type: "button", class: "dmw-plain" }, "Start again");
    again.addEventListener("click", () => {
      put(
        model,
        "tries",
        questions.map(() => []),
      );
      body.querySelector("input")?.focus({ preventScroll: true });
    });
    const rows = h("tbody");
    const table = h(
      "details",
      { class: "qq-all" },
      h("summary", null, "All quizzes so far"),
      h(
        "table",
        null,
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            ...["chapter", "solved", "at the first try"].map((name) =>
              h("th", { scope: "col" }, name),
            ),
          ),
        ),
        rows,
      ),
      h("p", { class: "dmw-note" }, "Kept in this browser only; nothing is sent anywhere."),
    );
    body.append(
      ...views.map((view) => view.node),
      h("div", { class: "dmw-row" }, score, again),
      table,
    );

    const overview = () =>
      rows.replaceChildren(
        ...quizzes.map((quiz) => {
          const tries = quiz === here ? model.get("tries") : recall(quiz);
          const counts = [solved, atOnce].map((count) =>
            tries ? `${count(tries, quiz)} of ${quiz.answers.length}` : "–",
          );
          return h(
            "tr",
            null,
            h("th", { scope: "row" }, quiz.title),
            ...counts.map((text) => h("td", null, text)),
          );
        }),
      );
    table.addEventListener("toggle", overview);

    const shown = [];
    const draw = () => {
      const tries = model.get("tries");
      // Only where something has changed: elsewhere a choice may be waiting to be checked.
      for (const [i, view] of views.entries()) {
        if (shown[i] !== (shown[i] = String(tries[i]))) view.show(tries[i]);
      }
      const [n, first, remembered] = [solved(tries, here), atOnce(tries, here), keep(here, tries)];
      score.textContent =
        n < questions.length
          ? `${n} of ${questions.length} solved.`
          : `All ${n} solved, ${first} of them at the first try.`;
      if (!remembered && n)
        score.append(" This browser keeps nothing: they will be gone with the page.");
      again.hidden = !tries.some((choices) => choices.length);
      overview();
    };
    const numbers = () => ({
      solved: solved(model.get("tries"), here),
      at_once: atOnce(model.get("tries"), here),
    });
    return { draw, numbers };
  });
}

const LAYOUT = `
.qq-question { margin-bottom:0 !important; }
.qq-question label { align-items:flex-start; } .qq-question .rad { white-space:nowrap; }
.qq-question label[data-right],.qq-question label[data-wrong] { font-weight:600; }
.qq-mark { margin-left:auto; white-space:nowrap; font-size:calc(.85*var(--r)); }
.qq-reason { display:block; color:var(--soft); padding:0 calc(.5*var(--r)) calc(.4*var(--r)) calc(2.3*var(--r)); font-size:calc(.9*var(--r)); }
.qq-question [role=status]:focus { outline:none; }
.qq-question .dmw-verdict { padding:calc(.3*var(--r)) calc(.7*var(--r)); }
.qq-all table { border-collapse:collapse; margin:calc(.4*var(--r)) 0; font-size:calc(.9*var(--r)); color:inherit; }
.qq-all :is(th,td) { text-align:left; padding:calc(.15*var(--r)) calc(1.2*var(--r)) calc(.15*var(--r)) 0; font-weight:inherit; color:inherit;
  background:none; border:0; border-bottom:1px solid var(--line); }
.qq-all thead th { color:var(--soft); font-size:calc(.85*var(--r)); }
.qq-all summary { cursor:pointer; color:var(--blue); }
.qq-all summary:focus-visible { outline:3px solid var(--blue); outline-offset:2px; border-radius:4px; }
`;

export default { render };
