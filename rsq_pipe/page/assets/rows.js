// Rows without end: only those that can be seen are in the page, and the next ones are fetched before they are.

import { h } from "./dom.js";

/** On a phone the error stands in a second line. */
const ROW = matchMedia("(max-width: 640px)").matches ? 54 : 34;
/** Rows drawn above and below those that are seen. */
const AROUND = 10;

/**
 * Draw a list of rows of one height.
 *
 * `list` remembers {top, height} and holds `rows`; `cells(row)` gives what stands in one; `more()` is called when
 * the end of what was fetched comes near; `redraw()` draws the view again.
 */
export function rows({ label, columns, list, total, cells, key, more, redraw }) {
  const first = Math.max(0, Math.floor((list.top || 0) / ROW) - AROUND);
  const seen = Math.ceil((list.height || 600) / ROW) + 2 * AROUND;
  const shown = list.rows.slice(first, first + seen);

  function scrolled(event) {
    const { scrollTop, clientHeight } = event.target;
    const moved = Math.abs(scrollTop - (list.drawn ?? 0)) > (AROUND / 2) * ROW || clientHeight !== list.height;
    Object.assign(list, { top: scrollTop, height: clientHeight });
    if (scrollTop + clientHeight > (list.rows.length - 4 * AROUND) * ROW) more();
    if (moved) {
      list.drawn = scrollTop;
      redraw();
    }
  }

  return h(
    "div",
    { class: "rows", role: "table", "aria-label": label, "aria-rowcount": String(total + 1) },
    h("div", { role: "rowgroup" }, h("div", { role: "row", class: "row head", "aria-rowindex": "1" }, columns.map((name, at) => h("div", { role: "columnheader", class: `c${at}` }, name)))),
    h(
      "div",
      { role: "rowgroup", class: "window", tabindex: "0", "aria-label": label, onscroll: scrolled },
      h(
        "div",
        { role: "presentation", class: "all", style: { height: `${list.rows.length * ROW}px` } },
        shown.map((row, at) =>
          h(
            "div",
            {
              key: key(row),
              role: "row",
              class: "row",
              "aria-rowindex": String(first + at + 2),
              style: { transform: `translateY(${(first + at) * ROW}px)` },
            },
            cells(row).map((cell, column) => h("div", { role: "cell", class: `c${column}` }, cell)),
          ),
        ),
      ),
    ),
  );
}
