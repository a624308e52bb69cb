// Entry of the built part of the portal: htmx, plus the loader that fetches an island only where a page has one.
import "htmx.org/dist/htmx.esm.js";

const ISLANDS = {
  "sql-editor": () => import("./sql-editor.js"),
  "python-editor": () => import("./python-editor.js"),
  "query-desk": () => import("./query-desk.js"),
  chart: () => import("./chart.js"),
};

async function enhance(root) {
  for (const element of root.querySelectorAll("[data-island]:not([data-enhanced])")) {
    const load = ISLANDS[element.dataset.island];
    if (!load) continue;
    element.dataset.enhanced = "loading";
    try {
      (await load()).mount(element);
      element.dataset.enhanced = "yes";
    } catch (error) {
      // The plain element is still there and works; the page must not break because an island did.
      element.dataset.enhanced = "failed";
      console.warn(`island ${element.dataset.island} not available`, error);
    }
  }
}

enhance(document);
document.addEventListener("htmx:after:swap", () => enhance(document));
