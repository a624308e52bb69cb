// The little behaviour every page has, hand-written and served as it is. Everything works without it.

// A form is sent once: a second click while the first is under way does nothing.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method === "dialog") return;
  if (form.dataset.sending) {
    event.preventDefault();
    return;
  }
  form.dataset.sending = "yes";
  setTimeout(() => delete form.dataset.sending, 15000);
});

// A page that comes back from the browser's memory can be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sending]")) delete form.dataset.sending;
});

// Enter that ends an input method's composition must not submit the form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.isComposing) event.preventDefault();
});

// A button that cannot be used stays reachable by keyboard, so that its reason is heard.
document.addEventListener("click", (event) => {
  if (event.target.closest('[aria-disabled="true"]')) event.preventDefault();
});

// Ctrl+Enter runs the statement or the script in a plain text area, as in the full editor.
document.addEventListener("keydown", (event) => {
  const area = event.target;
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
  if (!area.matches?.('textarea[data-island$="-editor"]')) return;
  event.preventDefault();
  area.form?.requestSubmit(area.form.querySelector("[data-run]"));
});

// Letters that move between marked places: data-keys="j k" on a container, [data-stop] on the places.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, textarea, select, [contenteditable], .code-editor")) return;
  for (const box of document.querySelectorAll("[data-keys]")) {
    const step = { [box.dataset.keys.split(" ")[0]]: 1, [box.dataset.keys.split(" ")[1]]: -1 }[event.key];
    const stops = [...box.querySelectorAll("[data-stop]")];
    if (!step || !stops.length) continue;
    const now = stops.indexOf(document.activeElement);
    const next = now < 0 ? (step > 0 ? 0 : stops.length - 1) : (now + step + stops.length) % stops.length;
    stops[next].focus();
    event.preventDefault();
    return;
  }
});

// One letter presses what carries it: data-key="]" on a link or button; data-pick="x" ticks the row that is focused.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("textarea, select, [contenteditable], .code-editor, input:not([type=checkbox])")) return;
  const target = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
  const picks = document.activeElement?.closest(`[data-pick="${CSS.escape(event.key)}"] tr`);
  (target ?? picks?.querySelector("input[type=checkbox]"))?.click();
});

// Copy buttons: shown only where copying is possible.
function showCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const word = button.querySelector("[data-word]");
  word.textContent = button.dataset.done;
});

showCopyButtons(document);
document.addEventListener("htmx:after:swap", () => showCopyButtons(document));

// A column of the tree goes into the statement at the cursor, through the editor where there is one.
const PLAIN_NAME = /^[\p{L}_][\p{L}\p{N}_]*$/u;
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-insert]");
  if (!button) return;
  const area = document.querySelector('textarea[data-island="sql-editor"]');
  const name = button.dataset.insert;
  const word = PLAIN_NAME.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
  const sent = new CustomEvent("insert-text", { detail: word, cancelable: true });
  if (!area || !area.dispatchEvent(sent)) return;
  area.setRangeText(word, area.selectionStart, area.selectionEnd, "end");
  area.focus();
});
