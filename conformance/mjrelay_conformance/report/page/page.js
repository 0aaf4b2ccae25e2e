// Filters, kept in the URL fragment, and the assembly of the page.

const form = $("filters");

function fits(item) {
  const { relay, family, level, outcome, q } = state;
  if (relay && item.relay !== relay) return false;
  if ((family || level || outcome) && item.rows && !item.rows.some((row) => (!family || row.family === family)
    && (!level || row.level === level) && (!outcome || row.outcome === outcome))) return false;
  if (!q || !item.text) return true;
  item.searchText ??= item.text().flat().join("\n").toLowerCase();
  return item.searchText.includes(q.toLowerCase());
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
    nothing.textContent = list.length ? "Nothing matches the filters." : name === "findings" ? "No findings." : "None.";
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
  try { history[step ? "pushState" : "replaceState"](null, "", fragment); } catch { /* a frame without history */ }
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
  node.hidden = false; // a linked item is shown even if the filters exclude it
  if (node.build) {
    node.build();
    node.open = true;
  }
  node.scrollIntoView({ block: "start" });
  (node.querySelector(":scope > summary") ?? node).focus({ preventScroll: true });
}

function restore() {
  const given = new URLSearchParams(location.hash.slice(1));
  state = { ...NONE };
  for (const name of Object.keys(NONE)) {
    form.elements[name].value = given.get(name) ?? "";
    state[name] = form.elements[name].value; // a value that is not an option becomes empty
  }
  apply();
  open(given.get("open") ?? "");
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
  const counted = findings.filter(([row]) => row.outcome !== "accepted");
  $("verdict").append(verdict(footer?.verdict ?? "incomplete"));
  if (!footer) {
    $("incomplete").hidden = false;
    $("incomplete").append(h("b", null, "Incomplete."), " The run was cut short: checks are missing, and there is no verdict. Run it again.");
  }
  const levels = [...LEVELS, "error"].map((label) => [label, counted.filter(([row]) => labelOf(row) === label).length]).filter(([, count]) => count);
  const sent = run.relays.reduce((sum, relay) => sum + relay.requests, 0);
  $("summary").append(relays.length <= 4 ? [...relays].join(", ") || "no relay" : plural(relays.length, "relay"), ": ",
    counted.length ? `${plural(counted.length, "finding")} (${levels.map(([level, count]) => `${count} ${level.toUpperCase()}`).join(", ")})` : "no findings",
    `, ${plural(byCheck.size, "check")}, ${sent ? `${plural(sent, "request")} sent, ` : ""}${plural(run.exchanges.length, "exchange")} recorded.`,
    sent > run.exchanges.length ? " Generated requests are recorded only if they add a finding." : "");
  const started = new Date(header.started);
  const took = footer ? (new Date(footer.finished) - started) / 1000 : NaN;
  $("facts").append(...[
    relays.length === 1 ? fact("Target", target(relays[0])) : null,
    fact("Tool", header.tool),
    fact("Started", isNaN(started) ? header.started : started.toISOString().slice(0, 19).replace("T", " ") + " UTC"),
    isNaN(took) ? null : fact("Took", `${took.toFixed(1)} s`),
    fact("Mode", options.mode), fact("Profile", options.profile),
    options.fuzz === undefined ? null : fact("Property-based", options.fuzz ? "yes" : "no"),
    options.strict ? fact("Strict", "yes") : null,
    options.seed == null ? null : fact("Seed", String(options.seed)),
    fact("Checks", listed(options.checks)), fact("Excluded", listed(options.excluded)), fact("Overlays", listed(options.overlays)),
    footer ? fact("Exit code", String(footer.exit_code)) : null,
  ].filter(Boolean));
  if (header.reproduce) $("reproduce").append(h("p", { class: "note" }, "Reproduce"), command(header.reproduce, "the command that reproduces this run"));
}

function theme() {
  const button = $("theme"), names = ["auto", "light", "dark"];
  const show = (name) => {
    document.documentElement.dataset.theme = name;
    button.textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[name];
    button.setAttribute("aria-label", `Colours: ${name}; change`);
  };
  let name = "auto";
  try { name = localStorage.getItem("mjrelay-theme") ?? name; } catch { /* a page from a file may have no storage */ }
  show(names.includes(name) ? name : "auto");
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    show(next);
    try { localStorage.setItem("mjrelay-theme", next); } catch { /* see above */ }
  });
}

head();
theme();
$("matrix").append(matrix());
$("legend").append(...SHOWN.map((outcome) => h("li", null, sign(outcome), outcomeName(outcome))));
findings.forEach((group, index) => add(group[0].outcome === "accepted" ? "accepted" : "findings", finding(group, index),
  { relay: group[0].relay, rows: group, text: () => group.map(rowText) }));
for (const relay of relays) {
  add("relays", relayCard(relay), { relay });
  for (const line of baseline(relay, "gone")) {
    add("accepted", h("article", { class: "card fail" },
      h("h3", null, h("span", { class: "badge must" }, "PASSES"), h("span", { class: "relay" }, foreign(relay)), h("code", null, foreign(line.check))),
      h("p", null, "The check passes: remove the line from the baseline."),
      h("p", { class: "reason" }, "Accepted ", h("time", null, foreign(line.date)), ": ", foreign(line.reason))),
    { relay, rows: [{ ...line, family: checks[line.check]?.family }], text: () => [relay, line.check, line.reason] });
  }
}
[...byCheck.values()].sort((a, b) => relays.indexOf(a[0].relay) - relays.indexOf(b[0].relay) || order.get(a[0].check) - order.get(b[0].check))
  .forEach((group, index) => add("checks", checkItem(group, index),
    { relay: group[0].relay, rows: group.filter((row) => row.outcome === finalOutcome(group)), text: () => group.map(rowText) }));
for (const exchange of run.exchanges) {
  const own = byExchange.get(exchange.number) ?? [];
  add("exchanges", exchangeItem(exchange), { relay: exchange.relay, rows: own, text: () => [exchangeText(exchange), own.map(rowText)] });
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
