// SQL over a <textarea data-island="sql-editor">, with the workspace's tables and columns for completion.
import { autocompletion } from "@codemirror/autocomplete";
import { PostgreSQL, keywordCompletionSource, sql } from "@codemirror/lang-sql";
import { edit, schemaOf } from "./editor.js";

const PLAIN_NAME = /^[\p{L}_][\p{L}\p{N}_]*$/u;
const quoted = (name) => (PLAIN_NAME.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
const option = (type, name, detail) => ({ label: name, apply: quoted(name), type, detail });

/**
 * Tables and columns, Chinese names too, which the SQL grammar's own completion does not take for words. The schema may
 * grow: what the workspace made itself arrives later.
 */
function schemaCompletions(schema) {
  return (context) => {
    const tables = Object.keys(schema).map((name) => option("class", name));
    const columns = Object.entries(schema).flatMap(([table, names]) =>
      names.map((name) => option("property", name, table)),
    );
    const word = context.matchBefore(/[\p{L}\p{N}_"]*\.?[\p{L}\p{N}_]*/u);
    if (!word.text && !context.explicit) return null;
    const [table, column] = word.text.split(".");
    const own = schema[table.replaceAll('"', "")];
    if (column !== undefined) {
      if (!own) return null;
      const options = own.map((name) => option("property", name));
      return { from: word.from + table.length + 1, options, validFor: /^[\p{L}\p{N}_]*$/u };
    }
    return { from: word.from, options: [...tables, ...columns], validFor: /^[\p{L}\p{N}_]*$/u };
  };
}

export function mount(textarea) {
  const schema = schemaOf(textarea);
  textarea.addEventListener("more-schema", (event) => Object.assign(schema, event.detail));
  edit(textarea, [
    autocompletion({
      icons: false,
      override: [schemaCompletions(schema), keywordCompletionSource(PostgreSQL, true)],
    }),
    sql({ dialect: PostgreSQL, upperCaseKeywords: true }),
  ]);
}
