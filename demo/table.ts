export interface Column {
  title: string;
  align?: 'right';
}

/** A cell is a text, or a text with the colour it is shown in; colours count for nothing in the width. */
export type Cell = string | { text: string; paint: (text: string) => string };

const GAP = '  ';
/** East Asian wide and full-width characters take two columns of a terminal. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Columns that a text takes on a terminal. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += WIDE.test(character) ? 2 : 1;
  return width;
}

/** Lines of a table, as narrow as its cells allow. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string[] {
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, at) =>
    Math.max(...[titles, ...rows].map((row) => displayWidth(textOf(row[at] ?? '')))),
  );
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, at) => {
        const text = textOf(cell);
        const space = ' '.repeat(Math.max(0, (widths[at] ?? 0) - displayWidth(text)));
        const shown = typeof cell === 'string' ? cell : cell.paint(cell.text);
        return columns[at]?.align === 'right' ? space + shown : shown + space;
      })
      .join(GAP)
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join(GAP);
  return [line(titles), rule, ...rows.map(line)];
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}
