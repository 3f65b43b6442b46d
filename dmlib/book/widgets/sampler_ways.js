// The ways in which a page can compute the network: on the graphics chip where there is a real one, else
// on the processor; and what happens when one of them fails.

const PLACES = { webgpu: "on your graphics chip (WebGPU)", wasm: "on the processor (WebAssembly)" };
const PATIENCE = 3000; // ms to wait for a browser that does not say which chip there is

/** What to try, in this order: `files` is a name in the manifest's runtimes, `provider` is of the runtime. */
async function waysHere() {
  // In the address: for whoever wants to compare, and for the tests, whose chip is only a program.
  const forced = /[#&]backend=(webgpu|wasm)\b/.exec(location.hash)?.[1];
  const plain = { files: "wasm", provider: "wasm" };
  if (forced === "wasm" || !(await hasChip(forced))) return [plain];
  // The build for the chip computes on the processor, too: if the chip fails, nothing more is loaded.
  return [{ files: "webgpu", provider: "webgpu" }, { files: "webgpu", provider: "wasm" }, plain];
}

/** Whether the browser offers a graphics chip, and can let WebAssembly wait for it (JSPI). */
async function hasChip(forced) {
  if (typeof WebAssembly.Suspending !== "function") return false;
  try {
    const late = new Promise((done) => setTimeout(done, PATIENCE));
    const asked = navigator.gpu?.requestAdapter();
    const adapter = await (forced ? asked : Promise.race([asked, late]));
    // A chip that the processor imitates is slower than the processor itself.
    return Boolean(
      adapter && (forced || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter)),
    );
  } catch {
    return false;
  }
}

/**
 * A network that goes on with the next of `ways` when one fails, in the middle of a run, too. What failed is
 * taken out of `ways`, so a later network begins with what worked.
 * @param make way -> network; @param gaveUp hears (error, way) of each that failed.
 */
function steadyNet(ways, { make, gaveUp }) {
  let stopped = false;
  let net = make(ways[0]);
  const through = async (task) => {
    for (;;) {
      try {
        const proof = await net.loaded;
        return await task(net, proof);
      } catch (error) {
        // Files that did not come say nothing against the chip.
        if (stopped || ways.length < 2 || !net.arrived()) throw error;
        net.stop();
        gaveUp(error, ways.shift());
        net = make(ways[0]);
      }
    }
  };
  const stop = () => {
    stopped = true;
    net.stop();
  };
  return {
    predict: (...question) => through((now) => now.predict(...question)),
    stop,
    loaded: through((_, proof) => proof),
  };
}

/** The question whose answer is known (tools/build/export_onnx.py), asked for as many pictures as a run has. */
function proofQuestion({ seed, t, y }, { n, side }) {
  const known = y.length * side ** 2;
  const xt = Float32Array.from({ length: n }, (_, i) => normal(seed, i % known));
  return { xt, t, y: Int32Array.from({ length: n / side ** 2 }, (_, i) => y[i % y.length]), side };
}
