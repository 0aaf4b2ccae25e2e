"""The HTML report in a browser: contents, filters, accessibility, and hostile text."""

from __future__ import annotations

import json
import os
import re
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import records
from attrs import define, field
from mjrelay_conformance.checks.registry import select_checks
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.runner import Judge, Runner
from mjrelay_conformance.drivers.selftest import Direct
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.report import index
from mjrelay_conformance.report.html import render
from mjrelay_conformance.report.merging import merge

from mjrelay.contract.loading import load_contract
from mjrelay.http.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page


KEY = "the-key-of-the-mock"
FAULTY = ("zhongzhuan", "seconds-not-ms", "wrong-auth-accepted")
SOUND = ("apiai",)
PICTURE = "<img src=x onerror='window.harmed=1;alert(1)'>"
SCRIPT = "</script><script>window.harmed=1;alert(2)</script><!--<script>"
ADDRESS = "javascript:alert(window.harmed=3)"


@cache
def _recorded(relay: str, *faults: str) -> str:
    mock = MockRelay(load_contract(relay), key=KEY, faults=faults)
    options = {"mode": "mock", "profile": "read", "fuzz": False, "strict": False, "seed": 0}
    options |= {"checks": [], "excluded": [], "overlays": []}
    record = Record(None, Redactor(KEY), options, f"mjrelay conform {relay} --profile read --no-fuzz")
    known = [KnownTask(id_, state) for state, id_ in mock.known.items()]
    steps = plan(load_contract(relay), known, KEY)
    verdict = Runner(Direct(mock), Judge(load_contract(relay), record, select_checks(()), (KEY,))).run(steps)
    record.close([verdict])
    return json.dumps(record.document())


def recorded(*runs: tuple[str, ...]) -> dict[str, Any]:
    """One record of several mock relays with faults."""
    return merge([json.loads(_recorded(*run)) for run in runs or (FAULTY, SOUND)])


@define
class Opened:
    """A page, with its console messages and its requests."""

    page: Page
    messages: list[str] = field(factory=list)
    requests: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        def on_dialog(dialog: Any) -> None:
            self.messages.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        def on_console(message: ConsoleMessage) -> None:
            self.messages.append(message.text)

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", on_dialog)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def shown(self, section: str) -> Locator:
        """The visible items of a section."""
        return self.page.locator(f"#{section} .items > :not([hidden])")

    def choose(self, name: str, value: str) -> None:
        """Set a filter, and wait until it is applied."""
        control = self.page.locator(f"#filters [name={name}]")
        control.fill(value) if name == "q" else control.select_option(value)
        self.page.wait_for_function(
            "([name, value]) => (new URLSearchParams(location.hash.slice(1)).get(name) ?? '') === value",
            arg=[name, value],
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once. If it is missing, the tests skip, or fail with MJRELAY_REQUIRE_BROWSER."""
    executable = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it may be missing
    except ImportError:
        executable = None
    if executable is None:
        missing = "the HTML report is tested with Chromium and Playwright; one of them is not installed"
        if os.environ.get("MJRELAY_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as driver:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        started = driver.chromium.launch(
            executable_path=executable, args=["--no-sandbox"] if root else [], timeout=30_000
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def common(browser: Browser) -> BrowserContext:
    """The browser context of pages without special settings."""
    return browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")


@pytest.fixture
def opened(browser: Browser, common: BrowserContext, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Open the page of a record; afterwards, fail if it sent requests, printed errors or ran hostile code."""
    file = tmp_path / "report.html"
    pages: list[Opened] = []

    def opening(document: dict[str, Any] | None = None, fragment: str = "", **context: Any) -> Opened:
        file.write_text(render(document or recorded()), encoding="utf-8")
        pages.append(Opened((browser.new_context(**context) if context else common).new_page()))
        pages[-1].page.goto(f"{file.as_uri()}{fragment}")
        return pages[-1]

    yield opening
    for one in pages:
        assert one.messages == []
        assert {url.partition("#")[0] for url in one.requests} == {file.as_uri()}
        assert one.page.evaluate("window.harmed") is None
        one.page.close()


def checks(document: dict[str, Any], outcome: str, relay: str) -> set[str]:
    """The checks with a row of an outcome."""
    return {row["check"] for row in document["rows"] if (row["outcome"], row["relay"]) == (outcome, relay)}


def test_findings_come_first_with_evidence(opened: Callable[..., Opened]) -> None:
    """A finding has expected and received values, the clause with its text, and a command."""
    document = recorded()
    view = opened(document)
    assert view.page.locator("#verdict").inner_text().endswith("Non-conformant")
    assert view.shown("findings").count() == len(checks(document, "fail", "zhongzhuan"))
    card = view.shown("findings").filter(has_text="fetch/200/times").first
    row = next(
        row for row in document["rows"] if row["check"] == "fetch/200/times" and row["outcome"] == "fail"
    )
    content = card.inner_text()
    for text in (
        row["expected"],
        row["actual"],
        row["clause"].partition("#")[0],
        row["quote"],
        "MUST",
    ):
        assert text in content
    assert "Found" not in content
    assert "${MJRELAY_BASE_URL}" in content
    headings = view.page.locator("h2").all_inner_texts()
    assert headings.index("Findings") < headings.index("Checks") < headings.index("Exchanges")


def test_the_page_names_the_judged_relay(opened: Callable[..., Opened]) -> None:
    """The page has the URL of each target, and requests that were not recorded are counted."""
    document = recorded()
    document["header"]["options"]["mode"] = "live"
    document["header"]["targets"] = {
        "zhongzhuan": {"relay": "zhongzhuan", "url": "https://vendor.test/api"},
        "apiai": {"relay": "apiai", "url": ADDRESS},
    }
    document["relays"][0]["requests"] = 1000
    view = opened(document)
    assert "vendor.test/api" in view.page.get_by_role("row", name="zhongzhuan").inner_text()
    assert "https://vendor.test/api" in view.page.locator("#relays").inner_text()
    summary = view.page.locator("#summary").inner_text()
    assert re.search(rf"1,\d+ requests sent, {len(document['exchanges'])} exchanges recorded", summary)


def test_the_index_fits_a_phone(browser: Browser, tmp_path: Path) -> None:
    """Nothing is wider than the screen, and each value has the name of its column."""
    for number in range(3):
        run = records.record(records.row(**records.FAILS), started=f"2026-01-0{number + 1}T00:00:00Z")
        records.write(tmp_path / f"{number}/results.json", run)
    file = tmp_path / "index.html"
    file.write_text(index.render(index.collect(tmp_path)), encoding="utf-8")
    page = browser.new_context(viewport={"width": 360, "height": 700}).new_page()
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    name = "getComputedStyle(document.querySelector('[data-name=must]'), '::before').content"
    assert "must" in page.evaluate(name)
    page.close()


def test_findings_name_their_source(opened: Callable[..., Opened]) -> None:
    """A finding of the property-based phase or of recorded traffic is marked."""
    document = recorded()
    for row in document["rows"]:
        if row["outcome"] == "fail":
            driver = "fuzz" if row["check"] == "fetch/200/times" else "replay"
            document["exchanges"][row["exchange"] - 1]["driver"] = driver
    view = opened(document)
    assert (
        "the property-based phase" in view.shown("findings").filter(has_text="fetch/200/times").inner_text()
    )
    assert "recorded traffic" in view.shown("findings").filter(has_text="auth/wrong/refused").inner_text()


def test_accepted_findings_are_separate(opened: Callable[..., Opened]) -> None:
    """Accepted findings have date and reason; a line whose check passes is listed too."""
    document = recorded()
    line = {"check": "fetch/200/times", "reason": "known since the move", "date": "2026-01-02"}
    gone = {"check": "fetch/200/json", "reason": "was broken", "date": "2025-01-02"}
    document["relays"][0]["baseline"] = {"accepted": [line], "gone": [gone]}
    view = opened(document)
    assert view.shown("findings").filter(has_text="fetch/200/times").count() == 0
    content = view.page.locator("#accepted").inner_text()
    for text in (*line.values(), *gone.values(), "PASSES"):
        assert text in content
    assert view.page.locator("#relays [hidden]").count() == 1  # the line about no relays


def test_filters(opened: Callable[..., Opened]) -> None:
    """A filter hides other checks and exchanges; Clear shows all again."""
    document = recorded()
    view = opened(document)
    every = len({(row["relay"], row["check"]) for row in document["rows"]})
    filters = {
        "relay": "apiai",
        "level": "should",
        "outcome": "blocked",
        "family": "sequence",
        "q": "one JSON text",
    }
    for name, value in filters.items():
        assert view.shown("checks").count() == every
        view.choose(name, value)
        left = view.shown("checks").all_inner_texts()
        assert 0 < len(left) < every
        assert all(
            {"family": "sequence/", "level": "", "q": "JSON text"}.get(name, value) in text for text in left
        )
        if name == "relay":
            numbers = [one["number"] for one in document["exchanges"] if one["relay"] == "apiai"]
            assert view.shown("exchanges").count() == len(numbers)
        view.page.get_by_role("button", name="Clear").click()
    view.choose("relay", "apiai")
    view.choose("outcome", "fail")
    assert view.shown("findings").count() == 0
    assert "matches the filters" in view.page.locator("#findings").inner_text()


def test_a_cell_of_the_matrix_filters(opened: Callable[..., Opened]) -> None:
    """A cell has a label with counts; a click filters by it, a second click shows all."""
    view = opened()
    cell = view.page.locator(".cell[data-relay=zhongzhuan][data-family='fetch/200']")
    label = cell.get_attribute("aria-label") or ""
    assert re.match(r"zhongzhuan, fetch/200: 1 failed, \d+ passed", label)
    cell.click()
    assert cell.get_attribute("aria-pressed") == "true"
    assert view.page.locator("#filters [name=relay]").input_value() == "zhongzhuan"
    left = view.shown("checks").all_inner_texts()
    assert left
    assert all("fetch/200/" in text and "zhongzhuan" in text for text in left)
    cell.click()
    assert view.page.locator("#filters [name=family]").input_value() == ""


def test_an_exchange_opens(opened: Callable[..., Opened]) -> None:
    """An exchange is built when it opens: request, response, indented body and outcomes."""
    document = recorded()
    exchange = document["exchanges"][0]
    view = opened(document)
    item = view.page.locator("#exchange-1")
    assert item.locator(".inside").count() == 0
    item.locator("summary").click()
    content = item.locator(".inside").inner_text()
    for text in (
        f"GET {exchange['target']}",
        "content-type",
        f'"id": "{exchange["task"]}"',
        "fetch/200/json",
    ):
        assert text in content
    task = json.loads(exchange["body"]["text"])
    body = item.get_by_role("region", name="Response").locator("pre")
    assert json.loads(body.inner_text()) == task
    item.get_by_role("region", name="Response").get_by_role("button", name="as sent").click()
    assert body.inner_text() == exchange["body"]["text"]


def test_findings_and_exchanges_link_to_each_other(opened: Callable[..., Opened]) -> None:
    """Links lead from a finding to its exchange and back; the Back button works, and filters stay."""
    view = opened()
    view.choose("outcome", "fail")
    card = view.shown("findings").filter(has_text="fetch/200/times").first
    card.get_by_role("link").first.click()
    item = view.page.locator("details[open]:focus-within")
    assert item.get_attribute("id") == "exchange-1"
    item.get_by_role("link", name="see the finding").first.click()
    assert view.page.evaluate("document.activeElement.id") == card.get_attribute("id")
    view.page.go_back()
    view.page.wait_for_function("location.hash.includes('open=exchange-1')")
    assert view.page.locator("#filters [name=outcome]").input_value() == "fail"


def test_the_fragment_restores_the_filters(opened: Callable[..., Opened]) -> None:
    """The URL fragment keeps filters and the open exchange; invalid values are ignored."""
    view = opened(fragment="#relay=apiai&level=must&q=json&outcome=%3Cb%3E&open=exchange-2")
    values = [view.page.locator(f"#filters [name={name}]").input_value() for name in ("relay", "level", "q")]
    assert values == ["apiai", "must", "json"]
    assert view.page.locator("#filters [name=outcome]").input_value() == ""
    assert all("apiai" in text for text in view.shown("checks").all_inner_texts())
    assert view.page.locator("#exchange-2").get_attribute("open") is not None


def test_the_keyboard_reaches_everything(opened: Callable[..., Opened]) -> None:
    """A slash focuses the text filter, Enter opens an exchange, and every control has a name."""
    view = opened()
    view.page.keyboard.press("/")
    assert view.page.evaluate("document.activeElement.name") == "q"
    view.page.locator("#checks summary").last.focus()
    view.page.keyboard.press("Tab")
    view.page.keyboard.press("Enter")
    assert view.page.locator("#exchange-1").get_attribute("open") is not None
    nameless = view.page.evaluate(
        "[...document.querySelectorAll('button,a,summary,select,input')].filter(one => "
        "!(one.ariaLabel || one.textContent.trim() || one.closest('label'))).length"
    )
    assert nameless == 0


def test_an_incomplete_run_is_marked(opened: Callable[..., Opened]) -> None:
    """Without a footer there is a banner and no verdict; a relay that was not judged is listed."""
    document = recorded()
    document["footer"] = None
    document["relays"].pop()
    view = opened(document)
    assert "cut short" in view.page.get_by_role("alert").inner_text()
    assert "Incomplete" in view.page.locator("#verdict").inner_text()
    assert "Incomplete" in view.page.get_by_role("row", name="apiai").inner_text()
    assert opened().page.get_by_role("alert").count() == 0


def test_an_empty_record(opened: Callable[..., Opened]) -> None:
    """A run that was killed before its first exchange has a page."""
    document = recorded() | {"relays": [], "rows": [], "exchanges": [], "footer": None}
    assert "no findings" in opened(document).page.locator("#summary").inner_text()


def test_hostile_text_is_only_shown(opened: Callable[..., Opened]) -> None:
    """Markup, URLs, megabytes and invisible characters in every place are shown as text."""
    document = recorded()
    hostile = f"{PICTURE}{SCRIPT}{ADDRESS}\u2028\u2029\u202eevil\u202c\x00\x1b[31m\ud800 {{{{script}}}}"
    prompt = json.dumps({"prompt": hostile, ADDRESS: PICTURE, "n": 12345678901234567890}, ensure_ascii=False)
    mega = "x" * 1_000_000
    for exchange in document["exchanges"]:
        for name in ("task", "target", "label", "method", "curl", "kind"):
            exchange[name] = hostile
        exchange["headers"] = [[hostile, hostile], ["Location", ADDRESS]]
        exchange["body"] |= {"size": len(prompt), "text": prompt}
    document["exchanges"][0]["headers"].append(["Long", mega])
    document["exchanges"][1]["body"] |= {"text": json.dumps([mega])}
    document["exchanges"][2]["body"] |= {"text": "[" * 60_000 + "]" * 60_000}
    for row in document["rows"]:
        row |= {"expected": hostile, "actual": hostile, "clause": hostile}
    document["rows"][0] |= {"outcome": "fail", "actual": hostile + mega}
    document["relays"][0] |= {"relay": hostile, "contract": hostile, "version": hostile}
    document["header"]["reproduce"] = document["header"]["tool"] = hostile
    view = opened(document)
    for number in (1, 2, 3):
        view.page.locator(f"#exchange-{number} > summary").click()
    content = view.page.locator("#exchange-1 .inside").inner_text()
    for text in (PICTURE, SCRIPT, "U+2028", "U+202E", "U+0000", "U+001B", "U+D800", "12345678901234567890"):
        assert text in content
    long = view.page.locator("#exchange-2").get_by_role("button", name="show all (1,000,004 characters)")
    long.click()
    response = view.page.locator("#exchange-2").get_by_role("region", name="Response")
    assert response.inner_text().count(mega) == 1
    view.choose("q", "onerror")
    made = view.page.evaluate(
        "[document.images.length, document.scripts.length, "
        "[...document.querySelectorAll('[href],[src]')].filter(one => "
        "!/^(#|data:image)/.test(one.getAttribute('href') ?? one.getAttribute('src'))).length]"
    )
    assert made == [0, 2, 0]


def test_scripts_cannot_make_markup(opened: Callable[..., Opened]) -> None:
    """The Content Security Policy refuses markup from scripts, and requests."""
    view = opened()
    refused = view.page.evaluate(
        """() => { try { document.body.innerHTML = "<b>x</b>"; return false } catch { return true } }"""
    )
    assert refused
    view.page.evaluate("() => fetch('https://relay.test/').catch(() => {})")
    assert any("Content Security Policy" in text for text in view.messages)
    assert not any(url.startswith("https://") for url in view.requests)
    view.messages.clear()


def test_the_data_cannot_end_its_element() -> None:
    """The embedded data has no character that could end its element, and parses to the same record."""
    document = recorded()
    document["exchanges"][0]["label"] = f"{SCRIPT}&amp;]]>\u2028\u202e\ud800\U000e0041"
    page = render(document)
    data = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(data) == 1
    assert not re.search("[<>&\u2028\u202e\ud800]", data[0])
    assert json.loads(data[0])["run"] == document
    page.encode("utf-8")


def test_chinese_is_shown(opened: Callable[..., Opened]) -> None:
    """Chinese text is shown, marked with its language, and can be searched, escaped or not."""
    document = recorded()
    text = json.dumps({"prompt": "一只小猫", "escaped": "水彩画"}, ensure_ascii=True)
    document["exchanges"][0]["body"] |= {"size": len(text), "text": text}
    document["exchanges"][0]["target"] = "/mj/task/%E6%B0%B4%E5%A2%A8/fetch"
    document["exchanges"][0]["headers"] = [["X-Hint", "任务已完成".encode().decode("latin-1")]]
    document["relays"][0]["features"][0]["name"] = "任务"
    view = opened(document)
    view.choose("q", "水墨")
    assert view.shown("exchanges").count() == 1
    view.page.locator("#exchange-1 summary").click()
    view.page.locator("#exchange-1").get_by_text("任务已完成").wait_for()
    body = view.page.locator("#exchange-1").get_by_role("region", name="Response").locator("pre")
    assert "一只小猫" in body.inner_text()
    assert body.get_by_text("水彩画").get_attribute("lang") == "zh-Hans"
    assert view.page.get_by_text("任务", exact=True).first.get_attribute("lang") == "zh-Hans"


def test_dark_and_light(opened: Callable[..., Opened]) -> None:
    """The page follows the system's colours; the button overrides them and is remembered."""

    def colours(view: Opened) -> list[str]:
        return [
            view.page.evaluate(f"getComputedStyle(document.body).{name}")
            for name in ("backgroundColor", "color")
        ]

    light = colours(opened(color_scheme="light"))
    view = opened(color_scheme="dark")
    dark = colours(view)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    view.page.locator("#theme").click()
    assert colours(view) == light
    view.page.reload()
    assert colours(view) == light


def test_no_width_scrolls_sideways(opened: Callable[..., Opened]) -> None:
    """With everything open, nothing is wider than the window."""
    document = recorded(FAULTY, SOUND, ("mjdjourney", "wrong-type"))
    document["exchanges"][0]["headers"].append(["X" * 300, "y" * 3000])
    document["exchanges"][0]["target"] = "/" + "z" * 400
    view = opened(document)
    view.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    view.page.wait_for_function("document.querySelector('#exchange-1 .inside')")
    for width in (320, 375, 768, 1280):
        view.page.set_viewport_size({"width": width, "height": 800})
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts(opened: Callable[..., Opened]) -> None:
    """Without scripts the page shows verdicts and findings, and hostile text stays text."""
    document = recorded()
    for row in document["rows"]:
        row["actual"] = row["actual"] and f"{SCRIPT}{PICTURE}</noscript>\u202e"
    view = opened(document, java_script_enabled=False)
    content = view.page.locator("noscript").inner_text()
    for text in ("zhongzhuan: non-conformant", "apiai: conformant", "fetch/200/times", PICTURE, "[U+202E]"):
        assert text in content
    assert view.page.locator("img").count() == 0


def test_a_record_of_another_version() -> None:
    """A check that this version does not have is shown by its id."""
    document = recorded()
    document["rows"].append(document["rows"][0] | {"check": "later/check", "outcome": "fail"})
    data = json.loads(re.findall(r"application/json\">(.*?)</script>", render(document), re.DOTALL)[0])
    assert data["checks"]["later/check"] == {"family": "later", "sentence": "", "why": ""}
