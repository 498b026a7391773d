import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ripstop.lab.report import page, picture, plain
from ripstop.lab.report.schema import ARMS, Report

HOSTILE = (
    '"><img src=x onerror=alert(1)></title></style></svg></script><script>alert(1)</script>'
    "{{ 7*7 }} $\\frac{'\x00\u202e\U0001f681"
)
STATES = ("flying", "restricted", "aborted", "landed", "waiting")


class Page(HTMLParser):
    """Elements, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("script", "style"):
            self.scripts.append(data)
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def poisoned(report: Report, text: str) -> Report:
    """Put `text` in place of every string that is not one of a fixed set."""

    def walk(value: plain.Json) -> plain.Json:
        if isinstance(value, str):
            return value if value in ARMS or value in STATES else text
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, dict):
            wild = {"beat", "frame", "work"} <= value.keys()
            return {(f"{text}{key}" if wild else key): walk(item) for key, item in value.items()}
        return value

    return Report.from_json(walk(json.loads(report.write())))


def lean(report: Report) -> Report:
    """Leave out what is slow to draw."""
    live = replace(report.live, maps=(), risks=())
    return replace(report, live=live, outcome=replace(report.outcome, arms=(), calibration=None))


@pytest.fixture(scope="module")
def text(report):
    return page.render(report)


def test_the_page_fetches_nothing(text):
    read = Page(text)
    assert not re.search(r"https?:|ftp:|@import|data:", text)
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert {"link", "img", "iframe", "object", "embed", "base", "form"}.isdisjoint(read.tags)
    assert all(value.startswith("#") for value in read.values("href"))
    assert not read.values("src")


def test_only_the_page_s_own_script_may_run(text):
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text


def test_everything_can_be_read_without_a_script(text, report):
    read = Page(text)
    assert "hidden" not in [name for _, name, _ in read.attributes]
    for words in (report.outcome.harm[0], report.live.timeline[-1].text, "verifies", "Brier score 0.06"):
        assert words in read.text


def test_ids_are_unique_and_every_reference_has_its_target(text):
    ids = Page(text).values("id")
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert wanted <= set(ids)


def test_every_drawing_says_what_it_shows(text):
    read = Page(text)
    drawings = [value for tag, name, value in read.attributes if tag == "svg" and name == "class"]
    titles = [value for tag, name, value in read.attributes if tag == "svg" and name == "aria-label"]
    assert drawings.count("chart") == len(titles) == 14
    assert all(titles)


def test_no_colour_of_a_drawing_is_fixed_to_one_theme(text):
    drawings = " ".join(re.findall(r'<svg class="chart".*?</svg>', text, re.DOTALL))
    assert "var(--blue)" in drawings
    assert not re.search(r"(fill|stroke): #", drawings)
    assert re.search(r"<text [^>]*fill: var", drawings)
    assert not re.search(r"<text (?![^>]*fill: var)", drawings)


def test_hostile_words_are_shown_and_change_nothing(report, text):
    hostile = page.render(poisoned(report, HOSTILE))
    read, clean = Page(hostile), Page(text)
    assert read.tags.count("script") == 1
    assert "img" not in read.tags
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    for tag in ("section", "table", "tr", "figure"):
        assert read.tags.count(tag) == clean.tags.count(tag)
    assert "<script>alert(1)</script>{{ 7*7 }}" in read.text
    assert "49" not in re.findall(r"7\*7 }}|\b49\b", read.text)
    assert "\x00" not in hostile
    assert "\u202e" not in hostile


def test_a_very_long_word_is_cut(report):
    long = page.render(poisoned(lean(report), "x" * 50_000))
    assert "x" * 1_999 + "…" in long
    assert "x" * 2_000 not in long


@pytest.mark.parametrize("name", ["live only", "outcome only", "no step reached", "one arm", "nothing"])
def test_every_variant_makes_a_page(variants, name):
    assert page.render(variants[name]()).startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["live only", "one arm", "nothing"])
def test_every_variant_makes_a_picture(variants, name):
    assert picture.render(variants[name]()).startswith(b"\x89PNG")


def test_a_hostile_report_makes_a_picture(report):
    assert picture.render(poisoned(report, HOSTILE)).startswith(b"\x89PNG")


def test_steps_that_were_not_reached_are_shown_with_their_reason(variants):
    read = Page(page.render(lean(variants["below the threshold"]())))
    assert "3 of 8 steps were reached" in read.text
    assert read.text.count("the risk stayed below the threshold (0.12 < 0.3)") == 5
    assert "No intent was sent in this window." in read.text


def test_a_missed_bar_is_said_in_words(report):
    live = replace(report.live, fault_to_last_ack_s=3.1)
    live = replace(live, record=replace(live.record, verified=False, findings=("segment 3: another hash",)))
    read = Page(page.render(lean(replace(report, live=live))))
    assert "✕ missed" in read.text
    assert "✕ does not verify" in read.text
    assert "segment 3: another hash" in read.text


def test_silence_about_harm_is_not_called_harmless(report):
    read = Page(page.render(lean(replace(report, outcome=replace(report.outcome, harm=())))))
    assert "not a finding of no harm" in read.text


def test_figures_that_are_not_finite_break_nothing(report):
    def spoil(value: plain.Json, key: str = "") -> plain.Json:
        if isinstance(value, float):
            return None
        if isinstance(value, list):
            return [spoil(item, key) for item in value]
        if isinstance(value, dict):
            return {key: spoil(item, key) for key, item in value.items()}
        return value

    empty = Report.from_json(spoil(json.loads(report.write())))
    assert math.isnan(empty.outcome.arms[0].speed.mean)
    read = Page(page.render(empty))
    assert not re.search(r"\bnan\b", read.text, re.IGNORECASE)
    assert picture.render(empty).startswith(b"\x89PNG")


def test_the_same_report_gives_the_same_page(report, text):
    assert page.render(report) == text


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_words_have_enough_contrast_in_both_themes():
    style = (Path(page.__file__).parent / "templates" / "style.css").read_text()
    themes = [dict(re.findall(r"--(\w+): (#\w{6});", part)) for part in re.split(r"\n:root|@media", style)]
    themes = [theme for theme in themes if "card" in theme]
    assert len(themes) == 3
    pairs = [(name, "card") for name in ("text", "quiet", "blue", "orange", "red", "green", "purple")]
    pairs += [("green", "met"), ("red", "missed"), ("orange", "open"), ("quiet", "page"), ("text", "page")]
    for theme in themes:
        for ink, ground in pairs:
            bright, dim = sorted((luminance(theme[ink]), luminance(theme[ground])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (ink, ground, theme[ink])
