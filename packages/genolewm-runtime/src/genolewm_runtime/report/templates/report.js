"use strict";
/* The table of variants and the view of one. Everything is in the page; nothing is fetched, and nothing is
   written to the address, because a browser may synchronise its history. A link such as
   #chrom=chr2&min=99&sort=position&dir=ascending sets filters when the page opens. Text from files is only
   ever set as text. */
(() => {
  const PAGE = 50, GENES = 2000;
  const data = JSON.parse(document.getElementById("data").textContent);
  const { n, columns, texts, words, percent } = data;
  const byId = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const at = (name, i) => (Array.isArray(columns[name]) ? columns[name][i] : columns[name]);
  const running = (name) => {
    const sums = new Float64Array(n);
    for (let i = 0, sum = 0; i < n; i++) sums[i] = sum += at(name, i);
    return sums;
  };
  /* A column of equal steps is stored as one number, which for rows and positions is the step. */
  const row = running("row"), pos = running("pos");
  const text = (name, i) => (at(name, i) < 0 ? null : texts[name][at(name, i)]);
  const spelled = (name, i) => (at(name, i) < 0 ? null : words[name][at(name, i)]);
  const spaced = (value) => (value === null ? "" : value.replaceAll("_", " "));
  const count = (value) => value.toLocaleString("en");
  const short = (value) => (value === null ? "" : String(Number(value.toPrecision(4))));
  /* Rounded down, so that nothing below 100 reads as 100. */
  const share = (value) => {
    if (value === null) return "";
    const digits = value >= 0.99 * percent ? 2 : 1, scale = 10 ** digits;
    return (Math.floor((value * 100 * scale) / percent + 1e-6) / scale).toFixed(digits);
  };
  const confidence = (i) => {
    const value = at("confidence", i);
    if (value === null) return null;
    if (at("low_confidence", i)) return { dots: "●○○", name: "low" };
    return value >= percent ? { dots: "●●●", name: "full" } : { dots: "●●○", name: "medium" };
  };
  /* How the input spells a variant, where it spells it otherwise. */
  const source = (i) => {
    const chrom = text("source_chrom", i) ?? text("chrom", i);
    if (chrom === text("chrom", i) && !data.sources[i]) return "";
    return `${chrom}:${data.sources[i] ?? `${pos[i]}:${text("ref", i)}:${text("alt", i)}`}`;
  };
  const name = (i) => `${text("chrom", i)}:${pos[i]}:${text("ref", i)}:${text("alt", i)}`;

  /* Sorting: a number for every row; missing values come last either way. */
  const ranks = (column) => {
    const order = texts[column].map((_, k) => k).sort((a, b) => (texts[column][a] < texts[column][b] ? -1 : 1));
    const rank = new Float64Array(order.length);
    order.forEach((k, r) => (rank[k] = r));
    return (i) => (at(column, i) < 0 ? NaN : rank[at(column, i)]);
  };
  const number = (column) => (i) => at(column, i) ?? NaN;
  const keys = {
    position: () => (i) => at("chrom", i) * 1e10 + pos[i],
    change: () => {
      const ref = ranks("ref"), alt = ranks("alt"), many = texts.alt.length + 1;
      return (i) => ref(i) * many + alt(i);
    },
    gene: () => ranks("gene"),
    consequence: () => ranks("consequence"),
    class: () => (i) => at("edit_class", i),
    percentile: () => number("sigma_calibrated"),
    ensemble: () => number("ensemble"),
    /* Within each class: raw scores of different classes are never compared. */
    raw: () => (i) => (at("sigma_raw", i) === null ? NaN : at("within", i) - at("edit_class", i) * 1e9),
    confidence: () => number("confidence"),
  };
  const FALLING = ["percentile", "ensemble", "raw", "confidence"];
  const heads = [...document.querySelectorAll("#table th[data-sort]")];
  const sortable = heads.map((head) => head.dataset.sort);
  const standard = sortable.includes("percentile") ? "percentile" : "raw";
  const form = byId("filters"), body = document.querySelector("#table tbody");
  const state = { sort: standard, dir: "descending", page: 0, rows: [] };

  const fill = (select, values, labels) => {
    if (!select) return;
    values.forEach((value, k) => {
      const option = make("option", "", labels ? labels[k] : value);
      option.value = value;
      select.append(option);
    });
  };
  fill(form.elements.chrom, texts.chrom);
  fill(form.elements.class, texts.edit_class, words.edit_class);
  const consequences = [...texts.consequence].sort();
  fill(form.elements.consequence, consequences, consequences.map(spaced));
  if (byId("genes")) fill(byId("genes"), [...texts.gene].sort().slice(0, GENES));

  const value = (field) => form.elements[field]?.value.trim() ?? "";
  const wanted = () => {
    const tests = [];
    const equal = (field, column) => {
      const code = texts[column].indexOf(value(field));
      if (value(field)) tests.push((i) => at(column, i) === code);
    };
    equal("chrom", "chrom"); equal("class", "edit_class"); equal("consequence", "consequence");
    const gene = value("gene").toLowerCase();
    if (gene) {
      const fits = texts.gene.map((known) => known.toLowerCase().startsWith(gene));
      const exact = texts.gene.map((known) => known.toLowerCase() === gene);
      const chosen = exact.includes(true) ? exact : fits;
      tests.push((i) => at("gene", i) >= 0 && chosen[at("gene", i)]);
    }
    const least = parseFloat(value("min"));
    if (!Number.isNaN(least)) {
      const limit = (least / 100) * percent - 1e-6;
      tests.push((i) => at("sigma_calibrated", i) !== null && at("sigma_calibrated", i) >= limit);
    }
    if (form.elements.high?.checked) tests.push((i) => at("high", i) === 1);
    /* A position may be typed with separators. */
    const parts = value("q").toLowerCase().split(/\s+/).filter(Boolean).map((part) => part.replace(/(\d),(?=\d{3})/g, "$1"));
    if (parts.length) tests.push((i) => {
      const all = [name(i), text("gene", i), spaced(text("consequence", i)), text("consequence", i), spaced(text("edit_class", i)),
        text("flags", i), `${text("ref", i)}>${text("alt", i)}`, source(i)].join(" ").toLowerCase();
      return parts.every((part) => all.includes(part));
    });
    return (i) => tests.every((test) => test(i));
  };

  const cached = {};
  const keyOf = (sort) => {
    if (!cached[sort]) {
      const key = keys[sort]();
      cached[sort] = Float64Array.from({ length: n }, (_, i) => key(i));
    }
    return cached[sort];
  };
  const update = () => {
    const fits = wanted(), key = keyOf(state.sort), sign = state.dir === "ascending" ? 1 : -1;
    const rows = [];
    for (let i = 0; i < n; i++) if (fits(i)) rows.push(i);
    rows.sort((a, b) => {
      const x = key[a], y = key[b];
      if (x !== x || y !== y) return (x !== x) - (y !== y) || a - b;
      return sign * (x - y) || a - b;
    });
    state.rows = rows;
    draw();
  };

  const cells = {
    position: (i) => make("td", "", `${text("chrom", i)}:${count(pos[i])}`),
    change: (i) => {
      const cell = make("th"), cut = (allele) => (allele.length > 12 ? `${allele.slice(0, 9)}… (${allele.length})` : allele);
      cell.scope = "row";
      const open = make("button", "open", `${cut(text("ref", i))} → ${cut(text("alt", i))}`);
      open.type = "button";
      open.setAttribute("aria-label", `Show ${name(i)}`);
      cell.append(open);
      return cell;
    },
    gene: (i) => make("td", "", text("gene", i) ?? ""),
    consequence: (i) => make("td", "roomy", spaced(text("consequence", i))),
    class: (i) => make("td", "roomy", spaced(text("edit_class", i))),
    percentile: (i) => {
      const found = at("sigma_calibrated", i), cell = make("td", at("high", i) ? "number is-high" : "number");
      if (found === null) return cell;
      const meter = make("span", "meter"), bar = make("i");
      meter.setAttribute("aria-hidden", "true");
      bar.style.width = `${(found / percent) * 100}%`;
      meter.append(bar);
      cell.append(meter, make("span", "value", share(found)));
      return cell;
    },
    ensemble: (i) => make("td", "number roomy", share(at("ensemble", i))),
    raw: (i) => {
      const marked = !sortable.includes("percentile") && at("high", i);
      const cell = make("td", `number${sortable.includes("percentile") ? " roomy" : ""}${marked ? " is-high" : ""}`);
      cell.append(make("span", "value", short(at("sigma_raw", i))));
      return cell;
    },
    confidence: (i) => {
      const cell = make("td", "roomy"), found = confidence(i);
      if (!found) return cell;
      const dots = make("span", "dots", found.dots);
      dots.setAttribute("aria-hidden", "true");
      cell.append(dots, ` ${found.name}`);
      return cell;
    },
  };
  const draw = () => {
    const pages = Math.max(1, Math.ceil(state.rows.length / PAGE));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const first = state.page * PAGE, shown = state.rows.slice(first, first + PAGE);
    body.replaceChildren(...shown.map((i, k) => {
      const line = make("tr");
      line.dataset.place = first + k;
      line.append(...sortable.map((column) => cells[column](i)));
      return line;
    }));
    for (const head of heads) {
      if (head.dataset.sort === state.sort) head.setAttribute("aria-sort", state.dir);
      else head.removeAttribute("aria-sort");
    }
    byId("count").textContent = state.rows.length
      ? `${count(first + 1)} to ${count(first + shown.length)} of ${count(state.rows.length)} variants` +
        (state.rows.length < n ? ` (${count(n)} without filters)` : "")
      : "No variant fits these filters.";
    byId("page").textContent = `Page ${count(state.page + 1)} of ${count(pages)}`;
    for (const button of document.querySelectorAll("#pages button")) {
      const back = button.dataset.go === "first" || button.dataset.go === "back";
      button.disabled = back ? state.page === 0 : state.page === pages - 1;
    }
  };

  /* One variant. */
  const dialog = byId("detail");
  let place = 0;
  const copyable = (what) => {
    /* A name from a file could start a formula in a spreadsheet. */
    const safe = /^[=+\-@\t]/.test(what) ? `'${what}` : what;
    const line = make("div", "copy"), shown = make("output", "", safe), button = make("button", "", "Copy");
    button.type = "button";
    button.setAttribute("aria-label", `Copy ${safe}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(safe);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(shown);
        button.textContent = "Selected: copy it with the keyboard";
      }
    });
    line.append(shown, button);
    return line;
  };
  const show = (k) => {
    place = k;
    const i = state.rows[k], parts = [], found = at("sigma_calibrated", i), sure = confidence(i);
    byId("detail-title").textContent = `${text("chrom", i)}:${count(pos[i])}`;
    parts.push(make("p", "allele", `${text("ref", i)} → ${text("alt", i)}`));
    if (found !== null) {
      const gauge = make("div", at("high", i) ? "gauge is-high" : "gauge"), bar = make("i"), ends = make("div", "gauge-ends");
      gauge.setAttribute("aria-hidden", "true");
      bar.style.width = `${(found / percent) * 100}%`;
      gauge.append(bar);
      ends.setAttribute("aria-hidden", "true");
      ends.append(make("span", "", "0: least unusual"), make("span", "", "100: most unusual to the model"));
      parts.push(make("p", "big", `Percentile ${share(found)}`), gauge, ends);
      parts.push(make("p", "", `Of 100 variants it was compared with, about ${share(found)} score below it. Compared with: ${spelled("bucket_id", i) ?? "not told"}.`));
      if (sure) parts.push(make("p", "", `Confidence ${sure.dots} ${sure.name}: ` + (sure.name === "full"
        ? "1,000 common variants or more stand behind this percentile."
        : sure.name === "medium" ? "fewer than 1,000 common variants stand behind this percentile."
          : "too few common variants stand behind this percentile; read it as a rough figure.")));
    } else {
      parts.push(make("p", "", "This score has no percentile: compare it only with the same score of the same class of changes."));
    }
    const list = make("dl", "values");
    const add = (label, what) => {
      if (what === null || what === undefined || what === "") return;
      const line = make("div");
      line.append(make("dt", "", label), make("dd", "", what));
      list.append(line);
    };
    const said = spelled("consequence", i);
    add("Gene", text("gene", i));
    add("Consequence", text("consequence", i) && spaced(text("consequence", i)) + (said ? `: ${said}` : ""));
    add("Class of change", spelled("edit_class", i));
    add("What to know", spelled("flags", i));
    add("Ensemble", share(at("ensemble", i)));
    add("Raw score", at("sigma_raw", i) === null ? "" : `${short(at("sigma_raw", i))} (${spelled("head", i) ?? "score not named"})`);
    for (const head of ["displacement", "delta_ll", "marginal_llr"]) add(head, short(at(head, i)));
    add("First differing base", at("locus", i) === null ? "" : count(pos[i] + at("locus", i)));
    add("Bucket", text("bucket_id", i));
    add("Confidence value", at("confidence", i) === null ? "" : short(at("confidence", i) / percent));
    add("In the input", `record ${count(row[i])}, allele ${at("allele", i)}` + (source(i) ? `, written ${source(i)}` : ""));
    parts.push(list, make("p", "small", "The variant's name:"), copyable(name(i)));
    const elsewhere = make("details");
    elsewhere.append(make("summary", "", "Looking it up elsewhere"),
      make("p", "", "This page has no links to other sites. Whoever looks a variant up tells that site which variant it is, and from which address the question comes. If that is all right for you, this is the form that search boxes such as gnomAD's take (choose the assembly that you scored with):"),
      copyable(`${text("chrom", i).replace(/^chr/i, "")}-${pos[i]}-${text("ref", i)}-${text("alt", i)}`),
      make("p", "", "ClinVar's search box finds the place:"),
      copyable(`${text("chrom", i)}:${pos[i]}`));
    parts.push(elsewhere);
    byId("detail-body").replaceChildren(...parts);
    dialog.querySelector("[data-do=back]").disabled = k === 0;
    dialog.querySelector("[data-do=on]").disabled = k === state.rows.length - 1;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    byId("detail-title").focus();
  };
  dialog.addEventListener("click", (event) => {
    const what = event.target.dataset?.do;
    if (what === "close" || event.target === dialog) dialog.close();
    else if (what) show(place + (what === "on" ? 1 : -1));
  });
  dialog.addEventListener("close", () => {
    state.page = Math.floor(place / PAGE);
    draw();
    body.querySelector(`tr[data-place="${place}"] .open`)?.focus();
  });
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (line && !String(getSelection())) show(Number(line.dataset.place));
  });

  const change = () => { state.page = 0; update(); };
  form.addEventListener("submit", (event) => event.preventDefault());
  let waiting = 0;
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(change, 120); });
  form.addEventListener("reset", () => setTimeout(change));
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const sort = head.dataset.sort, first = FALLING.includes(sort) ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      state.dir = state.sort === sort && state.dir === first ? other : first;
      state.sort = sort;
      change();
    });
  }
  byId("pages").addEventListener("click", (event) => {
    const last = Math.ceil(state.rows.length / PAGE) - 1;
    const to = { first: 0, back: state.page - 1, on: state.page + 1, last }[event.target.dataset.go];
    if (to === undefined) return;
    state.page = to;
    draw();
  });
  for (const link of document.querySelectorAll("[data-chrom]")) {
    link.addEventListener("click", () => { form.elements.chrom.value = link.dataset.chrom; change(); });
  }
  const fromAddress = () => {
    if (!location.hash.includes("=")) return false;
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const field of form.elements) {
      if (!field.name) continue;
      if (field.type === "checkbox") field.checked = asked.has(field.name);
      else field.value = asked.get(field.name) ?? "";
    }
    if (sortable.includes(asked.get("sort"))) state.sort = asked.get("sort");
    state.dir = asked.get("dir") === "ascending" ? "ascending" : "descending";
    update();
    state.page = (parseInt(asked.get("page"), 10) || 1) - 1;
    draw();
    const open = state.rows.findIndex((i) => `${row[i]}.${at("allele", i)}` === asked.get("variant"));
    if (open >= 0) { state.page = Math.floor(open / PAGE); draw(); show(open); }
    return true;
  };
  addEventListener("hashchange", fromAddress);
  for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
  if (!fromAddress()) update();
})();
