// What makes the SQL form a desk: runs the selection, shows progress and a cancel button while a query runs, goes to the
// place of an error, copies a result, filters the tree, finds a column, and keeps the text when the page is left.
// <form data-island="query-desk" data-state="…/query" data-keep="workspace">; without this file the form simply sends.

const POLL = 700;

function elements(form) {
  return {
    area: form.querySelector("textarea"),
    panel: form.querySelector("[data-running]"),
    bar: form.querySelector("[data-running] progress"),
    words: form.querySelector("[data-running-text]"),
  };
}

/** Fill the hidden fields with what is selected in the editor, or in the plain text area. */
function takeSelection(form, area) {
  const found = {};
  area.dispatchEvent(new CustomEvent("ask-selected", { detail: found }));
  for (const name of ["selected", "line", "column"]) form.elements[name].value = found[name] ?? "";
}

function follow(form) {
  const { area, panel, bar, words } = elements(form);
  let timer = 0;
  let began = 0;
  const show = (state) => {
    const seconds = Math.round((Date.now() - began) / 1000);
    const waiting = state?.place > 0;
    const word = waiting ? words.dataset.waitingWord.replace("{n}", state.place) : words.dataset.runningWord;
    if (state?.percent > 0) bar.value = state.percent;
    else bar.removeAttribute("value");
    words.textContent = `${word} ${seconds} s${state?.percent > 0 ? ` · ${state.percent}%` : ""}`;
  };
  const look = async () => {
    try {
      show(await (await fetch(form.dataset.state, { headers: { accept: "application/json" } })).json());
    } catch {
      show(null);
    }
    if (timer) timer = setTimeout(look, POLL);
  };
  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    panel.hidden = true;
  };
  const start = () => {
    began = Date.now();
    takeSelection(form, area);
    timer = setTimeout(() => {
      panel.hidden = false;
      show(null);
      look();
    }, POLL);
  };
  const cancel = () => {
    if (!timer) return;
    fetch(`${form.dataset.state}/cancel`, { method: "POST", body: new FormData(form), redirect: "manual" });
  };
  // In the capturing phase: before the form's own sender reads the fields.
  form.addEventListener("submit", start, true);
  form.addEventListener("cancel-query", cancel);
  panel.querySelector("[data-cancel]").addEventListener("click", cancel);
  document.addEventListener("keydown", (event) => event.key === "Escape" && cancel());
  for (const name of ["htmx:after:swap", "htmx:error", "htmx:response:error"]) {
    document.addEventListener(name, (event) => {
      const result = document.getElementById("result");
      if (!event.target?.contains?.(result) && event.target !== form && event.target !== result) return;
      stop();
      placeError(area);
    });
  }
}

/** Underline the place of the error that the result tells, and let its button lead there. */
function placeError(area) {
  const result = document.getElementById("result");
  const line = Number(result?.dataset.errorLine ?? 0);
  const column = Number(result?.dataset.errorColumn ?? 1);
  area.dispatchEvent(new CustomEvent("show-error", { detail: { line, column } }));
  const button = result?.querySelector("[data-goto]");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () =>
    area.dispatchEvent(new CustomEvent("show-error", { detail: { line, column, go: true } })),
  );
}

/** The cell as a spreadsheet takes it: NULL and empty text as nothing, a folded cell whole. */
function cellText(cell) {
  if (cell.querySelector("[data-null], [data-empty]")) return "";
  const text = (cell.querySelector(".long-whole") ?? cell).textContent;
  return /[\t\n"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

async function copyGrid(button) {
  const table = document.getElementById(button.dataset.copyGrid);
  const head = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.firstChild.textContent);
  const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1).map(cellText));
  await navigator.clipboard.writeText([head, ...rows].map((row) => row.join("\t")).join("\n"));
  button.querySelector("[data-word]").textContent = button.dataset.done;
}

function findColumn(input) {
  const wanted = input.value.trim().toLowerCase();
  const table = document.getElementById(input.dataset.findColumn);
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) head.classList.remove("found");
  const found = wanted && heads.slice(1).find((head) => head.firstChild.textContent.toLowerCase().includes(wanted));
  if (!found) return;
  found.classList.add("found");
  const frame = table.parentElement;
  frame.scrollLeft += found.getBoundingClientRect().left - frame.getBoundingClientRect().left - frame.clientWidth / 3;
}

/** Show what matches, with the table of a matching column and all columns of a matching table. */
function filterTree(input) {
  const wanted = input.value.trim().toLowerCase();
  const named = (item) => item.dataset.treeName.toLowerCase().includes(wanted);
  for (const table of document.querySelectorAll(".tree > [data-tree-name]")) {
    const columns = [...table.querySelectorAll("[data-tree-name]")];
    const whole = named(table);
    for (const column of columns) column.hidden = !whole && !named(column);
    table.hidden = !whole && !columns.some(named);
  }
}

function keepText(form, area) {
  const key = `query:${form.dataset.keep}`;
  const asked = new URLSearchParams(location.search);
  const kept = sessionStorage.getItem(key);
  const named = asked.has("statement") || asked.has("saved") || !location.pathname.endsWith(form.dataset.keep);
  if (kept && !named) {
    area.value = kept;
    area.dispatchEvent(new CustomEvent("set-text", { detail: kept }));
  }
  addEventListener("pagehide", () => sessionStorage.setItem(key, area.value));
}

function enrich(area) {
  for (const list of document.querySelectorAll("[data-schema-more]")) {
    area.dispatchEvent(new CustomEvent("more-schema", { detail: JSON.parse(list.dataset.schemaMore) }));
  }
  if (navigator.clipboard) for (const button of document.querySelectorAll("[data-copy-grid]")) button.hidden = false;
}

export function mount(form) {
  const { area } = elements(form);
  follow(form);
  keepText(form, area);
  placeError(area);
  enrich(area);
  document.addEventListener("htmx:after:swap", () => enrich(area));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy-grid]");
    if (button) copyGrid(button);
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-find-column]")) findColumn(event.target);
    if (event.target.matches("[data-filter-tree]")) filterTree(event.target);
  });
  // Forms beside the editor that keep its text send what it holds now.
  document.addEventListener("submit", (event) => {
    const by = event.submitter;
    const field = event.target.querySelector("input[name=sql][data-with-sql]");
    if (field) field.value = area.value;
    if (by?.matches("button[data-with-sql]")) {
      const added = Object.assign(document.createElement("input"), { type: "hidden", name: "sql", value: area.value });
      event.target.append(added);
    }
  });
}
