"""The report in a browser: queue, replay, verdicts, keys, contrast, and that nothing is fetched.

Needs Playwright and a Chromium: `make browser` brings one.
"""

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from browser import HINT, find_chromium
from report_day import DAY, HOSTILE, a_day, block, owners_day
from report_print import BESIDE, CELLS, CROWDED, LIFTED, TO_THE_RIGHT, a_print, print_page

from flows.jobs.progress import finish
from flows.jobs.report import ReportJob, report
from pipeline.sessions.feedback import add_feedback, latest_verdicts
from pipeline.sessions.labels import read_labels
from rasterize.palette import SHARE_SCALE, WEIGHT_SCALE, speed_color

playwright = pytest.importorskip(
    "playwright.sync_api", reason="no Playwright: pip install -e .[dev]"
)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
N_MANY = 1000
SIDES = ("width", "height")
VERDICTS = ("[data-verdict=fraud]", "[data-verdict=legitimate]", "[data-verdict=unsure]")


@dataclass
class Opened:
    """A page in the browser, and what it did behind the reader's back."""

    page: "playwright.Page"
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element that is shown."""
        found = self.page.locator(selector).filter(visible=True)
        return found.all_inner_texts()


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium, or skip where there is none."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"no browser: {HINT}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return a report of sessions whose names mean harm."""
    folder = tmp_path_factory.mktemp("hostile")
    (path,) = finish(
        report(ReportJob(a_day(folder, [*HOSTILE, "s15", "s16", "s17"]), folder / "report.html"))
    )
    return path


@pytest.fixture
def open_page(browser):
    """Return a function that opens a file in a window of its own."""
    contexts = []

    def open_(path: Path, size: tuple[int, int] = (1300, 900), **settings: object) -> Opened:
        context = browser.new_context(viewport=dict(zip(SIDES, size, strict=True)), **settings)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("console", lambda said: opened.errors.append(said.text))
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(path.as_uri())
        opened.page.wait_for_selector("#case:not([hidden])")
        return opened

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def decided_day(tmp_path):
    """Return the report of six sessions of two accounts; verdicts on two were fed back."""
    scores = a_day(tmp_path, list("abcdef"))
    text = "session_id,label,note\na,fraud,by phone\nb,legitimate,\n"
    (tmp_path / "fed_back.csv").write_text(text)
    add_feedback(scores, tmp_path / "fed_back.csv", datetime(2026, 11, 3, tzinfo=UTC))
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html")))
    return path


@pytest.fixture
def decided(open_page, decided_day):
    """Return that report, opened; it must end without errors or requests."""
    opened = open_page(decided_day)
    yield opened
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("data:", "blob:"))] == [
        decided_day.as_uri()
    ]


@pytest.fixture
def opened(open_page, hostile):
    """Return the report of hostile names, opened; it must end without errors or requests."""
    opened = open_page(hostile)
    yield opened
    assert opened.errors == []
    fetched = [url for url in opened.requests if not url.startswith(("data:", "blob:"))]
    assert fetched == [hostile.as_uri()]


@pytest.fixture
def prints(open_page, tmp_path):
    """Return a page with prints, opened: one of everything, one of an account's, and none."""
    path = print_page(
        tmp_path / "report.html", a_print(), a_print(account=True, raised=False), None
    )
    opened = open_page(path)
    yield opened
    assert opened.errors == []
    assert opened.requests == [path.as_uri()]


def point_at(page: "playwright.Page", panel: int, cell: int) -> None:
    """Move the pointer to the middle of a cell of a panel."""
    canvas = page.locator(f"#panel-{panel}")
    canvas.scroll_into_view_if_needed()
    box, plot = canvas.bounding_box(), page.evaluate(f"plotOf(canvasOf({panel}))")
    row, column = divmod(cell, CELLS)
    page.mouse.move(
        box["x"] + plot["left"] + (column + 0.5) * plot["cell"],
        box["y"] + plot["top"] + (row + 0.5) * plot["cell"],
    )


def point_at_event(page: "playwright.Page", event: int) -> None:
    """Move the pointer onto an event of the path."""
    canvas = page.locator("#path")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = page.evaluate(
        f"""(() => {{
        const {{ path }} = player, canvas = byId("path");
        const at = fitted(path, canvas.clientWidth, canvas.clientHeight);
        return [at.x(path.x[{event}]), at.y(path.y[{event}])];
        }})()"""
    )
    page.mouse.move(box["x"] + x + 3, box["y"] + y - 3)


def view(page: "playwright.Page", name: str) -> "playwright.Locator":
    """Return the button of a view of the print."""
    return page.get_by_role("radio", name=name, exact=True)


def highlighted(page: "playwright.Page") -> int:
    """Return how many events are highlighted on the path."""
    return int(page.locator("#path").get_attribute("data-highlighted"))


def outlined(page: "playwright.Page") -> list[int]:
    """Return how many cells are outlined in each panel."""
    panels = page.locator("#panels canvas").all()
    return [int(canvas.get_attribute("data-outlined")) for canvas in panels]


def wait_until(page: "playwright.Page", true: str) -> None:
    """Ask until an expression is true; the page's policy lets nothing in it do the asking."""
    for _ in range(300):
        if page.evaluate(true):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not within half a minute: {true}")


def test_hostile_names_are_text(opened):
    queue = block(Path(opened.page.url.removeprefix("file://")).read_text(), "report")["queue"]
    for _ in queue:  # each case, opened
        opened.page.keyboard.press("j")

    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("#queue img, #case b, #case svg svg, bdi *").count() == 0
    names = opened.texts("#cases .names")
    assert any("</script><script>window.hacked = 1" in name for name in names)
    assert any(r"gnp.\u{202e}gpj.exe" in name for name in names)
    assert not any("\u202e" in name for name in names)
    assert max(map(len, names)) < 100


def test_filters_leave_what_fits(opened):
    page = opened.page
    rows = block(Path(page.url.removeprefix("file://")).read_text(), "report")["queue"]
    n_high = sum(row["band"] == "high" for row in rows)

    for band in ("medium", "low", "abstained"):
        page.get_by_label(band, exact=True).uncheck()
    assert len(opened.texts("#cases li")) == n_high > 0
    assert set(opened.texts("#cases .chip")) == {"high"}
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Reason").select_option("replay_of_session")
    assert len(opened.texts("#cases li")) == 1
    assert "It shares most with" in page.locator("#reasons").inner_text()
    page.get_by_role("button", name="Clear filters").click()
    account = rows[0]["account"]
    page.locator("#account").select_option(account)
    assert len(opened.texts("#cases li")) == sum(row["account"] == account for row in rows)
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Search").fill("HYPERLINK")
    assert page.locator("#shown").inner_text() == f"1 of {len(rows)} cases"
    assert page.locator("#name").inner_text().startswith("=HYPERLINK")
    page.get_by_label("Search").fill("nobody is called so")
    assert opened.texts("#cases li") == []
    assert page.locator("#case").is_hidden()
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Started from").fill("2026-11-02")
    assert opened.texts("#cases li") == []
    page.get_by_label("Started from").fill("2026-11-01")
    assert len(opened.texts("#cases li")) == len(rows)


def test_a_recorder_that_the_level_was_not_set_for_is_marked_and_explained(opened):
    page = opened.page
    rows = block(Path(page.url.removeprefix("file://")).read_text(), "report")["queue"]
    abouts = page.locator("#cases .about").all_inner_texts()
    for row, about in zip(rows, abouts, strict=True):
        assert about.startswith("another recorder") == (row["recorder_known"] is False)
        said = page.locator("#reasons").inner_text()
        assert ("level was not set for this recorder, csv" in said) == (
            row["recorder_known"] is False
        )
        page.keyboard.press("j")
    assert {row["recorder_known"] for row in rows} == {True, False}
    assert opened.errors == []


def test_a_session_unlike_its_account_shows_two_measures_and_the_accounts_range(
    open_page, tmp_path
):
    (path,) = finish(report(ReportJob(owners_day(tmp_path), tmp_path / "report.html")))
    opened = open_page(path)
    opened.page.get_by_label("Reason").select_option("unlike_profile")

    assert len(opened.texts("#cases li")) == 4
    for _ in range(4):
        said = opened.page.locator("#reasons").inner_text()
        assert "Two measures of the motion are far from this account's own." in said
        habits = re.findall(
            r"([A-Z][a-z ]+): [\d.,]+[^;:]*; this account's enrolled sessions: [\d.,]+ to [\d.,]+",
            said,
        )
        assert len(habits) == 2
        assert {"Speed while moving", "Duration of a movement"} & set(habits)
        opened.page.keyboard.press("j")
    assert opened.errors == []


def test_the_movement_is_replayed(opened):
    page = opened.page
    page.get_by_label("Search").fill("s16")
    drawn = "document.getElementById('path').toDataURL()"
    at = "Number(document.getElementById('time').value)"
    whole, end = page.evaluate(drawn), page.evaluate(at)

    page.locator("#time").fill("0")
    begun = page.evaluate(drawn)
    page.locator("#speed").select_option("2")
    page.get_by_role("button", name="Play").click()
    wait_until(page, f"{at} > 100")
    page.get_by_role("button", name="Pause").click()
    stopped = page.evaluate(at)
    amid = page.evaluate(drawn)
    page.wait_for_timeout(150)

    assert page.evaluate(at) == stopped < end
    assert len({whole, begun, amid}) == 3
    page.locator("#what").click()  # away from the button, which space would press
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    wait_until(page, f"{at} == {end}")
    assert page.get_by_role("button", name="Play").is_visible()
    assert page.evaluate(drawn) == whole


def test_rests_are_shortened_only_if_asked(opened):
    # The long rest is of 3 s; half a second of it is kept at either side.
    page = opened.page
    page.get_by_label("Search").fill("s16")
    middle = page.evaluate("player.path.t.find((t, i) => player.path.t[i + 1] - t > 1000)")
    jumped = page.evaluate(f"afterRest({middle} + 600)")
    page.get_by_label("shorten rests").uncheck()
    waited = page.evaluate(f"afterRest({middle} + 600)")
    assert jumped - middle > 2400
    assert waited - middle == pytest.approx(600)


def test_verdicts_are_exported_and_read_back(opened, hostile, tmp_path):
    page = opened.page
    said = {}
    for i, row in enumerate(page.evaluate("rows.map((row) => row.id)")):
        page.keyboard.press("n")
        page.keyboard.type('=1+1, "quoted"')
        page.keyboard.press("Enter")
        page.keyboard.press("123"[i % 3])  # and on to the next
        said[row] = ("fraud", "legitimate", "unsure")[i % 3]
    assert page.locator("#all-decided").is_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    download.value.save_as(tmp_path / "labels.csv")
    labels = read_labels(tmp_path / "labels.csv").to_pylist()
    scores = hostile.parent / "scores"
    fed_back = add_feedback(scores, tmp_path / "labels.csv", datetime(2026, 11, 3, tzinfo=UTC))

    assert download.value.suggested_filename == f"labels-{DAY}.csv"
    assert set(said) >= set(HOSTILE)
    assert fed_back.unknown == ()
    assert fed_back.fraud + fed_back.legitimate + fed_back.unsure == len(said)
    assert {row["session_id"]: row["label"] for row in labels} == {
        name: int(word == "fraud") for name, word in said.items() if word != "unsure"
    }
    text = (tmp_path / "labels.csv").read_text()
    assert text.startswith("session_id,label,note\n")
    assert '"\'=1+1, ""quoted"""' in text
    assert "\"'=HYPERLINK" in text


def test_a_verdict_can_be_taken_back_and_survives_a_reload(opened):
    page = opened.page
    pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map((b) => b.dataset.verdict)"
    page.keyboard.press("1")
    page.keyboard.press("k")
    assert page.evaluate(pressed) == ["fraud"]
    page.keyboard.press("2")
    page.keyboard.press("k")
    assert page.evaluate(pressed) == ["legitimate"]
    page.reload()
    page.wait_for_selector("#case:not([hidden])")
    assert page.evaluate(pressed) == ["legitimate"]
    assert page.locator("#decided").inner_text() == "1 verdict"
    page.keyboard.press("2")
    assert page.evaluate(pressed) == []
    assert page.get_by_role("button", name="Export").is_disabled()
    opened.requests.pop()  # the reload's


SIZES = [(1280, 800), (420, 800)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_a_verdict_needs_is_in_view_without_scrolling(open_page, decided_day, width, height):
    opened = open_page(decided_day, size=(width, height))
    page = opened.page
    for _ in range(2):  # as it opens, and after the next verdict
        for part in ("#path", "#name", "#score", "#export", "#note", *VERDICTS):
            box = page.locator(part).bounding_box()
            assert box is not None, part
            assert 0 <= box["x"] <= width - box["width"], part
            assert 0 <= box["y"] <= height - box["height"], part
        path, verdict = (page.locator(part).bounding_box() for part in ("#path", "#verdict"))
        is_above = path["y"] + path["height"] <= verdict["y"]
        assert is_above or path["y"] >= verdict["y"] + verdict["height"]
        assert path["height"] >= 250
        page.keyboard.press("1")
    assert opened.errors == []


def test_the_open_case_stays_in_view_in_the_queue(opened):
    page = opened.page
    for _ in range(12):
        page.keyboard.press("j")
    box = page.locator("[aria-current=true]").bounding_box()

    assert page.locator("[aria-current=true]").get_attribute("id") == "item-12"
    assert 0 <= box["y"] <= 900 - box["height"]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_export_and_verdict_stay_in_reach_at_the_end_of_a_case(
    open_page, decided_day, width, height
):
    page = open_page(decided_day, size=(width, height)).page
    page.locator("#facts").scroll_into_view_if_needed()
    page.keyboard.press("3")
    page.locator("#facts").scroll_into_view_if_needed()

    for part in ("#export", *VERDICTS):
        page.locator(part).click(trial=True)
    assert page.locator("#facts").bounding_box()["y"] < height


def test_a_verdict_leads_to_the_next_case_without_one(decided):
    page = decided.page
    # a and b were decided on another day: they are passed over, though c and d are not.
    order = [name for name in page.evaluate("rows.map((row) => row.id)") if name in "cdef"]
    while page.locator("#name").inner_text() not in order:
        page.keyboard.press("j")
    seen = []
    for key in "1231":
        seen.append(page.locator("#name").inner_text())
        page.keyboard.press(key)
    at = order.index(seen[0])

    assert seen == order[at:] + order[:at]
    assert page.locator("#name").inner_text() == seen[-1]
    assert "All 6 cases shown in the queue have a verdict" in decided.texts("#all-decided")[0]
    page.keyboard.press("u")
    assert page.evaluate("verdicts.size") == 3
    assert decided.texts("#all-decided") == []


def test_a_verdict_is_taken_back_from_the_case_after_it(decided):
    page = decided.page
    name = page.locator("#name").inner_text()
    page.keyboard.press("2")
    assert page.locator("#name").inner_text() != name
    undo = page.get_by_role("button", name="Take back")
    assert undo.inner_text() == f"Take back: legitimate, {name}"
    undo.click()

    assert page.locator("#name").inner_text() == name
    assert page.evaluate("verdicts.size") == 0
    assert undo.is_hidden()


def test_a_note_without_a_verdict_is_kept_and_exported(decided, decided_day, tmp_path):
    page = decided.page
    name = page.locator("#name").inner_text()
    page.keyboard.press("n")
    page.keyboard.type("ask Ann 1")
    page.keyboard.press("Enter")
    assert page.locator("#decided").inner_text() == "0 verdicts, 1 note"
    page.reload()
    page.wait_for_selector("#case:not([hidden])")
    assert page.locator("#note").input_value() == "ask Ann 1"
    with page.expect_download() as download:
        page.keyboard.press("e")
    download.value.save_as(tmp_path / "labels.csv")
    scores = decided_day.parent / "scores"
    added = add_feedback(scores, tmp_path / "labels.csv", datetime(2026, 11, 4, tzinfo=UTC))

    assert (added.notes, added.fraud + added.legitimate + added.unsure) == (1, 0)
    assert latest_verdicts([scores])[name].note == "ask Ann 1"
    assert read_labels(tmp_path / "labels.csv").num_rows == 0
    decided.requests.pop()  # the reload's


def test_what_was_fed_back_is_seen_in_header_queue_and_case(decided):
    page = decided.page
    header = page.locator("#fed-back").inner_text()
    assert header == "Fed back until 2026-11-03: 1 fraud, 1 legitimate"
    queue = dict(zip(page.evaluate("rows.map((row) => row.id)"), decided.texts("#cases li"),
                     strict=True))  # fmt: skip
    assert "fraud, fed back" in queue["a"]
    assert "legitimate, fed back" in queue["b"]
    assert "known of the account: 1 fraud, 1 legitimate" in queue["c"]
    page.get_by_label("Search").fill("by phone")
    assert page.locator("#name").inner_text() == "a"
    assert page.locator("#known").inner_text() == "Fed back on 2026-11-03: fraud, “by phone”"
    page.get_by_role("button", name="Clear filters").click()
    page.locator("#by-verdict").select_option("none")
    assert len(decided.texts("#cases li")) == 4


def test_the_accounts_other_sessions_are_listed_and_lead_to_their_cases(decided):
    page = decided.page
    page.get_by_label("Search").fill("by phone")  # a; b and c are its account's too
    page.get_by_role("button", name="Clear filters").click()
    said = page.locator("#history").inner_text()

    assert said.count("scored 2026-11-01") == 3
    assert said.count("scored 2026-11-02") == 2
    assert "5 other scores" in said
    assert "1 fraud, 2 legitimate" in said
    page.locator("#earlier button").last.click()
    assert page.locator("#name").inner_text() == "b"


def test_colours_have_legends(decided):
    page = decided.page
    assert page.locator("#legend svg.scale").get_attribute("aria-label") == (
        "Colour is speed: blue 30 px/s and slower, to yellow 10,000 px/s and faster"
    )
    assert [text.strip() for text in decided.texts("#legend > span")] == [
        *("click or press", "rest of 100 ms or more", "button held", "highlighted"),
    ]
    page.locator("#summary > summary").click()
    assert [text.strip() for text in decided.texts(".keys span")] == [
        *("high", "medium", "low", "abstained"),
    ]


def test_a_path_has_the_colours_of_its_picture(decided):
    # Of one segment at 500 px/s: the middle of its line on the page, beside the palette's.
    color = decided.page.evaluate(
        """(() => {
        const steps = { t: [0, 160], x: [0, 80], y: [0, 0], step_ms: 1, step_px: 1, kind: "00" };
        const path = decode(steps);
        const canvas = byId("path");
        drawPath(canvas, path);
        const middle = [canvas.width / 2, canvas.height / 2];
        return [...canvas.getContext("2d").getImageData(...middle, 1, 1).data].slice(0, 3);
        })()"""
    )
    fraction = np.log([500 / 30]) / np.log(10_000 / 30)
    np.testing.assert_allclose(color, speed_color(fraction)[0], atol=6)  # in 48 steps


def test_curves_are_refused_where_a_class_is_too_small(decided):
    page = decided.page
    page.locator("#summary > summary").click()
    said = page.locator("#charts").inner_text()
    assert "ROC and calibration are not shown" in said
    assert "are too few, 10 of each are needed" in said
    assert page.locator("#charts svg[role=img]").count() == 2


def test_long_ids_are_read_in_full(open_page, tmp_path):
    names = [f"2026-11-01/checkout/visitor-00000000000000000000/{i}" for i in range(4)]
    (path,) = finish(report(ReportJob(a_day(tmp_path, names), tmp_path / "report.html")))
    for size in SIZES:
        opened = open_page(path, size=size)
        opened.page.evaluate("byId('queue').open = true")
        cut = opened.page.evaluate(
            """[...document.querySelectorAll('.names, #name, #earlier bdi, #compare bdi')]
            .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).length"""
        )
        assert cut == 0
        assert sorted(opened.texts("#cases .names")) == names


def test_what_raised_the_score_is_ranked(prints):
    page = prints.page
    said = page.locator("#ranked").inner_text().split("\n")
    assert [line for line in said if "%" in line] == [
        *("0.40 to 0.50 s50 %", "0.10 to 0.20 s20 %", "Speed and turn40 %", "Velocity20 %"),
    ]
    both = page.evaluate("highlights()")
    assert both == [[400, 500, "1"], [100, 200, "2"]]
    page.get_by_role("button", name="0.10 to 0.20 s").click()
    assert page.evaluate("highlights()") == [[100, 200, "2"]]
    page.get_by_role("button", name="Velocity").click()
    assert view(page, "what raised the score").is_checked()
    page.keyboard.press("j")
    assert page.locator("#raised").is_hidden()


def test_a_ranked_time_outside_the_events_shown_is_listed_and_not_drawn(prints):
    page = prints.page
    page.evaluate("player.ranked = [[400, 500, 0.5], [90000, 90100, 0.2]]")
    page.evaluate("showRanked(player.look)")

    assert "90.00 to 90.10 s, not shown" in page.locator("#ranked").inner_text()
    assert page.get_by_role("button", name="90.00 to 90.10 s").is_disabled()
    assert page.evaluate("highlights()") == [[400, 500, "1"]]


def test_keys_do_what_the_help_says(opened):
    page = opened.page
    first, second = opened.page.evaluate("rows.slice(0, 2).map((row) => visible(row.id))")
    assert page.locator("#name").inner_text() == first
    page.keyboard.press("j")
    assert page.locator("#name").inner_text() == second
    assert page.locator("[aria-current=true]").get_attribute("id") == "item-1"
    page.keyboard.press("k")
    page.keyboard.press("/")
    page.keyboard.type("j1")  # in a field it is text
    assert page.get_by_label("Search").input_value() == "j1"
    assert page.evaluate("verdicts.size") == 0
    page.get_by_role("button", name="Clear filters").click()
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page, hostile, scheme):
    opened = open_page(hostile, color_scheme=scheme)
    opened.page.keyboard.press("1")
    found = opened.page.evaluate(CONTRASTS)

    assert len(found) > 50
    assert [row for row in found if row["contrast"] < 4.5] == []
    assert opened.errors == []


def test_the_theme_can_be_changed(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    before = opened.page.evaluate(ground)
    opened.page.get_by_role("button", name="Dark").click()
    assert opened.page.evaluate(ground) != before
    opened.page.get_by_role("button", name="Light").click()
    assert opened.page.evaluate(ground) == before


def test_everything_that_can_be_used_or_seen_has_a_name(opened):
    page = opened.page
    page.get_by_label("Search").fill("s16")
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, canvas, img, svg')]
        .filter((e) => e.checkVisibility() && !e.closest('[aria-hidden=true]'))
        .filter((e) => !(e.getAttribute('aria-label') || e.alt || e.innerText || e.labels?.length))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_a_narrow_screen_needs_no_scrolling_sideways(open_page, hostile):
    opened = open_page(hostile)
    opened.page.set_viewport_size({"width": 390, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_pointing_at_a_cell_highlights_its_events_on_the_path_and_in_the_other_panels(prints):
    page = prints.page
    assert highlighted(page) == 0
    point_at(page, 0, CROWDED)

    assert highlighted(page) == 3
    assert outlined(page) == [1, 2, 0]
    said = page.locator("#readout").inner_text()
    assert "speed 200 px/s, turn -58 degrees" in said
    assert "3 events here, at least 25 % of this session; people 0.0 %." in said  # 3.005 of 12
    assert "Lowered the score: 20 % of all that moved it." in said
    assert page.locator("#pointed").inner_text() == said
    point_at(page, 1, TO_THE_RIGHT)
    assert highlighted(page) == 5
    assert "direction right. 5 events here, at least 25 %" in page.locator("#readout").inner_text()
    page.mouse.move(0, 0)
    assert highlighted(page) == 0
    assert outlined(page) == [0, 0, 0]


def test_cells_that_are_dragged_over_stay_chosen_until_escape(prints):
    page = prints.page
    point_at(page, 0, CROWDED)
    page.mouse.down()
    point_at(page, 0, BESIDE)
    page.mouse.up()
    page.mouse.move(0, 0)

    assert highlighted(page) == 5
    assert outlined(page) == [2, 2, 0]
    assert "speed 200 px/s to 260 px/s" in page.locator("#readout").inner_text()
    point_at(page, 0, LIFTED)  # pointed at for a moment only
    assert highlighted(page) == 3
    point_at(page, 0, BESIDE)
    assert highlighted(page) == 5
    page.keyboard.press("Escape")
    assert highlighted(page) == 0


def test_cells_are_chosen_with_the_keyboard(prints):
    page = prints.page
    view(page, "what raised the score").check()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "panel-0"
    began_at = page.evaluate("player.now")
    page.keyboard.press("ArrowRight")  # to the cell that stands out most

    assert highlighted(page) == 3
    assert "Raised the score: 60 % of all" in page.locator("#readout").inner_text()
    page.keyboard.press("ArrowDown")
    assert highlighted(page) == 0
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    assert highlighted(page) == 3
    assert outlined(page) == [4, 2, 0]
    page.keyboard.press("Escape")
    assert outlined(page) == [0, 0, 0]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "panel-1"
    assert page.evaluate("player.now") == began_at
    page.keyboard.press("j")  # the page's other keys still work
    assert page.locator("#name").inner_text() == "s1"


def test_pointing_at_an_event_of_the_path_outlines_its_cells(prints):
    page = prints.page
    point_at_event(page, 1)

    assert highlighted(page) == 1
    assert outlined(page) == [1, 1, 0]
    said = page.locator("#pointed").inner_text()
    assert said.startswith("Event 2, at 0.1 s: about speed")
    assert "turn -58 degrees" in said
    point_at_event(page, 0)
    assert outlined(page) == [0, 0, 0]
    assert "It counts in no panel." in page.locator("#pointed").inner_text()
    page.mouse.move(0, 0)
    assert highlighted(page) == 0


def test_pointing_at_the_speeds_outlines_the_cells_of_the_segment(prints):
    page = prints.page
    page.locator("#speeds").scroll_into_view_if_needed()
    box = page.locator("#speeds").bounding_box()
    left, right = page.evaluate("Object.values(speedsPlot(byId('speeds').clientWidth, 9))")[:2]
    page.mouse.move(box["x"] + left + 0.4 * (right - left), box["y"] + box["height"] / 2)

    assert outlined(page) == [1, 1, 0]
    assert page.locator("#pointed").inner_text().startswith("Event 5, at 0.4 s")


def test_events_of_the_path_are_chosen_with_the_keyboard(prints):
    page = prints.page
    page.focus("#path")
    began_at = page.evaluate("player.now")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")

    assert page.locator("#readout").inner_text().startswith("Event 3, at 0.2 s")
    assert outlined(page) == [1, 1, 0]
    assert page.evaluate("player.now") == began_at
    page.keyboard.press("Escape")
    assert outlined(page) == [0, 0, 0]


def test_the_difference_is_shown_first_and_each_view_has_its_colours(prints):
    page = prints.page
    drawn = "canvasOf(0).toDataURL()"
    assert view(page, "the difference from people's print").is_checked()
    seen = {page.evaluate(drawn)}
    for name in ("this session's print", "people's print", "what raised the score"):
        view(page, name).check()
        seen.add(page.evaluate(drawn))

    assert len(seen) == 4
    assert [text.strip() for text in prints.texts(".part")] == ["+40 %", "+20 %", "+0.0 %"]


def test_only_views_that_a_case_has_are_offered(prints, open_page, tmp_path):
    page = prints.page
    view(page, "what raised the score").check()
    page.keyboard.press("j")

    assert view(page, "this account's print").is_visible()
    assert view(page, "what raised the score").is_hidden()
    assert view(page, "the difference from this account's print").is_checked()
    alone = open_page(print_page(tmp_path / "alone.html", a_print(), has_people=False))
    names = alone.texts("#views label")
    assert [name.strip() for name in names] == ["this session's print", "what raised the score"]


def test_a_case_without_a_print_hides_the_section(prints):
    page = prints.page
    assert page.locator("#print").is_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")

    assert page.locator("#name").inner_text() == "s2"
    assert page.locator("#print").is_hidden()
    point_at_event(page, 1)
    assert highlighted(page) == 0
    page.keyboard.press("k")
    assert page.locator("#print").is_visible()


def test_a_panel_in_which_nothing_counts_says_so(prints):
    page = prints.page
    assert page.evaluate("PANELS.map((_, p) => isEmpty(p))") == [False, False, True]
    view(page, "people's print").check()
    assert page.evaluate("isEmpty(2)") is False


def test_a_reason_is_shown_in_its_own_words(prints):
    page = prints.page
    why = page.locator("#reasons").inner_text()
    assert "The print is unlike people's." in why
    assert "People turn at this speed; here nothing does." in why
    page.keyboard.press("j")
    assert page.locator("#reasons").inner_text() == "No single measurement stands out."


def test_the_colours_of_a_print_are_the_palettes(prints):
    assert prints.page.evaluate("SHARE_SCALE") == SHARE_SCALE.tolist()
    assert prints.page.evaluate("WEIGHT_SCALE") == WEIGHT_SCALE.tolist()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_prints_text_stands_out_from_its_ground(open_page, tmp_path, scheme):
    opened = open_page(print_page(tmp_path / "report.html", a_print()), color_scheme=scheme)
    view(opened.page, "what raised the score").check()
    found = opened.page.evaluate(CONTRASTS)

    assert [row for row in found if row["contrast"] < 4.5] == []


def test_panels_have_names_and_fit_a_narrow_screen(prints):
    page = prints.page
    names = [canvas.get_attribute("aria-label") for canvas in page.locator("#panels canvas").all()]
    assert names[0].startswith("Speed and turn: how sharply the path turns at which speed")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_thousand_cases_open_and_the_first_is_decided_by_a_key(open_page, tmp_path, capsys):
    names = [f"s{i}" for i in range(N_MANY)]
    scores = a_day(tmp_path, names, n_events=200)
    (path,) = finish(report(ReportJob(scores, tmp_path / "report.html")))
    began = time.monotonic()
    opened = open_page(path, size=SIZES[0])
    took_s = time.monotonic() - began
    first = opened.page.locator("#name").inner_text()
    opened.page.keyboard.press("1")
    decided_s = time.monotonic() - began

    assert opened.page.evaluate("verdicts.size") == 1
    assert opened.page.locator("#name").inner_text() != first
    opened.page.get_by_label("Search").fill("s99")

    assert len(opened.texts("#cases li")) == 11  # s99 and s990 to s999
    assert opened.errors == []
    with capsys.disabled():
        size_mb = path.stat().st_size / 1e6
        print(
            f"\n{N_MANY:,} cases of 200 events: {size_mb:.1f} MB, open after {took_s:.1f} s, "
            f"the first decided by a key after {decided_s:.1f} s"
        )


# WCAG's contrast of each text with the first ground behind it that isn't transparent.
CONTRASTS = """(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).slice(0, 3).map((c) => {
      const share = c / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if ((numbers(color)[3] ?? 1) > 0.5) return color;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && !e.disabled)
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => {
      const style = getComputedStyle(e);
      const color = e instanceof SVGElement ? style.fill : style.color;
      const [a, b] = [light(color), light(ground(e))].sort((x, y) => y - x);
      return { text: e.textContent.trim().slice(0, 30), contrast: (a + 0.05) / (b + 0.05) };
    });
})()"""
