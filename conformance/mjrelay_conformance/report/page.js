"use strict";
// Everything that a relay said goes into the page by text nodes alone; the page's policy forbids markup from scripts.
(() => {
  const { run, checks } = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);

  const LEVELS = ["must", "should", "info"];
  const OUTCOMES = {
    fail: ["✕", "failed"],
    error: ["!", "our own error"],
    accepted: ["≈", "accepted"],
    pass: ["✓", "passed"],
    blocked: ["⊘", "blocked"],
    inconclusive: ["?", "inconclusive"],
    "not-applicable": ["·", "not applicable"],
    "not-exercised": ["○", "not exercised"],
  };
  const SHOWN = ["fail", "error", "accepted", "pass", "blocked", "inconclusive", "not-exercised"];
  const VERDICTS = {
    conformant: ["✓", "pass", "Conformant"],
    "non-conformant": ["✕", "fail", "Non-conformant"],
    partial: ["◐", "blocked", "Partial"],
    unreachable: ["⊘", "blocked", "Unreachable"],
    error: ["!", "error", "Error"],
    incomplete: ["…", "blocked", "Incomplete"],
  };
  const DRIVERS = { plan: "the plan", fuzz: "the property-based phase", replay: "recorded traffic" };

  // ---- elements and texts

  function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
    return element;
  }

  // Characters that cannot be seen or that move others about, alike ones in a row taken together.
  const UNSEEN = /(?![\n\t])(?!\u200d\p{Extended_Pictographic})([\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}])\1*/gu;
  const code = (character) => "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

  function shown(text) {
    const fragment = document.createDocumentFragment();
    let from = 0;
    for (const found of text.matchAll(UNSEEN)) {
      const times = found[0].length / found[1].length;
      fragment.append(text.slice(from, found.index));
      fragment.append(h("span", { class: "unseen", title: "a character that cannot be seen" },
        code(found[1]) + (times > 1 ? `×${times}` : "")));
      from = found.index + found[0].length;
    }
    fragment.append(text.slice(from));
    return fragment;
  }

  const number = (value) => value.toLocaleString("en");
  const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
  const size = (bytes) => bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;
  const language = (text) => /\p{Script=Han}/u.test(text) && !/[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text) ? "zh-Hans" : null;

  function cut(text, limit) {
    if (text.length <= limit) return text;
    const end = /[\ud800-\udbff]/.test(text[limit - 1]) ? limit - 1 : limit;
    return text.slice(0, end);
  }

  // A foreign text that cannot reorder what stands beside it; cut where it is long.
  function foreign(text, { tag = "span", className = "", limit = 1200, show = shown } = {}) {
    text = String(text ?? "");
    const head = cut(text, limit);
    const element = h(tag, { class: `foreign ${className}`.trim(), lang: language(head) }, show(head));
    if (head.length < text.length) {
      const more = h("button", { type: "button", class: "more", click: () => {
        element.replaceChildren(show(text));
        element.setAttribute("tabindex", "-1");
        element.focus({ preventScroll: true });
      } }, `… show all (${number(text.length)} characters)`);
      element.append(more);
    }
    return element;
  }

  // JSON laid out token by token, so that numbers, repeated names and order stay as they were sent.
  const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"?|[{}[\],:]|[^\s{}[\],:"]+/g;

  function laidOut(text) {
    const fragment = document.createDocumentFragment();
    const tokens = text.match(TOKEN) ?? [];
    let depth = 0;
    const line = () => "\n" + "  ".repeat(Math.min(depth, 24));
    tokens.forEach((token, index) => {
      const before = tokens[index - 1], after = tokens[index + 1];
      if (token === "{" || token === "[") {
        depth += 1;
        fragment.append(token + (after === "}" || after === "]" ? "" : line()));
      } else if (token === "}" || token === "]") {
        depth = Math.max(0, depth - 1);
        fragment.append((before === "{" || before === "[" ? "" : line()) + token);
      } else if (token === ",") fragment.append("," + line());
      else if (token === ":") fragment.append(": ");
      else fragment.append(word(token, after === ":"));
    });
    return fragment;
  }

  function word(token, isName) {
    if (!token.startsWith('"')) return h("span", { class: /^[-\d]/.test(token) ? "number" : "literal" }, shown(token));
    let readable = token;
    if (token.includes("\\u")) {
      try { readable = JSON.stringify(JSON.parse(token)); } catch { /* a token that was cut */ }
    }
    return h("span", { class: isName ? "name" : "string", lang: language(readable) }, shown(readable));
  }

  const isJSON = (text) => { try { return typeof JSON.parse(text) === "object"; } catch { return false; } };

  function content(body, label) {
    if (!body || body.size === 0) return h("p", { class: "note" }, `${label}: empty`);
    const kept = body.text ?? body.base64 ?? "";
    const bytes = body.text === undefined ? Math.floor(kept.length * 3 / 4) : new TextEncoder().encode(kept).length;
    const short = body.size > bytes + 2 ? `, of which ${size(bytes)} are kept` : "";
    const note = h("p", { class: "note" }, `${label}, ${size(body.size)}${short}`);
    const box = (inner) => h("pre", { tabindex: 0, "aria-label": label, dir: "ltr" }, inner);
    if (body.text === undefined && body.base64 === undefined) return note;
    if (body.text === undefined) {
      note.append(": not text in UTF-8, shown as base64");
      return [note, box(foreign(kept, { tag: "code", limit: 2000 }))];
    }
    const raw = () => foreign(kept, { tag: "code", limit: 8000 });
    if (!isJSON(kept)) return [note, box(raw())];
    const pretty = () => foreign(kept, { tag: "code", limit: 8000, show: laidOut });
    const pre = box(pretty());
    const toggle = h("button", { type: "button", class: "small", "aria-pressed": "false", click: () => {
      const pressed = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", pressed);
      pre.replaceChildren(pressed ? raw() : pretty());
    } }, "as sent");
    note.append(" ", toggle);
    return [note, pre];
  }

  // HTTP reads header fields as Latin-1; where UTF-8 lies beneath, that is what was meant.
  function meant(text) {
    if (!/^[\x00-\xff]*[\x80-\xff][\x00-\xff]*$/.test(text)) return text;
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(text, (one) => one.charCodeAt(0)));
    } catch { return text; }
  }

  function fields(pairs, label) {
    if (!pairs?.length) return h("p", { class: "note" }, `${label}: none`);
    return h("dl", { class: "headers", "aria-label": label }, pairs.map(([name, value]) =>
      h("div", null, h("dt", null, foreign(meant(name), { limit: 200 })), h("dd", null, foreign(meant(value), { limit: 400 })))));
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // where a page from a file has no clipboard
      const area = h("textarea", { "aria-hidden": "true", class: "away" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function command(text, label) {
    if (!text) return null;
    const button = h("button", { type: "button", class: "small", "aria-label": `Copy: ${label}`, click: async () => {
      await copy(text);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    } }, "copy");
    return h("div", { class: "command" },
      h("pre", { tabindex: 0, "aria-label": label, dir: "ltr" }, foreign(text, { tag: "code", limit: 4000 })), button);
  }

  const sign = (outcome) => h("span", { class: `sign ${outcome}`, "aria-hidden": "true" }, OUTCOMES[outcome]?.[0] ?? "?");
  const named = (outcome) => OUTCOMES[outcome]?.[1] ?? outcome;
  const badge = (level) => h("span", { class: `badge ${level}` }, level.toUpperCase());

  function verdict(name) {
    const [mark, colour, title] = VERDICTS[name] ?? ["?", "blocked", name];
    return h("span", { class: `verdict ${colour}` }, h("span", { class: "mark", "aria-hidden": "true" }, mark), title);
  }

  function folded(title, build, attributes) {
    const details = h("details", attributes, h("summary", null, title));
    let built = false;
    details.build = () => {
      if (built) return;
      built = true;
      details.append(h("div", { class: "inside" }, build()));
    };
    details.addEventListener("toggle", () => details.open && details.build());
    return details;
  }

  // ---- what the record says

  function grouped(items, key) {
    const groups = new Map();
    for (const item of items) {
      const name = key(item);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(item);
    }
    return groups;
  }

  const unique = (values) => [...new Set(values)];
  const judged = new Map(run.relays.map((relay) => [relay.relay, relay]));
  const relays = unique([...judged.keys(), ...run.rows.map((row) => row.relay), ...run.exchanges.map((one) => one.relay)]);
  const kin = grouped(unique(Object.values(checks).map((check) => check.family)), (family) => family.split("/")[0]);
  const families = [...kin.values()].flat();
  const order = new Map(Object.keys(checks).map((id, index) => [id, index]));
  const exchanges = new Map(run.exchanges.map((exchange) => [exchange.number, exchange]));
  const baseline = (relay, part) => judged.get(relay)?.baseline?.[part] ?? [];
  const rows = run.rows.map((row) => ({
    ...row,
    family: checks[row.check].family,
    outcome: row.outcome === "fail" && baseline(row.relay, "accepted").some((line) => line.check === row.check) ? "accepted" : row.outcome,
  }));

  const byExchange = grouped(rows, (row) => row.exchange);
  const byCheck = grouped(rows, (row) => JSON.stringify([row.relay, row.check]));
  const weigh = (a, b) => LEVELS.indexOf(a[0].level) - LEVELS.indexOf(b[0].level)
    || relays.indexOf(a[0].relay) - relays.indexOf(b[0].relay) || order.get(a[0].check) - order.get(b[0].check);
  const findings = [...grouped(rows.filter((row) => ["fail", "error", "accepted"].includes(row.outcome)),
    (row) => JSON.stringify([row.relay, row.check, row.level, row.outcome])).values()].sort(weigh);
  const findingOf = new Map(findings.flatMap((group, index) => group.map((row) => [row, index])));
  // Of one check on one relay: what came of it in the end.
  const ended = (group) => SHOWN.find((outcome) => group.some((row) => row.outcome === outcome)) ?? "not-exercised";

  // ---- what can be filtered: a node, the rows that it stands for, its words

  const NONE = { relay: "", family: "", level: "", outcome: "", q: "" };
  let state = { ...NONE };
  const items = { findings: [], accepted: [], relays: [], checks: [], exchanges: [] };
  const add = (section, node, item) => {
    items[section].push({ node, ...item });
    return node;
  };

  const link = (id, ...text) => h("a", { href: `#open=${id}`, click: (event) => {
    event.preventDefault();
    write(id, true);
    open(id);
  } }, text);

  const asked = (exchange) => [`#${exchange.number} `, foreign(`${exchange.method} ${exchange.target}`, { limit: 120 })];

  function evidence(group, row) {
    const same = group.filter((other) => other.expected === row.expected && other.actual === row.actual && other.clause === row.clause);
    const [file, pointer] = (row.clause ?? "").split(/#(.*)/s);
    const where = same.map((one) => exchanges.get(one.exchange)).filter(Boolean);
    return h("dl", { class: "evidence" },
      row.expected && [h("dt", null, "expected"), h("dd", null, foreign(row.expected))],
      row.actual && [h("dt", null, "came"), h("dd", { class: "came" }, foreign(row.actual))],
      file && [h("dt", null, "clause"), h("dd", null, foreign(file, { tag: "code" }), pointer && h("span", { class: "pointer" }, foreign(pointer)))],
      where.length > 0 && [h("dt", null, "asked"), h("dd", null, where.slice(0, 3).map((exchange) =>
        h("div", null, link(`exchange-${exchange.number}`, asked(exchange)), h("span", { class: "dim" }, ` ${exchange.label || exchange.kind}`))),
        where.length > 3 && h("div", { class: "dim" }, `and ${where.length - 3} more`))]);
  }

  function finding(group, index) {
    const [row] = group;
    const check = checks[row.check];
    const drivers = unique(group.map((one) => exchanges.get(one.exchange)?.driver).filter(Boolean));
    const evident = [...grouped(group, (one) => JSON.stringify([one.expected, one.actual, one.clause])).values()].map(([one]) => one);
    const reasons = row.outcome === "accepted" ? baseline(row.relay, "accepted").filter((line) => line.check === row.check) : [];
    return h("article", { class: `card ${row.outcome}`, id: `finding-${index}`, tabindex: -1, "aria-label": `${row.level} ${row.relay} ${row.check}` },
      h("h3", null, badge(row.outcome === "error" ? "error" : row.level), h("span", { class: "relay" }, foreign(row.relay)),
        h("code", null, foreign(row.check))),
      h("p", { class: "sentence" }, check.sentence),
      reasons.map((line) => h("p", { class: "reason" }, "Accepted ", h("time", null, foreign(line.date)), ": ", foreign(line.reason))),
      row.outcome === "error" && h("p", { class: "reason" }, "The check itself failed: this is a mistake of the suite, not of the relay."),
      evidence(group, row),
      evident.length > 1 && folded(`${plural(evident.length - 1, "more answer")} of this kind`,
        () => evident.slice(1).map((one) => evidence(group, one))),
      check.why && folded("Why it matters", () => h("p", null, check.why)),
      command(exchanges.get(row.exchange)?.curl, "the request as a curl command"),
      drivers.length > 0 && h("p", { class: "note" }, `Found by ${drivers.map((name) => DRIVERS[name] ?? name).join(" and ")}.`));
  }

  function counts(list) {
    const tally = {};
    for (const group of list) tally[ended(group)] = (tally[ended(group)] ?? 0) + 1;
    return SHOWN.filter((outcome) => tally[outcome]).map((outcome) => [outcome, tally[outcome]]);
  }

  function matrix() {
    const cell = (relay, family) => {
      const groups = [...byCheck.values()].filter(([row]) => row.relay === relay && row.family === family);
      const tally = counts(groups);
      if (!tally.length) return h("td", { role: "cell", class: "void" }, "–");
      const words = tally.map(([outcome, count]) => `${count} ${named(outcome)}`).join(", ");
      return h("td", { role: "cell" }, h("button", {
        type: "button", class: `cell ${tally[0][0]}`, "aria-pressed": "false", "aria-label": `${relay}, ${family}: ${words}`, title: words,
        "data-relay": relay, "data-family": family,
        click: () => set(state.relay === relay && state.family === family ? { relay: "", family: "" } : { relay, family }),
      },
      h("span", { class: "family", "aria-hidden": "true" }, family.split(/(?<=\/)/).map((part) => [part, h("wbr")])),
      h("span", { class: "tally", "aria-hidden": "true" }, tally.map(([outcome, count]) => h("span", { class: `count ${outcome}` }, `${count}`, sign(outcome)))),
      h("span", { class: "shares", "aria-hidden": "true" }, tally.map(([outcome, count]) => {
        const share = h("i", { class: outcome });
        share.style.flexGrow = count;
        return share;
      }))));
    };
    return h("table", { role: "table", "aria-labelledby": "matrix-title" },
      h("thead", { role: "rowgroup" },
        h("tr", { role: "row" }, h("td", { role: "cell" }),
          [...kin].map(([name, own]) => h("th", { role: "columnheader", scope: "colgroup", colspan: own.length }, name))),
        h("tr", { role: "row" }, h("th", { role: "columnheader", scope: "col" }, "relay"),
          families.map((family) => h("th", { role: "columnheader", scope: "col", class: "part" }, family.split("/")[1]
            ?? (kin.get(family).length > 1 ? "any" : ""))))),
      h("tbody", { role: "rowgroup" }, relays.map((relay) => h("tr", { role: "row" },
        h("th", { role: "rowheader", scope: "row" }, foreign(relay), verdict(judged.get(relay)?.verdict ?? "incomplete")),
        families.map((family) => cell(relay, family))))));
  }

  function relayCard(name) {
    const relay = judged.get(name);
    const heading = h("h3", null, foreign(name), verdict(relay?.verdict ?? "incomplete"));
    if (!relay) return h("article", { class: "card" }, heading, h("p", null, "The run was cut short before this relay was judged to the end."));
    const fuzz = relay.fuzz;
    return h("article", { class: "card" }, heading,
      h("p", { class: "dim" }, foreign(relay.contract, { tag: "code" }), h("span", { class: "version" }, " version ", foreign(relay.version))),
      h("ul", { class: "features" }, relay.features.map((feature) => h("li", null,
        sign(feature.exercised ? "pass" : "not-exercised"), h("span", null, foreign(feature.name),
          feature.core && h("span", { class: "dim" }, " · core"),
          !feature.exercised && h("span", { class: "hint" }, feature.core ? "not exercised: " : "not exercised; ", foreign(feature.hint)))))),
      h("dl", { class: "facts" },
        fact("Requests", number(relay.requests)),
        fuzz ? [fact("Generated cases", number(fuzz.cases)), fact("Reached a 200", number(fuzz.reached_200)), fact("Seed", String(fuzz.seed)),
          fuzz.mode && fact("Mode", fuzz.mode)] : fact("Property-based phase", "did not run")),
      relay.stopped && h("p", { class: "reason" }, "Stopped: ", foreign(relay.stopped)));
  }

  function judgement(row) {
    const to = findingOf.has(row) ? link(`finding-${findingOf.get(row)}`, "see the finding") : null;
    return h("li", { class: row.outcome }, sign(row.outcome), h("span", null,
      h("code", null, foreign(row.check)), h("span", { class: "dim" }, ` ${named(row.outcome)} `), to,
      row.actual && h("span", { class: "hint" }, foreign(row.actual, { limit: 400 }))));
  }

  const rank = (row) => Object.keys(OUTCOMES).indexOf(row.outcome);

  function checkItem(group, index) {
    const [row] = group;
    const outcome = ended(group);
    return folded([sign(outcome), h("span", { class: "main" }, h("code", null, foreign(row.check)), h("span", { class: "dim" }, foreign(checks[row.check].sentence))),
      h("span", { class: "aside" }, h("span", { class: `word ${outcome}` }, named(outcome)), foreign(row.relay))],
    () => [
      checks[row.check].why && h("p", null, checks[row.check].why),
      h("ul", { class: "judgements" }, [...group].sort((a, b) => rank(a) - rank(b)).map((one) => {
        const exchange = exchanges.get(one.exchange);
        return h("li", { class: one.outcome }, sign(one.outcome), h("span", null,
          h("span", null, `${named(one.outcome)} `), exchange && link(`exchange-${exchange.number}`, asked(exchange)),
          one.actual && h("span", { class: "hint" }, foreign(one.actual, { limit: 400 }))));
      })),
    ], { class: "row", id: `check-${index}` });
  }

  function exchangeItem(exchange) {
    const own = byExchange.get(exchange.number) ?? [];
    const bad = counts(own.map((row) => [row])).filter(([outcome]) => ["fail", "error", "accepted"].includes(outcome));
    const status = exchange.status ?? "no answer";
    return folded([
      h("span", { class: `status s${String(status)[0]}` }, String(status)),
      h("span", { class: "main" }, h("span", { class: "asked" }, h("b", null, foreign(exchange.method)), " ", foreign(exchange.target, { limit: 160 })),
        h("span", { class: "dim" }, `#${exchange.number} `, foreign(exchange.relay), " · ", foreign(exchange.label || exchange.kind, { limit: 80 }),
          exchange.driver === "plan" ? "" : ` · ${exchange.driver}`, ` · ${number(exchange.elapsed_ms)} ms · ${size(exchange.body?.size ?? 0)}`)),
      h("span", { class: "aside" }, bad.map(([outcome, count]) => h("span", { class: `word ${outcome}` }, `${count} ${named(outcome)}`))),
    ], () => [
      exchange.failure && h("p", { class: "reason" }, foreign(exchange.failure)),
      h("div", { class: "two" },
        h("section", { "aria-label": "Request" }, h("h4", null, "Request"),
          h("pre", { tabindex: 0, "aria-label": "request line", dir: "ltr" }, foreign(`${exchange.method} ${exchange.target}`, { tag: "code" })),
          fields(exchange.request_headers, "Headers"), content(exchange.request_body, "Body")),
        h("section", { "aria-label": "Answer" }, h("h4", null, `Answer ${exchange.status ?? ""}`),
          exchange.status === null ? h("p", { class: "note" }, "No answer came.") : [fields(exchange.headers, "Headers"), content(exchange.body, "Body")])),
      command(exchange.curl, "the request as a curl command"),
      h("h4", null, "Judgements"),
      own.length ? h("ul", { class: "judgements" }, [...own].sort((a, b) => rank(a) - rank(b)).map(judgement)) : h("p", { class: "note" }, "None."),
    ], { class: "row", id: `exchange-${exchange.number}` });
  }

  const decoded = (target) => { try { return decodeURIComponent(target); } catch { return target; } };
  const spoken = (row) => [row.relay, row.check, row.level, row.expected, row.actual, row.clause, checks[row.check].sentence];
  const words = (exchange) => [
    exchange.relay, exchange.method, exchange.target, decoded(exchange.target), exchange.kind, exchange.label, exchange.task, exchange.status,
    ...(exchange.request_headers ?? []).flat().map(meant), ...(exchange.headers ?? []).flat().map(meant), exchange.request_body?.text, exchange.body?.text, exchange.failure,
  ];

  // ---- filters, kept in the fragment

  const form = $("filters");

  function fits(item) {
    const { relay, family, level, outcome, q } = state;
    if (relay && item.relay !== relay) return false;
    if ((family || level || outcome) && item.rows && !item.rows.some((row) => (!family || row.family === family)
      && (!level || row.level === level) && (!outcome || row.outcome === outcome))) return false;
    if (!q || !item.words) return true;
    item.text ??= item.words().flat().join("\n").toLowerCase();
    return item.text.includes(q.toLowerCase());
  }

  function apply() {
    for (const [name, list] of Object.entries(items)) {
      let count = 0;
      for (const item of list) {
        item.node.hidden = !fits(item);
        count += !item.node.hidden;
      }
      const section = $(name);
      const heading = section.querySelector("h2");
      heading.dataset.count = count === list.length ? number(count) : `${number(count)} of ${number(list.length)}`;
      let nothing = section.querySelector(".nothing");
      if (!nothing) section.append(nothing = h("p", { class: "nothing" }));
      nothing.textContent = list.length ? "Nothing here fits the filters." : name === "findings" ? "No findings." : "None.";
      nothing.hidden = count > 0;
      section.hidden = name === "accepted" && list.length === 0;
    }
    for (const cell of document.querySelectorAll(".cell")) {
      cell.setAttribute("aria-pressed", cell.dataset.relay === state.relay && cell.dataset.family === state.family);
    }
    const seen = (name) => items[name].filter((item) => !item.node.hidden).length;
    $("status").textContent = `${plural(seen("findings"), "finding")}, ${plural(seen("checks"), "check")}, ${plural(seen("exchanges"), "exchange")}`;
    form.querySelector("[type=reset]").disabled = Object.values(state).every((value) => !value);
  }

  function write(id, step) {
    const kept = Object.entries(state).filter(([, value]) => value);
    const fragment = "#" + new URLSearchParams(id ? [...kept, ["open", id]] : kept);
    try { history[step ? "pushState" : "replaceState"](null, "", fragment); } catch { /* a frame without a history */ }
  }

  function set(changes) {
    state = { ...state, ...changes };
    for (const name of Object.keys(NONE)) form.elements[name].value = state[name];
    apply();
    write();
  }

  function open(id) {
    const node = /^(finding|check|exchange)-\d+$/.test(id) ? $(id) : null;
    if (!node) return;
    node.hidden = false; // what is asked for by name is shown, whatever the filters say
    if (node.build) {
      node.build();
      node.open = true;
    }
    node.scrollIntoView({ block: "start" });
    (node.querySelector(":scope > summary") ?? node).focus({ preventScroll: true });
  }

  function restore() {
    const asked = new URLSearchParams(location.hash.slice(1));
    state = { ...NONE };
    for (const name of Object.keys(NONE)) {
      form.elements[name].value = asked.get(name) ?? "";
      state[name] = form.elements[name].value; // a word that is no option has become empty
    }
    apply();
    open(asked.get("open") ?? "");
  }

  function choices(name, values, all) {
    form.elements[name].append(h("option", { value: "" }, all), ...values.map(([value, text]) => h("option", { value }, cut(text, 80))));
  }

  // ---- the page

  const fact = (name, value) => value == null ? null : h("div", null, h("dt", null, name), h("dd", null, foreign(value)));
  const listed = (values) => values?.length ? values.join(", ") : null;

  function head() {
    const { header, footer } = run;
    const options = header.options ?? {};
    const heavy = findings.filter(([row]) => row.outcome !== "accepted");
    $("verdict").append(verdict(footer?.verdict ?? "incomplete"));
    if (!footer) {
      $("incomplete").hidden = false;
      $("incomplete").append(h("b", null, "Incomplete."), " The run was cut short: what is here is true of what was sent, and says nothing of the rest. Do not rely on it; run it again.");
    }
    const levels = LEVELS.map((level) => [level, heavy.filter(([row]) => row.level === level).length]).filter(([, count]) => count);
    $("summary").append(relays.length <= 4 ? [...relays].join(", ") || "no relay" : plural(relays.length, "relay"), ": ",
      heavy.length ? `${plural(heavy.length, "finding")} (${levels.map(([level, count]) => `${count} ${level.toUpperCase()}`).join(", ")})` : "no findings",
      `, ${plural(Object.keys(checks).length, "check")}, ${plural(run.exchanges.length, "exchange")}.`);
    const started = new Date(header.started);
    const took = footer ? (new Date(footer.finished) - started) / 1000 : NaN;
    $("facts").append(...[
      fact("Tool", header.tool),
      fact("Started", isNaN(started) ? header.started : started.toISOString().slice(0, 19).replace("T", " ") + " UTC"),
      isNaN(took) ? null : fact("Took", `${took.toFixed(1)} s`),
      fact("Mode", options.mode), fact("Profile", options.profile),
      options.fuzz === undefined ? null : fact("Property-based", options.fuzz ? "yes" : "no"),
      options.strict ? fact("Strict", "yes") : null,
      options.seed === undefined ? null : fact("Seed", String(options.seed)),
      fact("Checks", listed(options.checks)), fact("Left out", listed(options.excluded)), fact("Overlays", listed(options.overlays)),
      footer ? fact("Exit code", String(footer.exit_code)) : null,
    ].filter(Boolean));
    if (header.reproduce) $("reproduce").append(h("p", { class: "note" }, "Do it again"), command(header.reproduce, "the command that does it again"));
  }

  function theme() {
    const button = $("theme"), names = ["auto", "light", "dark"];
    const show = (name) => {
      document.documentElement.dataset.theme = name;
      button.textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[name];
      button.setAttribute("aria-label", `Colours: ${name}; change`);
    };
    let name = "auto";
    try { name = localStorage.getItem("mjrelay-theme") ?? name; } catch { /* no storage for a page from a file */ }
    show(names.includes(name) ? name : "auto");
    button.addEventListener("click", () => {
      const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
      show(next);
      try { localStorage.setItem("mjrelay-theme", next); } catch { /* likewise */ }
    });
  }

  head();
  theme();
  $("matrix").append(matrix());
  $("legend").append(...SHOWN.map((outcome) => h("li", null, sign(outcome), named(outcome))));
  findings.forEach((group, index) => add(group[0].outcome === "accepted" ? "accepted" : "findings", finding(group, index),
    { relay: group[0].relay, rows: group, words: () => group.map(spoken) }));
  for (const relay of relays) {
    add("relays", relayCard(relay), { relay });
    for (const line of baseline(relay, "gone")) {
      add("accepted", h("article", { class: "card fail" },
        h("h3", null, h("span", { class: "badge must" }, "GONE"), h("span", { class: "relay" }, foreign(relay)), h("code", null, foreign(line.check))),
        h("p", null, "The baseline accepts this finding, and it is gone: take the line out."),
        h("p", { class: "reason" }, "Accepted ", h("time", null, foreign(line.date)), ": ", foreign(line.reason))),
      { relay, rows: [{ ...line, family: checks[line.check]?.family }], words: () => [relay, line.check, line.reason] });
    }
  }
  [...byCheck.values()].sort((a, b) => relays.indexOf(a[0].relay) - relays.indexOf(b[0].relay) || order.get(a[0].check) - order.get(b[0].check))
    .forEach((group, index) => add("checks", checkItem(group, index),
      { relay: group[0].relay, rows: group.filter((row) => row.outcome === ended(group)), words: () => group.map(spoken) }));
  for (const exchange of run.exchanges) {
    const own = byExchange.get(exchange.number) ?? [];
    add("exchanges", exchangeItem(exchange), { relay: exchange.relay, rows: own, words: () => [words(exchange), own.map(spoken)] });
  }
  for (const [name, list] of Object.entries(items)) $(name).querySelector(".items").append(...list.map((item) => item.node));

  choices("relay", relays.map((name) => [name, name]), "all");
  choices("family", families.map((name) => [name, name]), "all");
  choices("level", LEVELS.map((name) => [name, name.toUpperCase()]), "all");
  choices("outcome", Object.entries(OUTCOMES).map(([name, [, text]]) => [name, text]), "all");
  let timer;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => set(Object.fromEntries(Object.keys(NONE).map((name) => [name, form.elements[name].value]))), 80);
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    set(NONE);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("findings").focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    event.preventDefault();
    form.elements.q.focus();
  });
  window.addEventListener("hashchange", restore);
  window.addEventListener("popstate", restore);
  $("page").hidden = false;
  restore();
})();
