"use strict";
/* What the page does with a script: live views, dialogs, keys, copying. All of it can be read without. */
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Relative times stay true without a call.
  const span = (seconds) => {
    for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]])
      if (seconds >= unit) return `${Math.floor(seconds / unit)} ${name}`;
    return `${Math.floor(seconds)} s`;
  };
  // How far this machine's clock is ahead of the server's, whose times these are.
  let ahead = 0;
  const tick = () => {
    for (const time of $$("time[data-ago]")) {
      const past = (Date.now() - ahead - Date.parse(time.dateTime)) / 1000;
      const text = past < 5 ? (past < -5 ? `in ${span(-past)}` : "just now") : `${span(past)} ago`;
      if (time.textContent !== text) time.textContent = text;
      const at = new Date(time.dateTime);
      // The clock of the chart is the reader's, too; logs and the API have UTC.
      if (at.getTimezoneOffset() && time.title.endsWith("UTC") && !time.title.includes("here")) time.title = `${at.toLocaleString("sv-SE")} here, ${time.title}`;
    }
  };

  // Live views: one function asks for the view again; events call it, and a timer where there are none.
  const live = { source: null, timer: null, last: 0, waits: false, broken: false };
  const view = () => $("[data-live]");
  const streams = () => live.source?.readyState === EventSource.OPEN;
  const refresh = () => {
    if (document.hidden || !view()) return;
    const wait = 400 - (Date.now() - live.last);
    if (wait > 0) {
      if (!live.waits) setTimeout(() => { live.waits = false; refresh(); }, wait);
      live.waits = true;
      return;
    }
    live.last = Date.now();
    htmx.trigger(view(), "refresh");
  };
  const say = (broken) => {
    live.broken = broken;
    const note = $("#live-state");
    if (note) note.hidden = !broken;
    view()?.classList.toggle("stale", broken);
  };
  const poll = () => {
    clearTimeout(live.timer);
    const shown = view();
    if (!shown || document.hidden) return;
    const fast = shown.dataset.live === "fast" && !streams();
    live.timer = setTimeout(() => { refresh(); poll(); }, fast ? 1000 : 10000);
  };
  // One stream at a time, also while it connects: browsers have six connections for all tabs of a server.
  const hush = () => { live.source?.close(); live.source = null; };
  const listen = () => {
    const shown = view();
    hush();
    if (shown && shown.dataset.events && !document.hidden) {
      const source = live.source = new EventSource(shown.dataset.events);
      source.onopen = () => { const missed = live.broken; say(false); if (missed) refresh(); };
      source.addEventListener("job", refresh);
      source.onerror = () => {
        if (live.source !== source) return;
        poll();
        // The stream of one job ends with it; others reconnect by themselves, or are asked for again after a refusal.
        const later = () => live.source === source && view()?.dataset.events;
        if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (later()) listen(); }, 5000);
        else setTimeout(() => { if (later() && !streams()) say(true); }, 2000);
        refresh();
      };
    }
    poll();
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { hush(); clearTimeout(live.timer); }
    else { refresh(); listen(); }
  });
  const showWizardError = (text) => {
    $("#wizard-error").hidden = false;
    $("#wizard-error p").textContent = text;
    $("#wizard-error").scrollIntoView({ block: "nearest" });
  };
  // Another step begins at its heading: the button that led there has become another one.
  let step = null;
  const enterStep = () => {
    const now = $("#wizard")?.dataset.step;
    if (step && now && now !== step) { $("#step-title").focus(); scrollTo(0, 0); }
    step = now;
  };
  // Reloading, or the browser's own Back, would lose what was chosen in the steps.
  let leaving = false;
  addEventListener("beforeunload", (event) => {
    if (!leaving && step && step !== "source") event.preventDefault();
  });
  document.addEventListener("htmx:beforeOnLoad", (event) => { if (event.detail.xhr.getResponseHeader("hx-redirect")) leaving = true; });

  // What is asked for again and again: the live view, the progress of a dry run.
  const isPolled = (detail) => detail.requestConfig?.verb === "get";
  document.addEventListener("htmx:beforeSwap", (event) => {
    // An error answer is a page of its own; a view that is being refreshed keeps its last values.
    if (isPolled(event.detail) && event.detail.xhr.status >= 400) {
      event.detail.shouldSwap = false;
      say(true);
    } else if (event.detail.xhr.status >= 400 && $("#wizard-error")) {
      // The form stays as it is.
      event.detail.shouldSwap = false;
      const answer = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
      showWizardError($("[role=alert]", answer)?.textContent || "The server did not answer. Try again.");
    } else if (event.detail.xhr.status >= 400) {
      event.detail.shouldSwap = true;
    }
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (isPolled(event.detail)) { say(true); return; }
    // Nothing repeats the step of a wizard by itself.
    showWizardError("The server can't be reached. Nothing that you entered is lost: try again.");
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (live.broken && event.detail.xhr?.status < 400) say(false);
    prepare();
    enterStep();
  });

  // A refresh leaves alone what the reader has opened or is typing, and the buttons that this script has added.
  const isReaders = (name, node) => node.closest?.("[data-live]") && (
    (name === "open" && node.matches("details")) || (name === "value" && node.matches(".filters input") && node.value !== node.defaultValue));
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !isReaders(name, node);
  Idiomorph.defaults.callbacks.beforeNodeRemoved = (node) => !(node.matches?.(".copy > [data-copy]") && node.closest("[data-live]"));

  // The end of a job is spoken, nothing else.
  let spoken = null;
  const speak = () => {
    const state = $("[data-final]");
    if (!state) return;
    if (spoken !== null && spoken !== state.dataset.final && state.dataset.final) {
      const box = $("#spoken");
      if (box) box.textContent = state.dataset.final;
    }
    spoken = state.dataset.final;
  };

  // Rates between the points of [seconds, rows] that the view has; the chart itself stays while the view is replaced.
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
  const rates = (points) => {
    const data = [[], []];
    // Over at least five seconds, or a hundredth of the time: rows are counted split by split.
    const least = points.length ? Math.max(5, (points[points.length - 1][0] - points[0][0]) / 100) : 5;
    for (let index = 1, from = 0; index < points.length; index++) {
      while (points[index][0] - points[from + 1][0] >= least) from++;
      const seconds = points[index][0] - points[from][0];
      if (seconds <= 0) continue;
      data[0].push(points[index][0]);
      data[1].push(Math.max(0, (points[index][1] - points[from][1]) / seconds));
    }
    return data;
  };
  const draw = (box) => {
    const source = document.getElementById(box.dataset.chart);
    if (!source || !window.uPlot || !box.clientWidth) return;
    const data = rates(JSON.parse(source.dataset.points || "[]"));
    if (box.plot) { box.plot.setData(data); return; }
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "13px system-ui" };
    const out = $("output", box.closest("figure"));
    box.plot = new uPlot({
      width: box.clientWidth, height: box.clientHeight, legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      series: [{}, { stroke: colour("--accent"), width: 1.5, fill: colour("--accent-soft"), points: { show: data[0].length < 3 } }],
      axes: [
        { ...axis, size: 28, space: 96, values: (_, all) => all.map(clock) },
        { ...axis, size: 56, values: (_, all) => all.map((value) => Intl.NumberFormat("en-US", { notation: "compact" }).format(value)) },
      ],
      hooks: { setCursor: [(plot) => {
        const index = plot.cursor.idx;
        out.textContent = index == null || plot.data[1][index] == null ? "" : `${Math.round(plot.data[1][index]).toLocaleString("en-US")} rows/s at ${clock(plot.data[0][index])}`;
      }] },
    }, data, box);
    box.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      out.setAttribute("aria-live", "polite");  // by the mouse the values would be too many to speak
      const times = box.plot.data[0];
      const index = Math.min(times.length - 1, Math.max(0, (box.plot.cursor.idx ?? times.length) + step));
      box.plot.setCursor({ left: box.plot.valToPos(times[index], "x"), top: 0 });
    };
    box.onpointermove = () => out.setAttribute("aria-live", "off");
  };
  addEventListener("resize", () => $$("[data-chart]").forEach((box) => box.plot?.setSize({ width: box.clientWidth, height: box.clientHeight })));

  // Fields that belong to a choice: data-shown-for="name" while it is made, "name=" while it is not.
  const choose = () => {
    for (const part of $$("[data-shown-for]")) {
      const [name, value] = part.dataset.shownFor.split("=");
      const chosen = $(`[name="${name}"]`)?.value || "";
      part.hidden = value === undefined ? !chosen : chosen !== value;
    }
    const wizard = $("#wizard");
    if (wizard) $("#store-keys").hidden = wizard.dataset.step !== "source";
  };

  const prepare = () => {
    tick();
    choose();
    if (live.source && !view()?.dataset.events) { hush(); say(false); }
    speak();
    $$("[data-chart]").forEach(draw);
    for (const menu of $$(".copy:not(:has(> button))")) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
      button.dataset.copy = "";
      menu.append(button);
    }
  };

  // Confirmations are pages; with a script they open above the page they are about.
  const openDialog = async (href, opener) => {
    const answer = await fetch(href, { headers: { "HX-Request": "true" } }).catch(() => null);
    // Without an answer the browser shows why.
    if (!answer) { location.href = href; return; }
    if (answer.headers.get("hx-redirect")) { location.href = answer.headers.get("hx-redirect"); return; }
    const dialog = $("#dialog");
    dialog.innerHTML = await answer.text();
    $("title", dialog)?.remove();
    const title = dialog.querySelector("h1");
    if (title) { title.id = "dialog-title"; dialog.setAttribute("aria-labelledby", "dialog-title"); }
    dialog.dispatchEvent(new Event("dialog:filled", { bubbles: true }));
    dialog.onclose = () => { $("form", dialog)?.reset(); opener?.focus(); };  // typed keys don't stay in the page
    dialog.showModal();
    (dialog.querySelector("input:not([type=hidden])") || dialog.querySelector("[data-close]"))?.focus();
  };
  // Browsers have a clipboard on secure addresses only; on others the text is selected, and copied as by the keyboard.
  const copy = async (source) => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(source);
      return document.execCommand("copy");
    }
  };
  document.addEventListener("click", (event) => {
    const target = event.target;
    const asked = target.closest("a[data-dialog]");
    if (asked && !event.ctrlKey && !event.metaKey) { event.preventDefault(); openDialog(asked.href, asked); return; }
    if (target.closest("[data-close]")) {
      event.preventDefault();
      const dialog = target.closest("dialog");
      if (dialog) dialog.close(); else if (target.href) location.href = target.href; else history.back();
      return;
    }
    const copying = target.closest("[data-copy]");
    if (copying) {
      copy(copying.parentElement.querySelector("pre, code")).then((done) => {
        copying.textContent = done ? "Copied" : "Selected: press Ctrl+C";
        setTimeout(() => { copying.textContent = "Copy"; }, 1500);
      });
      return;
    }
    if (target.closest("#theme")) {
      const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark");
      document.documentElement.dataset.theme = dark ? "light" : "dark";
      document.cookie = `penstock_theme=${dark ? "light" : "dark"}; path=/; max-age=31536000; samesite=strict`;
      $$("[data-chart]").forEach((box) => { box.plot?.destroy(); box.plot = null; draw(box); });
      return;
    }
    for (const menu of $$("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
    const row = target.closest("tr.link");
    if (row && !target.closest("a, button, input, select, summary") && !getSelection().toString()) $("a", row)?.click();
  });
  // A form is sent once: a second click on Replay would import the rows twice. And what is too long for an address is posted.
  const LONGEST_QUERY = 4000;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "get" && form.dataset.csrf && form.elements.q.value.length > LONGEST_QUERY) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "csrf", value: form.dataset.csrf }));
      form.method = "post";
    }
    if (form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => $$("form[data-sent]").forEach((form) => { delete form.dataset.sent; }));
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-auto]");
    if (form && event.target.matches("select")) form.requestSubmit();
    choose();
  });

  // Keys.
  const rows = () => $$("tr.link");
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const now = all.indexOf(document.activeElement.closest("tr.link"));
    const next = Math.min(all.length - 1, Math.max(0, now < 0 ? 0 : now + step));
    $("a", all[next]).focus();
    all[next].scrollIntoView({ block: "nearest" });
  };
  let prefix = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of $$("details.menu[open]")) { menu.open = false; $("summary", menu).focus(); }
      if (event.target.matches?.("input[type=search]")) event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, select, textarea, [contenteditable]")) {
      if ((event.ctrlKey || event.metaKey) && event.key === "k" && $("[data-search]")) { event.preventDefault(); $("[data-search]").focus(); }
      return;
    }
    if ($("dialog[open]")) return;
    if (prefix && Date.now() - prefix < 1500) {
      prefix = 0;
      const place = { j: "/", c: "/collections", i: "/import", a: "/admin" }[event.key];
      if (place) { event.preventDefault(); location.href = $(`nav a[data-key="${event.key}"]`)?.href || place; }
      return;
    }
    if (event.key === "g") prefix = Date.now();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "/") { const box = $("[data-search]"); if (box) { event.preventDefault(); box.focus(); box.select(); } }
    else if (event.key === "?") { const keys = $("#keys"); if (keys) { keys.showModal(); $("[data-close]", keys).focus(); } }
  });

  document.addEventListener("DOMContentLoaded", () => {
    ahead = Date.now() - Date.parse(document.body.dataset.now);
    prepare();
    enterStep();
    listen();
    setInterval(() => { if (!document.hidden) tick(); }, 5000);
  });
  window.penstock = { refresh, openDialog };
})();
