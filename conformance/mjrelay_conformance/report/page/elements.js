// Elements and texts. Text from a relay enters the page only as text nodes: the page's policy forbids markup from scripts.

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

// Runs of the same invisible or reordering character.
const UNSEEN = /(?![\n\t])(?!\u200d\p{Extended_Pictographic})([\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}])\1*/gu;
const code = (character) => "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

function visible(text) {
  const fragment = document.createDocumentFragment();
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    const times = found[0].length / found[1].length;
    fragment.append(text.slice(from, found.index));
    fragment.append(h("span", { class: "unseen", title: "an invisible character" },
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

// Text from a relay, isolated so that it cannot reorder the text beside it, and cut if it is long.
function foreign(text, { tag = "span", className = "", limit = 1200, show = visible } = {}) {
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

// Indent JSON token by token: numbers, repeated names and order stay as sent.
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"?|[{}[\],:]|[^\s{}[\],:"]+/g;

function indented(text) {
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
    else fragment.append(tokenSpan(token, after === ":"));
  });
  return fragment;
}

function tokenSpan(token, isName) {
  if (!token.startsWith('"')) return h("span", { class: /^[-\d]/.test(token) ? "number" : "literal" }, visible(token));
  let readable = token;
  if (token.includes("\\u")) {
    try { readable = JSON.stringify(JSON.parse(token)); } catch { /* a truncated token */ }
  }
  return h("span", { class: isName ? "name" : "string", lang: language(readable) }, visible(readable));
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
    note.append(": not UTF-8, shown as base64");
    return [note, box(foreign(kept, { tag: "code", limit: 2000 }))];
  }
  const raw = () => foreign(kept, { tag: "code", limit: 8000 });
  if (!isJSON(kept)) return [note, box(raw())];
  const pretty = () => foreign(kept, { tag: "code", limit: 8000, show: indented });
  const pre = box(pretty());
  const toggle = h("button", { type: "button", class: "small", "aria-pressed": "false", click: () => {
    const pressed = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", pressed);
    pre.replaceChildren(pressed ? raw() : pretty());
  } }, "as sent");
  note.append(" ", toggle);
  return [note, pre];
}

// HTTP header fields are read as Latin-1, but often contain UTF-8.
function asUTF8(text) {
  if (!/^[\x00-\xff]*[\x80-\xff][\x00-\xff]*$/.test(text)) return text;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(text, (one) => one.charCodeAt(0)));
  } catch { return text; }
}

function fields(pairs, label) {
  if (!pairs?.length) return h("p", { class: "note" }, `${label}: none`);
  return h("dl", { class: "headers", "aria-label": label }, pairs.map(([name, value]) =>
    h("div", null, h("dt", null, foreign(asUTF8(name), { limit: 200 })), h("dd", null, foreign(asUTF8(value), { limit: 400 })))));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page from a file may have no clipboard
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
const outcomeName = (outcome) => OUTCOMES[outcome]?.[1] ?? outcome;
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
