// A walk from noise to a shape in space, to be turned and wound back and forth.

const PART_NAMES = ["seat, top, shade or wall", "back, base or bottom", "legs or pole", "handle"];
const PART_COLORS = ["blue", "orange", "green", "grey"];

function render({ model, el }) {
  const { kinds, times, edge, reach } = model.get("_data");
  const walk = unpacked(unpack(model.get("_data").walk), edge);
  const part = unpack(model.get("_data").part);
  const N = part.length / kinds.length;
  const size = 3 * N;
  const now = () => {
    const [kind, frame, azimuth, elevation] = ["kind", "frame", "azimuth", "elevation"].map((k) =>
      model.get(k),
    );
    const at = (kind * times.length + frame) * size;
    const cloud = walk.subarray(at, at + size);
    return { kind, t: times[frame], cloud, seen: turned(cloud, azimuth, elevation) };
  };
  const setting = {
    title: "From noise to a shape",
    label: "Interactive figure: a cloud of points on its way from noise to a shape",
    states: ["kind", "frame", "azimuth", "elevation"],
    layout: CLOUD_LAYOUT,
  };
  return frame({ model, el }, setting, (body, { model, onStop }) => {
    const view = new CloudView(model, { reach });
    for (const [key, most] of [
      ["azimuth", 180],
      ["elevation", 90],
    ])
      model.allow(key, (value) => Math.abs(value) <= most);
    const table = facts({ width: "width", depth: "depth", height: "height" });
    const last = times.length - 1;
    body.append(
      h(
        "div",
        { class: "cl-one" },
        view.node,
        h(
          "div",
          { class: "cl-side" },
          choice(model, "kind", { label: "Shape", options: kinds.map((name, i) => [i, name]) }),
          h(
            "div",
            { class: "dmw-row" },
            player(model, "frame", { min: 0, max: last, seconds: 4, onStop }),
            slider(model, "frame", {
              label: "*t*",
              min: 0,
              max: last,
              format: (i) => String(times[i]),
            }).node,
          ),
          table.node,
          legend(...PART_NAMES.map((name, i) => [PART_COLORS[i], name])),
          rich(
            "Drag the cloud to turn it, or use the arrow keys on it. The colours tell on which part a point will end.",
            { class: "dmw-note" },
          ),
        ),
      ),
    );
    const draw = () => {
      const { kind, t, cloud, seen } = now();
      const [width, depth, height] = extents(cloud).map((x) => number(x, 2));
      table.set({ width, depth, height });
      view.draw(
        seen,
        (i) => PART_COLORS[part[kind * N + i]],
        `${N} points on their way to a ${kinds[kind]}, at t = ${t}: ${width} wide, ${depth} deep, ${height} high, seen from ${Math.round(model.get("azimuth"))}° round and ${Math.round(model.get("elevation"))}° above.`,
      );
    };
    const numbers = () => {
      const { t, cloud, seen } = now();
      return { t, cloud: Array.from(cloud), seen: Array.from(seen), extents: extents(cloud) };
    };
    return { draw, numbers };
  });
}

export default { render };
