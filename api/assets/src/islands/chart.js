// Chart over a table: <figure data-island="chart" data-kind="bar|line" data-unit="…"><div class="chart-canvas" hidden>
// and a <table>. The table is the data and stays on the page as the alternative.
import { BarChart, LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([BarChart, LineChart, AriaComponent, GridComponent, LegendComponent, TooltipComponent, SVGRenderer]);

const PATTERNS = ["rect", "circle", "triangle", "diamond"];

function number(cell) {
  const raw = cell.dataset.value ?? cell.textContent;
  const value = Number(raw.replaceAll(",", ""));
  return raw.trim() === "" || Number.isNaN(value) ? null : value;
}

/** First column of the table gives the categories, every other column one series named by its header. */
function readTable(table) {
  const headers = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows];
  return {
    categories: rows.map((row) => row.cells[0].textContent.trim()),
    series: headers.slice(1).map((name, index) => ({ name, data: rows.map((row) => number(row.cells[index + 1])) })),
  };
}

function options(figure, data) {
  const style = getComputedStyle(figure);
  const token = (name) => style.getPropertyValue(name).trim();
  const palette = ["--chart-1", "--chart-2", "--chart-3", "--chart-4"].map(token);
  const text = { color: token("--ink-2"), fontFamily: token("--sans"), fontSize: 12 };
  const kind = figure.dataset.kind === "line" ? "line" : "bar";
  return {
    color: palette,
    animation: false,
    aria: { enabled: true },
    textStyle: text,
    grid: { left: 8, right: 16, top: (data.series.length > 1 ? 32 : 8) + (figure.dataset.unit ? 24 : 0), bottom: 8, containLabel: true },
    legend: data.series.length > 1 ? { top: 0, left: 0, textStyle: text, itemWidth: 14, itemHeight: 10 } : undefined,
    // Rich text, not HTML: an HTML tooltip carries style attributes, which the page's policy blocks.
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      backgroundColor: token("--surface"),
      borderColor: token("--line-strong"),
      textStyle: { ...text, color: token("--ink") },
    },
    xAxis: {
      type: "category",
      data: data.categories,
      axisLabel: text,
      axisTick: { show: false },
      axisLine: { lineStyle: { color: token("--line-strong") } },
    },
    yAxis: {
      type: "value",
      name: figure.dataset.unit || "",
      nameTextStyle: { ...text, align: "left" },
      axisLabel: text,
      splitLine: { lineStyle: { color: token("--line") } },
    },
    series: data.series.map((series, index) => ({
      ...series,
      type: kind,
      barMaxWidth: 28,
      symbol: PATTERNS[index % PATTERNS.length],
      symbolSize: 7,
      itemStyle: kind === "bar" ? { borderRadius: [2, 2, 0, 0] } : {},
    })),
  };
}

export function mount(figure) {
  const canvas = figure.querySelector(".chart-canvas");
  const data = readTable(figure.querySelector("table"));
  canvas.hidden = false;
  const chart = init(canvas, null, { renderer: "svg" });
  const draw = () => chart.setOption(options(figure, data), true);
  draw();
  new ResizeObserver(() => chart.resize()).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
