"""The style sheet of the report page, for light and dark screens."""

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #ffffff; --ink: #1e2227; --soft: #5d6670; --line: #dfe2e5;
  --c0: #0b6fb3; --c1: #8a9099; --c2: #c2570c; --c3: #16825d; --c4: #9a4c83; --c5: #8a6d00; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --card: #1d2126; --ink: #e6e8ea; --soft: #9aa4ae;
  --line: #343a42; --c0: #63b3ee; --c1: #858d97; --c2: #f0914a; --c3: #4fc397; --c4: #d792c0; --c5: #d8bb3c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 0 0 .8rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
.summary { color: var(--soft); max-width: 46rem; margin: 0; }
section { margin-top: 2.25rem; }
article, .chart { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem; margin-bottom: 1rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
.figures div { flex: 1 1 9rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .9rem 1rem; }
.figures b { display: block; font-size: 2.1rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.figures .model b { color: var(--c0); }
.figures .probe b { color: var(--soft); }
.figures span, .note, figcaption { color: var(--soft); font-size: .85rem; }
.note { margin: .6rem 0 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
.wide { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem;
  align-items: start; }
.chart { margin: 0; padding: .75rem; }
.chart svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); font-weight: 400; }
td { overflow-wrap: anywhere; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-size: .85rem; white-space: nowrap; }
tr.sum th, tr.sum td { font-weight: 650; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; color: var(--soft); font-size: .85rem; margin: 0 0 .8rem; }
.legend i { display: inline-block; width: 2rem; height: 1.1rem; margin-right: .5rem; background: #181a1e;
  vertical-align: text-bottom; outline: 2px solid #181a1e; }
.answer { display: flex; gap: 1rem; align-items: flex-start; }
figure { margin: 0; }
figure img { display: block; height: 9.5rem; width: auto; border-radius: 4px; }
.query { flex: none; border-right: 1px solid var(--line); padding-right: 1rem; }
.strip { display: flex; gap: .5rem; overflow-x: auto; padding-bottom: .25rem; }
.strip figure { flex: none; }
video { display: block; max-width: 100%; max-height: 26rem; margin-top: .8rem; border-radius: 4px; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .name { fill: var(--ink); font-size: 12.5px; font-weight: 600; }
svg .rule { stroke: var(--line); }
svg path { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .full { fill: var(--c0); } svg .soft { fill: var(--c1); }
svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
svg .c0 { stroke: var(--c0); } svg .c1 { stroke: var(--c1); stroke-dasharray: 5 4; } svg .c2 { stroke: var(--c2); }
svg .c3 { stroke: var(--c3); } svg .c4 { stroke: var(--c4); } svg .c5 { stroke: var(--c5); }
@media print { :root { color-scheme: light; } article, .chart { break-inside: avoid; } }
"""
