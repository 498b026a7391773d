import io
from dataclasses import replace

import pytest
from rich.console import Console

from ripstop.lab.report import tables
from ripstop.lab.report.schema import Report


def shown(report: Report, width: int = 100, *, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
    )
    tables.show(report, console)
    return console.file.getvalue()


def flat(text: str) -> str:
    return " ".join(text.replace("|", " ").split())


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(report, width):
    assert max(len(line) for line in shown(report, width).splitlines()) <= width


def test_a_pipe_gets_no_colour_and_no_box_drawing(report):
    text = shown(report)
    assert "\x1b" not in text
    assert not set(text) & set("╭╮╰╯│─┼")


def test_a_terminal_gets_both(report):
    text = shown(report, terminal=True)
    assert "\x1b[" in text
    assert "╭" in text


def test_every_variant_can_be_shown(variants):
    for make in variants.values():
        assert "Bars met" in shown(make()) or "Nothing was run." in shown(make())


def test_a_step_that_was_not_reached_is_shown_with_its_reason(variants):
    text = flat(shown(variants["below the threshold"](), 140))
    assert "– 5 Mitigation not reached the risk stayed below the threshold (0.12 < 0.3)" in text


def test_escape_codes_and_markup_from_the_wire_are_shown_and_not_obeyed(report):
    step = replace(report.live.steps[0], detail="\x1b[2J[bold]x[/bold]\r\nfake\u202e")
    hostile = replace(report, live=replace(report.live, steps=(step,), faulty="[red]d\x1b]0;own\x07"))
    text = shown(hostile, 140)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "faulty [red]d\ufffd]0;own" in text
    assert "\ufffd[2J[bold]x[/bold]\ufffd\ufffdfake\ufffd" in text


def test_harm_is_told(report):
    assert "Harm: With both layers the fleet made 13 deliveries fewer" in flat(shown(report))


def test_the_summary_names_what_missed_its_bar(report):
    slow = replace(report, live=replace(report.live, fault_to_last_ack_s=2.01))
    assert "Missed: fault to last acknowledgement." in tables.summary(slow)
    assert "Missed" not in tables.summary(report)
    assert "the last acknowledgement 2.01 s after the fault" in tables.summary(slow)


@pytest.mark.parametrize("width", [30, 44, 71, 72, 76, 83, 84, 99, 100, 139, 140])
def test_nothing_is_cut_however_narrow_the_terminal(report, width):
    text = shown(report, width, terminal=True)
    assert "…" not in text
    assert text.count("Restricted") == (len(report.outcome.arms) if width < 72 else width >= 84)
    assert text.count("Grounded:") == (len(report.outcome.arms) if width < 72 else 0)
