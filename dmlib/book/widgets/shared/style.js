// The look of every widget. Colours: Okabe-Ito, darkened or lightened until text on the panel has
// a contrast of at least 4.5 : 1 in both themes.
const STYLE = `
.dmw { --r:max(1rem,16px); --panel:#ffffff; --tint:#f4f6fa; --line:#d3d9e3; --ink:#16202e; --soft:#55606f;
  --blue:#0067a3; --orange:#b84300; --green:#00704f; --grey:#8a94a3; --on:#ffffff; --blue-tint:#e3eff8;
  --warn-tint:#fdefe3;
  color:var(--ink); background:var(--panel); border:1px solid var(--line); border-radius:14px;
  padding:calc(1.1*var(--r)) calc(1.25*var(--r)) calc(1*var(--r)); margin:calc(1*var(--r)) 0; font-size:calc(.95*var(--r)); line-height:1.45; text-align:left;
  position:relative; font-variant-numeric:tabular-nums; container-type:inline-size; box-sizing:border-box; max-width:100%;
  box-shadow:0 1px 2px rgb(16 32 56/.06),0 6px 20px rgb(16 32 56/.05); }
.dmw[data-dark] { --panel:#171c24; --tint:#1f2631; --line:#3a4453; --ink:#e9eef5; --soft:#aab5c4;
  --blue:#62b6ee; --orange:#ff9d66; --green:#45cfa2; --grey:#7f8b9b; --on:#0c1118; --blue-tint:#1b3245;
  --warn-tint:#3a271a; box-shadow:none; color-scheme:dark; }
.dmw:not([data-dark]) { color-scheme:light; }
.dmw *,.dmw *::before { box-sizing:border-box; }
.dmw [hidden] { display:none !important; }
.dmw p { margin:0; } .dmw i { font-style:italic; font-family:"STIX Two Math","Cambria Math",
  "Latin Modern Math",Georgia,"DejaVu Serif",serif; font-size:1.04em; }
.dmw sub,.dmw sup { font-size:.72em; line-height:0; position:relative; vertical-align:baseline; }
.dmw sub { bottom:-.25em; } .dmw sup { top:-.42em; }
.dmw .rad > span { border-top:1.3px solid currentColor; padding:0 .08em 0 .05em; margin-left:-.03em; }
.dmw-title { font-weight:650; font-size:calc(1.05*var(--r)); letter-spacing:-.005em; display:block; margin-bottom:calc(.7*var(--r)); padding-right:calc(9*var(--r)); }
.dmw-tools { position:absolute; top:calc(.7*var(--r)); right:calc(.8*var(--r)); display:flex; gap:calc(.1*var(--r)); }
.dmw button.dmw-tool { background:none; border-color:transparent; color:var(--soft); font-size:calc(.8*var(--r)); min-height:calc(2*var(--r)); padding:calc(.1*var(--r)) calc(.45*var(--r)); }
.dmw button.dmw-tool:hover { color:var(--blue); text-decoration:underline; }
.dmw-heard { position:absolute; width:1px; height:1px; overflow:hidden; clip-path:inset(50%); }
.dmw-ask .dmw-verdict { margin-top:calc(.7*var(--r)); } .dmw-ask label[data-guess]::after { content:"your guess"; color:var(--soft); font-weight:400; font-size:calc(.85*var(--r)); }
.dmw-note { color:var(--soft); font-size:calc(.85*var(--r)); }
.dmw-body { display:grid; gap:calc(.9*var(--r)); min-width:0; } .dmw-body > * { min-width:0; }
.dmw-row { display:flex; flex-wrap:wrap; gap:calc(.6*var(--r)) calc(1*var(--r)); align-items:center; }
.dmw-grid { display:grid; gap:calc(1*var(--r)) calc(1.25*var(--r)); grid-template-columns:minmax(0,1fr); }
.dmw canvas { display:block; max-width:100%; } .dmw-plot { width:100%; min-width:0; } .dmw-plot[data-square] { container-type:inline-size; }
.dmw-plot canvas { width:100%; touch-action:pan-y; }
.dmw-pixels { width:100%; aspect-ratio:1; border-radius:8px; image-rendering:pixelated; }
.dmw-head { color:var(--soft); font-size:calc(.85*var(--r)); margin-bottom:calc(.2*var(--r)) !important; }
.dmw-key { display:inline-block; width:.95em; height:.62em; border-radius:2px; margin-right:.35em;
  background:currentColor; vertical-align:baseline; }
.dmw-legend { display:flex; flex-wrap:wrap; gap:calc(.1*var(--r)) calc(1.1*var(--r)); color:var(--soft); font-size:calc(.85*var(--r)); margin-bottom:calc(.2*var(--r)); }
.dmw-key[data-line] { height:3px; width:1.25em; vertical-align:.22em; }
.dmw label { display:inline-flex; align-items:center; gap:calc(.5*var(--r)); margin:0; font-weight:inherit; }
.dmw input[type=range] { accent-color:var(--blue); flex:1 1 calc(8*var(--r)); min-width:calc(5*var(--r)); height:calc(2*var(--r)); margin:0;
  cursor:pointer; background:transparent; touch-action:pan-y; }
.dmw-slider { display:flex !important; flex:1 1 calc(10*var(--r)); min-width:0; gap:calc(.6*var(--r)); }
.dmw-slider[data-off] { opacity:.62; } .dmw-slider > span { flex:none; }
.dmw-slider .dmw-value { flex:none; text-align:right; font-weight:600; padding:0; color:var(--ink); }
.dmw button,.dmw select { font:inherit; color:var(--ink); background:var(--tint);
  border:1px solid var(--line); border-radius:9px; min-height:calc(2.4*var(--r)); padding:calc(.25*var(--r)) calc(.85*var(--r)); cursor:pointer; }
.dmw select { padding-right:calc(.5*var(--r)); max-width:100%; min-width:0; }
.dmw button:hover:not(:disabled),.dmw select:hover { border-color:var(--blue); }
.dmw button:disabled { opacity:.6; cursor:default; }
.dmw button[data-main] { background:var(--blue); border-color:var(--blue); color:var(--on); font-weight:600; }
.dmw-play { min-width:calc(5.9*var(--r)); }
.dmw :is(button,select,input):focus-visible,.dmw-thumb input:focus-visible + canvas {
  outline:3px solid var(--blue); outline-offset:2px; }
.dmw fieldset { border:0; margin:0; padding:0; min-width:0; }
.dmw legend { font-size:calc(.85*var(--r)); color:var(--soft); margin:0 0 calc(.3*var(--r)); padding:0; float:none; width:auto; }
.dmw-thumbs { display:flex; flex-wrap:wrap; gap:calc(.45*var(--r)); }
.dmw-thumb { position:relative; cursor:pointer; flex:1 1 34px; max-width:44px; } .dmw-thumb input { position:absolute; inset:0;
  width:100%; height:100%; margin:0; opacity:0; cursor:pointer; }
.dmw-thumb canvas { width:100%; aspect-ratio:1; border-radius:8px; image-rendering:pixelated;
  border:2px solid transparent; box-shadow:0 0 0 1px var(--line); }
.dmw-thumb input:checked + canvas { border-color:var(--panel); box-shadow:0 0 0 2.5px var(--blue); }
.dmw .dmw-facts { display:grid; grid-template-columns:repeat(auto-fit,minmax(calc(7.2*var(--r)),1fr)); gap:calc(.6*var(--r)); margin:0; }
.dmw-facts > div { background:var(--tint); border-radius:10px; padding:calc(.45*var(--r)) calc(.7*var(--r)) calc(.5*var(--r)); }
.dmw dl.dmw-facts dt { float:none; width:auto; font-weight:400; color:var(--soft); font-size:calc(.85*var(--r)); margin:0; }
.dmw dl.dmw-facts { margin:0; }
.dmw dl.dmw-facts dd { float:none; width:auto; margin:0; font-size:calc(1.12*var(--r)); font-weight:600; white-space:nowrap; }
.dmw-verdict { border-radius:10px; padding:calc(.6*var(--r)) calc(.8*var(--r)); background:var(--blue-tint); }
.dmw-verdict[data-warn] { background:var(--warn-tint); }
.dmw-ask { background:var(--tint); border-radius:10px; padding:calc(.9*var(--r)) calc(1*var(--r)); margin-bottom:calc(1*var(--r)); }
.dmw-ask legend { color:var(--ink); font-size:calc(1*var(--r)); font-weight:600; margin-bottom:calc(.45*var(--r)); }
.dmw-ask label { display:flex; padding:calc(.35*var(--r)) calc(.5*var(--r)); border-radius:8px; cursor:pointer; gap:calc(.65*var(--r)); }
.dmw-ask label:hover { background:var(--panel); }
.dmw-ask input { accent-color:var(--blue); width:calc(1.15*var(--r)); height:calc(1.15*var(--r)); margin:0; flex:none; }
.dmw-ask label[data-right] { font-weight:600; color:var(--green); }
.dmw-ask label[data-wrong] { color:var(--orange); }
.dmw-ask .dmw-row { margin-top:calc(.7*var(--r)); }
.dmw .dmw-plain { background:none; border-color:transparent; color:var(--blue); text-decoration:underline; }
@container (max-width:30rem) { .dmw .dmw-facts { grid-template-columns:1fr 1fr; }
  .dmw-facts > :last-child:nth-child(odd) { grid-column:1 / -1; } }
@media (max-width:480px) { .dmw { padding:calc(.9*var(--r)) calc(.8*var(--r)); border-radius:12px; } .dmw-title { padding-right:0; } .dmw-tools { position:static; margin:-calc(.4*var(--r)) 0 calc(.3*var(--r)) -calc(.45*var(--r)); } }
@media print { .dmw-tools { display:none; } .dmw :is(button,select) { display:none; } }
@media print { .dmw { box-shadow:none; break-inside:avoid; } }
`;
