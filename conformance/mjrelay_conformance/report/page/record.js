// The record as data: constants, and rows grouped by check, by exchange and by finding.

const { run, checks } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

const LEVELS = ["must", "should", "info"];
const OUTCOMES = {
  fail: ["✕", "failed"],
  error: ["!", "check crashed"],
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
const DRIVERS = { fuzz: "by the property-based phase", replay: "in recorded traffic" };

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
const judgedRelays = new Map(run.relays.map((relay) => [relay.relay, relay]));
const relays = unique([...Object.keys(run.header.targets ?? {}), ...judgedRelays.keys(), ...run.rows.map((row) => row.relay), ...run.exchanges.map((one) => one.relay)]);
const familyGroups = grouped(unique(Object.values(checks).map((check) => check.family)), (family) => family.split("/")[0]);
const families = [...familyGroups.values()].flat();
const order = new Map(Object.keys(checks).map((id, index) => [id, index]));
const exchanges = new Map(run.exchanges.map((exchange) => [exchange.number, exchange]));
// The URL of an embedded mock means nothing to readers.
const target = (relay) => run.header.options?.mode === "mock" ? null : run.header.targets?.[relay]?.url;
const baseline = (relay, part) => judgedRelays.get(relay)?.baseline?.[part] ?? [];
const rows = run.rows.map((row) => ({
  ...row,
  family: checks[row.check].family,
  outcome: row.outcome === "fail" && baseline(row.relay, "accepted").some((line) => line.check === row.check) ? "accepted" : row.outcome,
}));

const byExchange = grouped(rows, (row) => row.exchange);
const byCheck = grouped(rows, (row) => JSON.stringify([row.relay, row.check]));
const bySeverity = (a, b) => LEVELS.indexOf(a[0].level) - LEVELS.indexOf(b[0].level)
  || relays.indexOf(a[0].relay) - relays.indexOf(b[0].relay) || order.get(a[0].check) - order.get(b[0].check);
const findings = [...grouped(rows.filter((row) => ["fail", "error", "accepted"].includes(row.outcome)),
  (row) => JSON.stringify([row.relay, row.check, row.level, row.outcome])).values()].sort(bySeverity);
const findingOf = new Map(findings.flatMap((group, index) => group.map((row) => [row, index])));
const labelOf = (row) => row.outcome === "error" ? "error" : row.level;
// The outcome of one check for one relay.
const finalOutcome = (group) => SHOWN.find((outcome) => group.some((row) => row.outcome === outcome)) ?? "not-exercised";
