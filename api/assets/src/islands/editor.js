// What the portal's editors share. An editor lies over a <textarea data-island="…-editor">: the text area stays the
// form's field; the editor writes into it.
//
// The editor lives in a shadow root: CodeMirror then uses constructed style sheets, which a strict `style-src 'self'`
// allows, where it would otherwise insert a <style> element that the policy blocks.
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { HighlightStyle, bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { closeBrackets, closeCompletion, completionKeymap } from "@codemirror/autocomplete";
import { tags } from "@lezer/highlight";

const theme = EditorView.theme({
  "&": { fontSize: "14px", color: "var(--ink)", backgroundColor: "var(--field)", maxHeight: "26rem" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.65" },
  ".cm-content": { caretColor: "var(--ink)", padding: "10px 0", minHeight: "12rem" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--ink-3)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 10px 0 12px" },
  ".cm-activeLine": { backgroundColor: "var(--hover)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection) !important" },
  ".cm-matchingBracket": { outline: "1px solid var(--accent)", backgroundColor: "transparent !important" },
  ".cm-error": { textDecoration: "underline wavy var(--bad-text)", textUnderlineOffset: "4px" },
  ".cm-placeholder": { color: "var(--ink-3)" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "4px" },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { color: "inherit", opacity: "0.85", marginLeft: "12px" },
});

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent-text)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good-text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--warn-text)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--ink-3)", fontStyle: "italic" },
]);

/** Table and column names for completion: the JSON of the `data-schema` attribute, {"table": ["column", ...]}. */
export function schemaOf(textarea) {
  try {
    return JSON.parse(textarea.dataset.schema || "{}");
  } catch {
    return {};
  }
}

// Where the last statement went wrong: underlined from there to the end of the word, until the text changes.
const markError = StateEffect.define();
const errorMark = StateField.define({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) if (effect.is(markError)) return effect.value;
    return transaction.docChanged ? Decoration.none : marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** The document's position of a line and column, both from 1; columns count characters, not UTF-16 units. */
function positionOf(state, line, column) {
  const found = state.doc.line(Math.min(Math.max(1, line), state.doc.lines));
  const before = [...found.text].slice(0, column - 1).join("");
  return Math.min(found.from + before.length, found.to);
}

/** From there to the end of its word; without a column the line's text. */
function markedFrom(state, line, column) {
  const from = positionOf(state, line, column ?? 1);
  const rest = state.sliceDoc(from, state.doc.lineAt(from).to);
  if (column) return { from, to: from + Math.max(1, rest.match(/^[\p{L}\p{N}_"'“”‘’]+/u)?.[0].length ?? 1) };
  return { from: from + rest.search(/\S|$/), to: from + rest.trimEnd().length };
}

function showError(view, { line, column, go }) {
  if (!line) return view.dispatch({ effects: markError.of(Decoration.none) });
  const { from, to } = markedFrom(view.state, line, column);
  const marks = from < to && to <= view.state.doc.length ? Decoration.set([Decoration.mark({ class: "cm-error" }).range(from, to)]) : Decoration.none;
  view.dispatch({ effects: markError.of(marks), ...(go ? { selection: { anchor: from }, scrollIntoView: true } : {}) });
  if (go) view.focus();
}

// Typing over a selection: left to itself, the browser keeps the old text's look by adding style attributes, which the
// page's policy refuses with an error in the console. So the editor makes this change itself.
const typeOverSelection = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to } = view.state.selection.main;
    if (event.inputType !== "insertText" || !event.data || from === to || view.composing) return false;
    const insert = () =>
      view.state.update({ ...view.state.replaceSelection(event.data), userEvent: "input.type", scrollIntoView: true });
    const handlers = view.state.facet(EditorView.inputHandler);
    if (!handlers.some((handle) => handle(view, from, to, event.data, insert))) view.dispatch(insert());
    event.preventDefault();
    return true;
  },
});

/** What is selected, and where it begins: the page runs that instead of the whole text. */
function selected(view) {
  const { from, to, empty } = view.state.selection.main;
  if (empty || !view.state.sliceDoc(from, to).trim()) return {};
  const line = view.state.doc.lineAt(from);
  return {
    selected: view.state.sliceDoc(from, to),
    line: line.number,
    column: [...line.text.slice(0, from - line.from)].length + 1,
  };
}

function extensions(textarea, readOnly, language) {
  const submit = (view) => {
    // While an input method is composing, the key belongs to it.
    if (view.composing) return false;
    closeCompletion(view);
    textarea.value = view.state.doc.toString();
    textarea.form?.requestSubmit(textarea.form.querySelector("[data-run]"));
    return true;
  };
  const label = document.querySelector(`label[for="${CSS.escape(textarea.id)}"]`)?.textContent.trim() ?? "";
  return [
    lineNumbers(),
    history(),
    drawSelection(),
    highlightActiveLine(),
    bracketMatching(),
    closeBrackets(),
    language,
    typeOverSelection,
    errorMark,
    theme,
    syntaxHighlighting(colours),
    placeholder(textarea.placeholder || ""),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({
      "aria-label": label,
      "aria-describedby": textarea.getAttribute("aria-describedby") ?? "",
    }),
    EditorState.readOnly.of(readOnly),
    EditorView.editable.of(!readOnly),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) textarea.value = update.state.doc.toString();
    }),
    keymap.of([
      { key: "Mod-Enter", run: submit, preventDefault: true },
      { key: "Escape", run: () => (textarea.dispatchEvent(new CustomEvent("cancel-query", { bubbles: true })), false) },
      ...completionKeymap,
      ...defaultKeymap,
      ...historyKeymap,
    ]),
  ];
}

/** Put an editor for `language` (CodeMirror extensions: grammar, completion, keys) over the text area. */
export function edit(textarea, language) {
  const host = document.createElement("div");
  host.className = "code-editor";
  host.dataset.for = textarea.id;
  const root = host.attachShadow({ mode: "open" });
  textarea.after(host);
  const readOnly = textarea.readOnly || textarea.disabled;
  const state = EditorState.create({ doc: textarea.value, extensions: extensions(textarea, readOnly, language) });
  const view = new EditorView({ state, parent: root, root });
  textarea.hidden = true;
  // The page offers text for the cursor (a column's name); taking it here tells the page that it is done.
  textarea.addEventListener("insert-text", (event) => {
    event.preventDefault();
    view.dispatch(view.state.replaceSelection(event.detail));
    view.focus();
  });
  textarea.addEventListener("ask-selected", (event) => Object.assign(event.detail, selected(view)));
  textarea.addEventListener("show-error", (event) => showError(view, event.detail));
  textarea.addEventListener("set-text", (event) => {
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: event.detail } });
  });
  document.querySelector(`label[for="${CSS.escape(textarea.id)}"]`)?.addEventListener("click", () => view.focus());
  textarea.form?.addEventListener("reset", () => {
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: textarea.defaultValue } });
  });
}
