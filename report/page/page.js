"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const views = all("section.view"), links = all("nav a");
  document.documentElement.classList.add("js");

  // One view at a time, chosen by the part of the address after #. An id within a view selects that view.
  const select = (moved) => {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch { /* not an id of ours */ }
    if (moved && id === "page-main") return; // the skip link
    const target = id && document.getElementById(id);
    const view = (target && target.closest("section.view")) || views[0];
    for (const v of views) v.hidden = v !== view;
    for (const a of links) {
      if (a.dataset.target === view.id) a.setAttribute("aria-current", "page");
      else a.removeAttribute("aria-current");
    }
    if (view === views[0]) window.scrollTo(0, 0);
    else target.scrollIntoView({ block: target === view ? "start" : "center" });
    if (moved) document.getElementById("page-main").focus({ preventScroll: true });
  };
  window.addEventListener("hashchange", () => select(true));
  select(false);

  // Tables whose columns sort when their header is pressed.
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table), body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const numeric = body.rows.length > 0 && "v" in body.rows[0].cells[column].dataset;
        const was = head.getAttribute("aria-sort");
        const way = was ? (was === "ascending" ? -1 : 1) : (numeric ? -1 : 1);
        const key = (row) => numeric ? Number(row.cells[column].dataset.v) : row.cells[column].textContent;
        const keyed = [...body.rows].map((row, i) => [key(row), i, row]);
        keyed.sort((a, b) => (numeric ? a[0] - b[0] : a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * way || a[1] - b[1]);
        body.append(...keyed.map((k) => k[2]));
        for (const h of heads) h.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      });
    });
  }

  // Filters: rows stay whose text holds what was typed.
  for (const input of all("input[data-filter]")) {
    const table = document.getElementById(input.dataset.filter);
    const status = document.getElementById(input.dataset.filter + "-n"), note = status.textContent;
    input.addEventListener("input", () => {
      const want = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = want !== "" && !row.cells[0].textContent.toLowerCase().includes(want);
        if (!row.hidden) shown++;
      }
      status.textContent = want ? shown + " of the rows below match" : note;
    });
  }

  // The link graph: pointing at a piece of evidence, or pressing its number, shows the accounts that hold it.
  for (const box of all(".linkage")) {
    const graph = box.querySelector(".graph"), buttons = all("button[data-t]", box);
    let held = "";
    const show = (token) => {
      all(".on", graph).forEach((e) => e.classList.remove("on"));
      graph.classList.toggle("lit", token !== "");
      if (!token) return;
      all("." + token, graph).forEach((e) => e.classList.add("on"));
      all(".tok", graph).forEach((e) => e.classList.toggle("on", e.dataset.t === token));
    };
    for (const b of buttons) {
      b.addEventListener("click", () => {
        held = held === b.dataset.t ? "" : b.dataset.t;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other.dataset.t === held));
        show(held);
      });
    }
    for (const t of all(".tok", graph)) {
      t.addEventListener("pointerenter", () => show(t.dataset.t));
      t.addEventListener("pointerleave", () => show(held));
    }
  }
})();
