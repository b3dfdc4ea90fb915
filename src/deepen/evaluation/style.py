"""The report's style sheet: light and dark, on paper too. Colours after Okabe and Ito 2008."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f7f8fa; --ink: #1c2430; --soft: #5d6979; --rule: #dfe4ea;
  --c0: #0072b2; --c1: #c8500a; --c2: #00835f; --c3: #b5578f; --c4: #a87800; --c5: #3c8fc4; --on: #fff; --note: #fff6df; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181e; --card: #1c222a; --ink: #e6eaf0; --soft: #9aa7b6;
  --rule: #323b47; --c0: #56b4e9; --c1: #f08a3c; --c2: #3cc39b; --c3: #e39ac5; --c4: #e6b53c; --c5: #9ad2f2; --on: #10151b;
  --note: #33301f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 24px 64px; max-width: 1040px; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.25rem; margin: 44px 0 14px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 0 0 4px; }
p { margin: 0 0 10px; max-width: 72ch; }
a { color: var(--c0); }
nav { margin: 16px 0 0; } nav a { margin-right: 18px; }
.soft, .note, .range, .id { color: var(--soft); }
.note { font-size: .88rem; margin: 0 0 8px; }
.headline { display: flex; gap: 28px; align-items: center; flex-wrap: wrap; margin: 22px 0; padding: 20px 24px;
  background: var(--card); border-radius: 12px; }
.headline .value { font-size: 3.1rem; font-weight: 650; line-height: 1; font-variant-numeric: tabular-nums; }
.headline .words { flex: 1 1 420px; } .headline p:last-child { margin: 0; }
.verdict { border-left: 4px solid var(--c0); padding: 2px 0 2px 16px; margin: 18px 0; }
.verdict.overfit, .verdict.underfit { border-color: var(--c1); } .verdict.unsure { border-color: var(--c4); }
.verdict p:last-child { margin: 0; }
.warn { background: var(--note); border-radius: 8px; padding: 8px 14px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 14px 0; }
dt { color: var(--soft); } dd { margin: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 28px 32px; }
.panel { margin: 0; min-width: 0; break-inside: avoid; } .wide { grid-column: 1 / -1; }
.scroll { overflow-x: auto; }
svg.plot, svg.broad { width: 100%; height: auto; max-width: 960px; } svg.plot { max-width: 520px; }
svg.broad { min-width: 620px; }
svg.natural { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
svg .small { font-size: 9.5px; } svg .ink { fill: var(--ink); } svg .on { fill: var(--on); }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; } svg .strong { font-weight: 650; fill: var(--ink); }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); } .frame { fill: none; stroke: var(--soft); }
.guide { stroke: var(--soft); stroke-dasharray: 4 4; } .mark { stroke: var(--c1); stroke-dasharray: 5 3; stroke-width: 1.4; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .stem { stroke-width: 3; stroke-linecap: round; opacity: .55; }
.line.c0, .stem.c0 { stroke: var(--c0); } .line.c1, .stem.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); }
.line.c3 { stroke: var(--c3); } .line.c4 { stroke: var(--c4); } .line.c5 { stroke: var(--c5); }
.line.c1 { stroke-dasharray: 8 3; } .line.c2 { stroke-dasharray: 2 3; } .line.c3 { stroke-dasharray: 10 3 2 3; }
.line.c4 { stroke-dasharray: 5 5; } .line.c5 { stroke-dasharray: 12 4; }
.knots { stroke: var(--paper); stroke-width: 1; } .dots { opacity: .45; }
.dots.c0, .knots.c0 { fill: var(--c0); } .dots.c1, .knots.c1 { fill: var(--c1); } .dots.c2, .knots.c2 { fill: var(--c2); }
.dots.c3, .knots.c3 { fill: var(--c3); } .dots.c4, .knots.c4 { fill: var(--c4); } .dots.c5, .knots.c5 { fill: var(--c5); }
.bar, .full, .right { fill: var(--c0); } .wrong { fill: var(--c1); } .empty { fill: var(--rule); }
.meter { vertical-align: 0; }
.legend { list-style: none; margin: 4px 0 0; padding: 0 0 0 56px; display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: .84rem; }
.legend svg { margin-right: 6px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; overflow-wrap: normal; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--soft); }
th, td { padding: 4px 18px 4px 0; vertical-align: top; } td { border-bottom: 1px solid var(--rule); }
th.number, td.number { text-align: right; } td.number { white-space: nowrap; } td .range { display: block; font-size: .85em; white-space: nowrap; }
.wide table td:first-child, .figures td:first-child { white-space: nowrap; }
.wide td:last-child:not(.number) { min-width: 15rem; }
table.raw th, table.raw td { white-space: nowrap; } table.raw { font-size: .84rem; }
summary { cursor: pointer; color: var(--c0); margin: 8px 0; }
.gallery { list-style: none; margin: 8px 0; padding: 0; display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(136px, 1fr)); }
.gallery li { background: var(--card); border-radius: 8px; padding: 8px; font-size: .84rem; line-height: 1.35; break-inside: avoid; }
.gallery img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 4px; background: var(--rule); }
.gallery.large { grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); } .gallery svg.natural { width: 100%; }
rect.there, rect.given { fill: none; stroke-width: 1.6; } rect.there { stroke: #00e5a0; } rect.given { stroke: #ff8a1f; stroke-dasharray: 5 3; }
svg text.there, svg text.given { font-size: 10px; paint-order: stroke; stroke: #000; stroke-width: 2.4px; }
svg text.there { fill: #7dffd4; } svg text.given { fill: #ffc58f; }
.gallery.small { grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); } .small img + img { margin-top: 4px; }
.sharp { image-rendering: pixelated; } .said { margin-top: 6px; } .id { font-size: .76rem; } .text { white-space: pre-wrap; }
code { font: .88em ui-monospace, "DejaVu Sans Mono", monospace; }
footer { margin-top: 48px; font-size: .85rem; color: var(--soft); }
@media print { nav, summary { display: none; } body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; } }
"""
