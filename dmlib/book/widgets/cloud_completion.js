// What lies above a plane is given; four completions of the rest.

function render({ model, el }) {
  const { kinds, cuts, edge, reach, made: MADE } = model.get("_data");
  const given = unpack(model.get("_data").given);
  const whole = unpacked(unpack(model.get("_data").whole), edge);
  const completed = unpacked(unpack(model.get("_data").completed), edge);
  const size = whole.length / kinds.length;
  const N = size / 3;
  const now = () => {
    const [kind, cut, azimuth, elevation] = ["kind", "cut", "azimuth", "elevation"].map((k) =>
      model.get(k),
    );
    const place = kind * cuts.length + cut;
    const known = given.subarray(place * N, (place + 1) * N);
    const one = (j) => completed.subarray((place * MADE + j) * size, (place * MADE + j + 1) * size);
    const clouds = [whole.subarray(kind * size, (kind + 1) * size)];
    for (let j = 0; j < MADE; j++) clouds.push(one(j));
    const seen = clouds.map((cloud) => turned(cloud, azimuth, elevation));
    const lowest = clouds.map((cloud) => {
      let low = 0;
      for (let i = 2; i < size; i += 3) low = Math.min(low, cloud[i]);
      return -low;
    });
    return { kind, cut: cuts[cut], known, seen, legs: lowest.slice(1) };
  };
  const setting = {
    title: "Complete what is seen",
    label: "Interactive figure: completions of a shape of which a part is given",
    states: ["kind", "cut", "azimuth", "elevation"],
    layout: CLOUD_LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model }) => {
    for (const [key, most] of [
      ["azimuth", 180],
      ["elevation", 90],
    ])
      model.allow(key, (value) => Math.abs(value) <= most);
    const views = Array.from({ length: MADE + 1 }, () => new CloudView(model, { reach }));
    const verdict = h("p", { class: "dmw-verdict" });
    body.append(
      h(
        "div",
        { class: "cl-controls" },
        choice(model, "kind", { label: "Shape", options: kinds.map((name, i) => [i, name]) }),
        slider(model, "cut", {
          label: "plane at height",
          min: 0,
          max: cuts.length - 1,
          format: (i) => number(cuts[i], 2),
        }).node,
      ),
      legend(["blue", "given"], ["green", "made by the network"]),
      h(
        "div",
        { class: "cl-many" },
        ...views.map((view, j) =>
          h("div", null, h("p", { class: "dmw-head" }, j ? `completion ${j}` : "given"), view.node),
        ),
      ),
      verdict,
      rich(
        "Up to 64 points above the plane are given. Drag a cloud to turn all of them, or use the arrow keys on it.",
        { class: "dmw-note" },
      ),
    );
    const draw = () => {
      const { kind, cut, known, seen, legs } = now();
      const count = known.reduce((sum, k) => sum + k, 0);
      const above = `above ${number(cut, 2)}`;
      views[0].draw(
        seen[0],
        (i) => (known[i] ? "blue" : ""),
        `Given: ${count} points of a ${kinds[kind]} ${above}.`,
      );
      legs.forEach((leg, j) => {
        views[j + 1].draw(
          seen[j + 1],
          (i) => (known[i] ? "blue" : "green"),
          `Completion ${j + 1} of ${MADE}: a ${kinds[kind]} that reaches ${number(leg, 2)} down.`,
        );
      });
      const spread = Math.max(...legs) - Math.min(...legs);
      verdict.replaceChildren(
        `${count} points of a ${kinds[kind]} ${above} are given. The completions reach ${legs
          .map((leg) => number(leg, 2))
          .join(", ")} down: they differ by ${number(spread, 2)}.`,
      );
    };
    const numbers = () => {
      const { cut, known, seen, legs } = now();
      return { cut, known: Array.from(known), seen: seen.map((s) => Array.from(s)), legs };
    };
    return { draw, numbers };
  });
}

export default { render };
