"use strict";
// Draws the pictures and the tables of the page, and links them: a click on a cgroup or
// a brush in time filters all of them; Esc clears. Texts are set as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const views = {};
  const state = { picked: null, from_s: null, to_s: null };
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function config() {
    const style = getComputedStyle(document.documentElement);
    const text = style.getPropertyValue("--fg").trim();
    const line = style.getPropertyValue("--line").trim();
    return {
      background: "transparent",
      axis: { labelColor: text, titleColor: text, gridColor: line, gridOpacity: 0.5,
              domainColor: line, tickColor: line },
      legend: { labelColor: text, titleColor: text, symbolBaseFillColor: text,
                symbolBaseStrokeColor: text },
      header: { labelColor: text, titleColor: text },
      title: { color: text },
      text: { color: text },
      view: { stroke: line },
    };
  }

  function show() {
    for (const [name, view] of Object.entries(views)) {
      for (const [signal, value] of Object.entries(state)) {
        // the picture that is brushed shows all times
        if (name === "time" && signal !== "picked") continue;
        try { view.signal(signal, value); } catch (error) { continue; }
      }
      view.runAsync();
    }
    const none = state.picked === null && state.from_s === null;
    document.getElementById("clear").hidden = none;
    for (const chip of document.querySelectorAll(".chip")) {
      chip.setAttribute("aria-pressed", chip.dataset.cgroup === state.picked);
    }
    for (const row of document.querySelectorAll("tbody tr")) {
      row.hidden = state.picked !== null && !row.cgroups.includes(state.picked);
    }
  }

  function pick(name) {
    state.picked = state.picked === name ? null : name;
    show();
  }

  function clear() {
    state.picked = state.from_s = state.to_s = null;
    show();
  }

  // panels and legends that fit the window: what has a width of its own is given another
  function fitted(spec, width) {
    const made = structuredClone(spec);
    const room = (wanted, beside) => Math.max(160, Math.min(wanted, width - beside));
    if (made.facet) {
      made.columns = Math.min(made.columns, Math.max(1, Math.floor(width / 400)));
      made.spec.width = room(made.spec.width, 170);
    } else if (typeof made.width === "number") {
      made.width = room(made.width, 180);
    }
    if (width < 480) narrow(made);
    return made;
  }

  function narrow(part) {
    for (const [key, value] of Object.entries(part)) {
      if (key === "data" || value === null || typeof value !== "object") continue;
      if (key === "legend") {
        if (value.columns > 3) value.columns = 3;
        if (value.labelLimit) value.labelLimit = 120;
      }
      narrow(value);
    }
  }

  async function draw(name, spec) {
    const place = document.getElementById("picture-" + name);
    const shown = await vegaEmbed(place, fitted(spec, place.clientWidth), {
      ast: true, renderer: "svg", config: config(), mode: "vega-lite",
      actions: { export: { svg: true, png: true }, source: false, compiled: false,
                 editor: false },
    });
    views[name] = shown.view;
    shown.view.addEventListener("click", (event, item) => {
      const row = item && item.datum;
      const cgroup = row && (row.cgroup ?? row.waiting ?? row.issuer ?? row.trace);
      if (typeof cgroup === "string") pick(cgroup);
    });
    if (name === "time") {
      shown.view.addSignalListener("brush", (_, value) => {
        const range = value && (value.start_s ?? Object.values(value)[0]);
        state.from_s = range ? range[0] : null;
        state.to_s = range ? range[1] : null;
        show();
      });
    }
  }

  function drawOpen(details) {
    if (!details.open) return undefined;
    const place = details.querySelector(".picture");
    const name = place.id.slice("picture-".length);
    if (place.dataset.drawn) return undefined;
    place.dataset.drawn = "yes";
    return draw(name, data.pictures[name]).then(show);
  }

  function cell(value) {
    const made = document.createElement("td");
    made.textContent = value === null ? "" :
      typeof value === "number" ? value.toLocaleString("en-US") : value;
    if (typeof value === "number") made.className = "number";
    return made;
  }

  function csv(table) {
    const field = (value) => {
      let text = value === null ? "" : String(value);
      // a spreadsheet runs what begins like a formula
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
      return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    return [table.columns, ...table.rows].map((row) => row.map(field).join(","))
      .join("\r\n") + "\r\n";
  }

  function fill(body, table) {
    body.replaceChildren(...table.rows.map((row) => {
      const made = document.createElement("tr");
      made.cgroups = row.filter((value) => typeof value === "string");
      made.append(...row.map(cell));
      return made;
    }));
  }

  function tables(place) {
    for (const table of data.tables) {
      const details = document.createElement("details");
      details.id = table.id;
      const summary = document.createElement("summary");
      summary.textContent = `${table.title} (${table.rows.length.toLocaleString("en-US")})`;
      const about = document.createElement("p");
      about.textContent = table.cut ? `${table.about} Shown: ${table.cut}.` : table.about;
      const download = document.createElement("a");
      download.className = "download";
      download.textContent = "download as CSV";
      download.download = table.id.slice("table-".length) + ".csv";
      download.href = "#";
      download.addEventListener("click", () => {
        download.href = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
      });
      const made = document.createElement("table");
      const head = document.createElement("tr");
      const body = document.createElement("tbody");
      table.columns.forEach((name, i) => {
        const column = document.createElement("th");
        column.scope = "col";
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = name;
        let down = false;
        button.addEventListener("click", () => {
          down = !down;
          table.rows.sort((a, b) => (a[i] > b[i] ? 1 : a[i] < b[i] ? -1 : 0) * (down ? -1 : 1));
          fill(body, table);
          show();
        });
        column.append(button);
        head.append(column);
      });
      const top = document.createElement("thead");
      top.append(head);
      fill(body, table);
      made.append(top, body);
      const scroll = document.createElement("div");
      scroll.className = "rows";
      scroll.tabIndex = 0;
      scroll.append(made);
      details.append(summary, about, download, scroll);
      place.append(details);
    }
  }

  tables(document.getElementById("tables"));
  for (const chip of document.querySelectorAll(".chip")) {
    chip.setAttribute("aria-pressed", "false");
    chip.addEventListener("click", () => pick(chip.dataset.cgroup));
  }
  document.getElementById("clear").addEventListener("click", clear);
  addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
  addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  });
  const figures = [...document.querySelectorAll(".figure")];
  for (const one of figures) one.addEventListener("toggle", () => drawOpen(one));
  addEventListener("beforeprint", () => figures.forEach((one) => { one.open = true; }));
  Promise.all(figures.map((one) => drawOpen(one))).then(() => {
    document.documentElement.dataset.ready = "yes";
  });
  dark.addEventListener("change", () => {
    for (const name of Object.keys(views)) draw(name, data.pictures[name]).then(show);
  });
})();
