// Python over a <textarea data-island="python-editor">: names of the script itself, and inside quotes the workspace's
// tables and columns. Where the page shows a run that failed, its line in this script is underlined.
import { autocompletion } from "@codemirror/autocomplete";
import { indentWithTab } from "@codemirror/commands";
import { globalCompletion, localCompletionSource, python } from "@codemirror/lang-python";
import { indentUnit, syntaxTree } from "@codemirror/language";
import { Prec } from "@codemirror/state";
import { keymap } from "@codemirror/view";
import { edit, schemaOf } from "./editor.js";

/** Tables and columns, where a text begins. */
function quotedNames(schema) {
  const tables = Object.keys(schema).map((label) => ({ label, type: "class" }));
  const columns = Object.entries(schema).flatMap(([detail, names]) =>
    names.map((label) => ({ label, type: "property", detail })),
  );
  return (context) => {
    if (!/String/.test(syntaxTree(context.state).resolveInner(context.pos, -1).name)) return null;
    const word = context.matchBefore(/["'][^"'\n]*/);
    if (!word) return null;
    const key = /tables\[$/.test(context.state.sliceDoc(Math.max(0, word.from - 7), word.from));
    return { from: word.from + 1, options: key ? tables : [...columns, ...tables], validFor: /^[^"'\n]*$/ };
  };
}

/** Underline the line the shown run failed at, as long as the text is the one that ran. */
function markFailure(textarea) {
  const line = Number(document.getElementById("script-run")?.dataset.errorLine ?? 0);
  if (line && textarea.value === textarea.defaultValue) {
    textarea.dispatchEvent(new CustomEvent("show-error", { detail: { line } }));
  }
}

export function mount(textarea) {
  edit(textarea, [
    autocompletion({ icons: false, override: [quotedNames(schemaOf(textarea)), localCompletionSource, globalCompletion] }),
    python(),
    indentUnit.of("    "),
    // Escape, then Tab, leaves the editor: CodeMirror lets the next Tab pass after Escape.
    Prec.low(keymap.of([indentWithTab])),
  ]);
  markFailure(textarea);
  document.addEventListener("htmx:after:swap", () => markFailure(textarea));
}
