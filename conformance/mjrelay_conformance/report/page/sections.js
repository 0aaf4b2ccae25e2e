// The sections of the page. An item of a section has a node, the rows that filters match, and its text for the search.

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

const requestLine = (exchange) => [`#${exchange.number} `, foreign(`${exchange.method} ${exchange.target}`, { limit: 120 })];

function evidence(group, row) {
  const same = group.filter((other) => other.expected === row.expected && other.actual === row.actual && other.clause === row.clause);
  const [file, pointer] = (row.clause ?? "").split(/#(.*)/s);
  const where = same.map((one) => exchanges.get(one.exchange)).filter(Boolean);
  return h("dl", { class: "evidence" },
    row.expected && [h("dt", null, "expected"), h("dd", null, foreign(row.expected))],
    row.actual && [h("dt", null, "received"), h("dd", { class: "received" }, foreign(row.actual))],
    file && [h("dt", null, "clause"), h("dd", null, foreign(file, { tag: "code" }), pointer && h("span", { class: "pointer" }, foreign(pointer)),
      row.quote && h("pre", { class: "quote", tabindex: 0, "aria-label": "text of the clause", dir: "ltr" }, foreign(row.quote, { tag: "code" })))],
    where.length > 0 && [h("dt", null, "request"), h("dd", null, where.slice(0, 3).map((exchange) =>
      h("div", null, link(`exchange-${exchange.number}`, requestLine(exchange)), h("span", { class: "dim" }, ` ${exchange.label || exchange.kind}`))),
      where.length > 3 && h("div", { class: "dim" }, `and ${where.length - 3} more`))]);
}

function finding(group, index) {
  const [row] = group;
  const check = checks[row.check];
  const drivers = unique(group.map((one) => exchanges.get(one.exchange)?.driver)).map((name) => DRIVERS[name]);
  const variants = [...grouped(group, (one) => JSON.stringify([one.expected, one.actual, one.clause])).values()].map(([one]) => one);
  const reasons = row.outcome === "accepted" ? baseline(row.relay, "accepted").filter((line) => line.check === row.check) : [];
  return h("article", { class: `card ${row.outcome}`, id: `finding-${index}`, tabindex: -1, "aria-label": `${row.level} ${row.relay} ${row.check}` },
    h("h3", null, badge(labelOf(row)), h("span", { class: "relay" }, foreign(row.relay)),
      h("code", null, foreign(row.check))),
    h("p", { class: "sentence" }, check.sentence),
    reasons.map((line) => h("p", { class: "reason" }, "Accepted ", h("time", null, foreign(line.date)), ": ", foreign(line.reason))),
    row.outcome === "error" && h("p", { class: "reason" }, "The check crashed: this is an error of the suite, not of the relay."),
    evidence(group, row),
    variants.length > 1 && folded(`${plural(variants.length - 1, "more response")} of this kind`,
      () => variants.slice(1).map((one) => evidence(group, one))),
    check.why && folded("Why it matters", () => h("p", null, check.why)),
    command(exchanges.get(row.exchange)?.curl, "the request as a curl command"),
    drivers.length > 0 && drivers.every(Boolean) && h("p", { class: "note" }, `Found ${drivers.join(" and ")}.`));
}

function counts(list) {
  const tally = {};
  for (const group of list) tally[finalOutcome(group)] = (tally[finalOutcome(group)] ?? 0) + 1;
  return SHOWN.filter((outcome) => tally[outcome]).map((outcome) => [outcome, tally[outcome]]);
}

function matrix() {
  const cell = (relay, family) => {
    const groups = [...byCheck.values()].filter(([row]) => row.relay === relay && row.family === family);
    const tally = counts(groups);
    if (!tally.length) return h("td", { role: "cell", class: "void" }, "–");
    const summary = tally.map(([outcome, count]) => `${count} ${outcomeName(outcome)}`).join(", ");
    return h("td", { role: "cell" }, h("button", {
      type: "button", class: `cell ${tally[0][0]}`, "aria-pressed": "false", "aria-label": `${relay}, ${family}: ${summary}`, title: summary,
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
        [...familyGroups].map(([name, own]) => h("th", { role: "columnheader", scope: "colgroup", colspan: own.length }, name))),
      h("tr", { role: "row" }, h("th", { role: "columnheader", scope: "col" }, "relay"),
        families.map((family) => h("th", { role: "columnheader", scope: "col", class: "part" }, family.split("/")[1]
          ?? (familyGroups.get(family).length > 1 ? "any" : ""))))),
    h("tbody", { role: "rowgroup" }, relays.map((relay) => h("tr", { role: "row" },
      h("th", { role: "rowheader", scope: "row" }, foreign(relay), target(relay) && h("span", { class: "target" }, foreign(target(relay).replace(/^https?:\/\//, ""))), verdict(judgedRelays.get(relay)?.verdict ?? "incomplete")),
      families.map((family) => cell(relay, family))))));
}

function relayCard(name) {
  const relay = judgedRelays.get(name);
  const heading = h("h3", null, foreign(name), verdict(relay?.verdict ?? "incomplete"));
  if (!relay) return h("article", { class: "card" }, heading, target(name) && h("p", null, foreign(target(name), { tag: "code" })), h("p", null, "The run was cut short before this relay was judged."));
  const fuzz = relay.fuzz;
  return h("article", { class: "card" }, heading,
    target(name) && h("p", null, foreign(target(name), { tag: "code" })),
    h("p", { class: "dim" }, foreign(relay.contract, { tag: "code" }), h("span", { class: "version" }, " version ", foreign(relay.version))),
    h("ul", { class: "features" }, relay.features.map((feature) => h("li", null,
      sign(feature.exercised ? "pass" : "not-exercised"), h("span", null, foreign(feature.name),
        feature.core && h("span", { class: "dim" }, " · core"),
        !feature.exercised && h("span", { class: "hint" }, feature.core ? "not exercised: " : "not exercised; ", foreign(feature.hint)))))),
    h("dl", { class: "facts" },
      fact("Requests sent", number(relay.requests)),
      fact("Exchanges recorded", number(run.exchanges.filter((one) => one.relay === name).length)),
      fuzz ? [fact("Generated cases", number(fuzz.cases)), fact("Reached a 200", number(fuzz.reached_200)), fact("Seed", String(fuzz.seed)),
        fuzz.mode && fact("Mode", fuzz.mode)] : fact("Property-based phase", "did not run")),
    relay.stopped && h("p", { class: "reason" }, "Stopped: ", foreign(relay.stopped)));
}

function outcomeItem(row) {
  const to = findingOf.has(row) ? link(`finding-${findingOf.get(row)}`, "see the finding") : null;
  return h("li", { class: row.outcome }, sign(row.outcome), h("span", null,
    h("code", null, foreign(row.check)), h("span", { class: "dim" }, ` ${outcomeName(row.outcome)} `), to,
    row.actual && h("span", { class: "hint" }, foreign(row.actual, { limit: 400 }))));
}

const rank = (row) => Object.keys(OUTCOMES).indexOf(row.outcome);

function checkItem(group, index) {
  const [row] = group;
  const outcome = finalOutcome(group);
  return folded([sign(outcome), h("span", { class: "main" }, h("code", null, foreign(row.check)), h("span", { class: "dim" }, foreign(checks[row.check].sentence))),
    h("span", { class: "aside" }, h("span", { class: `outcome ${outcome}` }, outcomeName(outcome)), foreign(row.relay))],
  () => [
    checks[row.check].why && h("p", null, checks[row.check].why),
    h("ul", { class: "outcomes" }, [...group].sort((a, b) => rank(a) - rank(b)).map((one) => {
      const exchange = exchanges.get(one.exchange);
      return h("li", { class: one.outcome }, sign(one.outcome), h("span", null,
        h("span", null, `${outcomeName(one.outcome)} `), exchange && link(`exchange-${exchange.number}`, requestLine(exchange)),
        one.actual && h("span", { class: "hint" }, foreign(one.actual, { limit: 400 }))));
    })),
  ], { class: "row", id: `check-${index}` });
}

function exchangeItem(exchange) {
  const own = byExchange.get(exchange.number) ?? [];
  const bad = counts(own.map((row) => [row])).filter(([outcome]) => ["fail", "error", "accepted"].includes(outcome));
  const status = exchange.status ?? "no response";
  return folded([
    h("span", { class: `status s${String(status)[0]}` }, String(status)),
    h("span", { class: "main" }, h("span", { class: "request" }, h("b", null, foreign(exchange.method)), " ", foreign(exchange.target, { limit: 160 })),
      h("span", { class: "dim" }, `#${exchange.number} `, foreign(exchange.relay), " · ", foreign(exchange.label || exchange.kind, { limit: 80 }),
        exchange.driver === "plan" ? "" : ` · ${exchange.driver}`, ` · ${number(exchange.elapsed_ms)} ms · ${size(exchange.body?.size ?? 0)}`)),
    h("span", { class: "aside" }, bad.map(([outcome, count]) => h("span", { class: `outcome ${outcome}` }, `${count} ${outcomeName(outcome)}`))),
  ], () => [
    exchange.failure && h("p", { class: "reason" }, foreign(exchange.failure)),
    h("div", { class: "two" },
      h("section", { "aria-label": "Request" }, h("h4", null, "Request"),
        h("pre", { tabindex: 0, "aria-label": "request line", dir: "ltr" }, foreign(`${exchange.method} ${exchange.target}`, { tag: "code" })),
        fields(exchange.request_headers, "Headers"), content(exchange.request_body, "Body")),
      h("section", { "aria-label": "Response" }, h("h4", null, `Response ${exchange.status ?? ""}`),
        exchange.status === null ? h("p", { class: "note" }, "No response.") : [fields(exchange.headers, "Headers"), content(exchange.body, "Body")])),
    command(exchange.curl, "the request as a curl command"),
    h("h4", null, "Outcomes"),
    own.length ? h("ul", { class: "outcomes" }, [...own].sort((a, b) => rank(a) - rank(b)).map(outcomeItem)) : h("p", { class: "note" }, "None."),
  ], { class: "row", id: `exchange-${exchange.number}` });
}

const decoded = (target) => { try { return decodeURIComponent(target); } catch { return target; } };
const rowText = (row) => [row.relay, row.check, row.level, row.expected, row.actual, row.clause, row.quote, checks[row.check].sentence];
const exchangeText = (exchange) => [
  exchange.relay, exchange.method, exchange.target, decoded(exchange.target), exchange.kind, exchange.label, exchange.task, exchange.status,
  ...(exchange.request_headers ?? []).flat().map(asUTF8), ...(exchange.headers ?? []).flat().map(asUTF8), exchange.request_body?.text, exchange.body?.text, exchange.failure,
];
