// Where the network runs: in a Web Worker of the page, or in the notebook's kernel. Both offer
// predict(xt, t, y) -> Promise of eps_hat, and stop().

/**
 * The whole of the worker. Its text is what runs there, so it uses nothing from outside.
 * Messages in: { load: { script, wasm, model, provider, proof } }, { id, xt, t, y, side }; out: { got },
 * { stage }, { ready, out }, { id, out } or { error }. With a `proof`, a question whose answer is known, it
 * is ready only if the network's answer is the known one; { ready, out } says how far off it was.
 */
function samplerWorker() {
  let ort, session;
  let got = 0;
  const bytes = async (url) => {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url} is not there (${response.status})`);
    const parts = [];
    const reader = response.body.getReader();
    for (let part; !(part = await reader.read()).done; ) {
      parts.push(part.value);
      postMessage({ got: (got += part.value.length) });
    }
    const whole = new Blob(parts);
    const [a, b] = new Uint8Array(await whole.slice(0, 2).arrayBuffer());
    const packed = a === 0x1f && b === 0x8b; // some servers unpack by themselves
    const stream = packed
      ? whole.stream().pipeThrough(new DecompressionStream("gzip"))
      : whole.stream();
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const load = async ({ script, wasm, model, provider, proof }) => {
    const [code, binary, graph, known] = await Promise.all([
      bytes(script),
      bytes(wasm),
      bytes(model),
      proof && bytes(proof.url),
    ]);
    postMessage({ stage: "start" });
    // From its bytes: some servers hand out .mjs as octet-stream, which no browser imports.
    const local = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    ort = await import(local);
    URL.revokeObjectURL(local);
    Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: binary });
    // Severity 3, errors only: it warns of every node that it leaves to the processor on purpose.
    session = await ort.InferenceSession.create(graph, {
      executionProviders: [provider],
      logSeverityLevel: 3,
    });
    if (provider === "webgpu")
      (await ort.env.webgpu.device).lost.then(() => postMessage({ error: "it was lost" }));
    postMessage({
      ready: true,
      out: proof ? await prove(proof, new Float32Array(known.buffer)) : null,
    });
  };
  const prove = async ({ within, ...question }, known) => {
    const answer = await compute(question);
    const off = answer.reduce(
      (most, x, i) => Math.max(most, Math.abs(x - known[i % known.length])),
      0,
    );
    if (!(off <= within)) throw new Error(`it computes wrongly, off by ${off.toPrecision(2)}`); // also NaN
    return off;
  };
  const compute = async ({ xt, t, y, side }) => {
    const B = y.length;
    const feeds = {
      xt: new ort.Tensor("float32", xt, [B, 1, side, side]),
      t: new ort.Tensor("int64", new BigInt64Array(B).fill(BigInt(t)), [B]),
      y: new ort.Tensor("int64", BigInt64Array.from(y, BigInt), [B]),
    };
    const { out } = await session.run(feeds);
    return out.data.slice();
  };
  const predict = async ({ id, ...question }) => {
    const out = await compute(question);
    postMessage({ id, out }, [out.buffer]);
  };
  self.onmessage = ({ data }) =>
    (data.load ? load(data.load) : predict(data)).catch((error) =>
      postMessage({ error: String(error?.message ?? error) }),
    );
}

const WITHIN = 0.002; // of the known answer, of numbers up to 3: a quarter of a grey level

/** The network in a worker of this page. `tell({ got })` and `tell({ stage })` report the loading. */
function browserNet({ root, manifest }, { files, provider }, { n, side, nullClass, bar, tell }) {
  const url = (path) => new URL(path, root).href;
  const blob = URL.createObjectURL(new Blob([`(${samplerWorker})()`], { type: "text/javascript" }));
  const worker = new Worker(blob, { type: "module" });
  const waiting = new Map();
  let count = 0;
  let broken = null; // why no question will be answered any more
  let arrived = false; // all the files
  const stop = () => {
    worker.terminate();
    URL.revokeObjectURL(blob);
    fail(new Error("stopped"));
  };
  const fail = (error) => {
    broken = error;
    for (const [, [, reject]] of waiting) reject(error);
    waiting.clear();
  };
  const ask = (id, message, transfer) =>
    new Promise((resolve, reject) => {
      if (broken) return reject(broken);
      waiting.set(id, [resolve, reject]);
      return worker.postMessage(message, transfer);
    });
  worker.onerror = (event) => fail(new Error(event.message || "the worker could not start"));
  worker.onmessage = ({ data }) => {
    if (data.error) return fail(new Error(data.error));
    if (data.stage) arrived = true;
    if (data.got || data.stage) return tell(data);
    const [resolve] = waiting.get(data.ready ? "load" : data.id) ?? [];
    waiting.delete(data.ready ? "load" : data.id);
    return resolve?.(data.out);
  };
  const predict = async (xt, t, y) => {
    const labels = Int32Array.from(y ?? { length: xt.length / side ** 2 }, (c) => c ?? nullClass);
    const single = Float32Array.from(xt);
    const out = await ask(++count, { id: count, xt: single, t, y: labels, side }, [single.buffer]);
    return manifest.predicts === "v" ? epsFromV(out, xt, bar[t]) : Float64Array.from(out);
  };
  const { script, wasm } = manifest.runtimes[files];
  // WebAssembly computes alike everywhere; what a chip and its driver make of the shaders is to be seen.
  const proof = provider === "webgpu" && {
    ...proofQuestion(manifest.proof, { n, side }),
    url: url(manifest.proof.file),
    within: WITHIN,
  };
  const loaded = ask("load", {
    load: { script: url(script), wasm: url(wasm), model: url(manifest.model), provider, proof },
  });
  return { predict, stop, loaded, arrived: () => arrived };
}

/** The network in the kernel: a question for every call (Sampler._answer in Python). */
function kernelNet(model) {
  const waiting = new Map();
  const name = Math.random().toString(36).slice(2); // several views may share one model
  let count = 0;
  const heard = (message, buffers) => {
    const [resolve, reject] = waiting.get(message.id) ?? [];
    waiting.delete(message.id);
    if (message.kind === "error") reject?.(new Error(message.text));
    else if (resolve) resolve(Float64Array.from(new Float32Array(plainBuffer(buffers[0]))));
  };
  model.on("msg:custom", heard);
  const predict = (xt, t, y) =>
    new Promise((resolve, reject) => {
      const id = `${name}-${++count}`;
      waiting.set(id, [resolve, reject]);
      model.send({ kind: "denoise", id, t, y: y && Array.from(y) }, undefined, [
        Float32Array.from(xt).buffer,
      ]);
    });
  const stop = () => {
    model.off("msg:custom", heard);
    for (const [, [, reject]] of waiting) reject(new Error("stopped"));
    waiting.clear();
  };
  return { predict, stop, loaded: Promise.resolve() };
}

/** A front end hands buffers over as DataView, ArrayBuffer or Uint8Array. */
function plainBuffer(buffer) {
  if (buffer instanceof ArrayBuffer) return buffer;
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
}

/** Why no network can run in this page by itself; "" if one can. */
function whyNot({ shipped }) {
  if (!shipped) return "this is a network of your own, and only the book's lies beside the page";
  if (location.protocol === "file:")
    return "the page was opened as a file, and browsers load nothing for files; read it through a server (make serve)";
  if (document.documentElement.dataset.content_root === undefined)
    return "the model does not lie beside this page";
  if (typeof WebAssembly !== "object") return "this browser runs no WebAssembly";
  const simd = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253,
    15, 253, 98, 11,
  ];
  const able =
    WebAssembly.validate(new Uint8Array(simd)) &&
    typeof DecompressionStream === "function" &&
    typeof Worker === "function";
  return able ? "" : "this browser is too old for the runtime (it needs WebAssembly with SIMD)";
}

/** Where the book's static files lie, and what the model's manifest there says. */
async function readManifest() {
  const root = new URL(
    `${document.documentElement.dataset.content_root}_static/`,
    document.baseURI,
  );
  const response = await fetch(new URL("model/manifest.json", root));
  if (!response.ok) throw new Error("the model does not lie beside this page");
  return { root, manifest: await response.json() };
}
