"""The style of the report: carried in the page, for screen and paper."""

STYLE = """
:root{--ink:#1b2733;--soft:#5b6875;--line:#d8dfe6;--bg:#f5f7f9;--card:#fff;--real:#9db8d9;--made:#b4530a;
--pass:#1a7f4b;--review:#8a5a00;--block:#b3261e}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.65 system-ui,-apple-system,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{max-width:68rem;margin:0 auto;padding:1.5rem 1.25rem 2rem}small,.en{color:var(--soft);font-size:.84em}
.en{margin-left:.4em}h1{font-size:1.75rem;line-height:1.3;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .75rem}
h3{font-size:.98rem;margin:0 0 .5rem;overflow-wrap:anywhere}p{margin:.35rem 0}
.mark{display:inline-block;border:2px solid var(--made);color:var(--made);border-radius:.3rem;padding:.05rem .55rem;
font-size:.95rem;font-weight:600;vertical-align:.25em;margin-left:.5rem;white-space:nowrap}
.facts{color:var(--soft);margin-top:.4rem}.facts b{color:var(--ink);font-weight:600}
.verdict{display:flex;gap:1rem;align-items:center;background:var(--card);border:1px solid var(--line);
border-left:.5rem solid var(--c);border-radius:.5rem;padding:1rem 1.25rem;margin-top:1.1rem}
.verdict strong{font-size:1.2rem;color:var(--c);white-space:nowrap}.verdict p{margin:0}
.pass{--c:var(--pass)}.review,.partly{--c:var(--review)}.block,.error,.not_run,.no{--c:var(--block)}
.light{display:inline-flex;align-items:center;gap:.4rem;color:var(--c);font-weight:600;white-space:nowrap}
.light:before{content:attr(data-sign);display:inline-grid;place-items:center;width:1.35em;height:1.35em;flex:none;
border-radius:50%;background:var(--c);color:#fff;font-size:.85em;line-height:1}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(20.5rem,1fr))}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem;min-width:0}
.card svg{max-width:100%;height:auto;display:block}.card p{font-size:.88rem;color:var(--soft);margin:.5rem 0 0}
.score{float:right;color:var(--soft);font-weight:400;font-size:.85rem}
svg .given{fill:#d98a45}.two{grid-template-columns:repeat(auto-fit,minmax(20.5rem,1fr))}
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
td,th{border-bottom:1px solid var(--line);padding:.45rem .75rem;text-align:left;vertical-align:top;
overflow-wrap:anywhere}tr:last-child td{border-bottom:0}th{font-weight:600;color:var(--soft);font-size:.88rem}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}ul{margin:.3rem 0;padding-left:1.3rem}
.legend{display:flex;gap:1.4rem;flex-wrap:wrap;color:var(--soft);font-size:.88rem;margin:.25rem 0 .75rem}
.legend i{display:inline-block;width:1.4rem;height:.75rem;margin-right:.4rem;vertical-align:-.05rem}
i.real{background:var(--real)}i.made{border:2px solid var(--made)}
i.gone{background:#eef1f4;border:1px dashed #b3bec9}
svg text{font-size:11px;fill:var(--ink)}svg .num,svg .tick{fill:var(--soft);font-size:10px}
svg .real{fill:var(--real)}svg .made{fill:#fff;stroke:var(--made);stroke-width:1.4}
svg .line{fill:none;stroke:var(--made);stroke-width:1.8;stroke-linejoin:round}svg .axis{stroke:#8b97a3}
svg .track{fill:#e9edf1}svg .cell{fill:#1d4f91;stroke:#d8dfe6;stroke-width:.5}
svg .on,svg .off{font-size:10px}svg .on{fill:#fff}svg .guess{fill:#b9c3cd}
svg .gone{fill:#eef1f4;stroke:#b3bec9;stroke-dasharray:2 2}
.pair{display:flex;gap:1rem;flex-wrap:wrap}.pair figure{margin:0;flex:1 1 18rem;min-width:0}
figcaption{font-size:.88rem;color:var(--soft)}.wide{margin-bottom:1rem}
footer{max-width:68rem;margin:0 auto;padding:0 1.25rem 2rem;color:var(--soft);font-size:.85rem}
code{font:12px ui-monospace,Consolas,monospace;overflow-wrap:anywhere}
@media (max-width:34rem){main{padding:1rem .75rem}.verdict{flex-wrap:wrap}.light,.verdict strong{white-space:normal}
td,th{padding:.4rem}.grid{grid-template-columns:1fr}}
@media print{body{background:#fff;font-size:11pt}main{max-width:none;padding:0}.card,.verdict,tr,h2{break-inside:avoid}
h2{break-after:avoid}.grid{grid-template-columns:repeat(2,1fr)}*{print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
"""
