import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ripstop.core.errors import ConfigurationError
from ripstop.lab.report.schema import Machine, Report


def test_a_report_survives_the_way_through_its_file(report):
    assert Report.read(report.write()) == report


def test_every_variant_survives_the_way_through_its_file(variants):
    for make in variants.values():
        assert Report.read(make().write()) == make()


def test_a_figure_that_is_not_finite_becomes_null_and_reads_as_nan(report):
    arm = replace(report.outcome.arms[0], speed=replace(report.outcome.arms[0].speed, high=math.inf))
    odd = replace(report, outcome=replace(report.outcome, arms=(arm,)))
    text = odd.write()
    assert json.loads(text)["outcome"]["arms"][0]["speed"]["high"] is None
    assert math.isnan(Report.read(text).outcome.arms[0].speed.high)


def test_numpy_scalars_are_written_as_numbers(report):
    odd = replace(report, machine=Machine("cpu", np.int64(4), "3.11"), made_us=np.int64(5))
    assert Report.read(odd.write()).machine.cores == 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v.pop("machine"), "`/machine` is missing"),
        (lambda v: v.update(surprise=1), "unknown field `/surprise`"),
        (lambda v: v["live"].update(seed="seven"), "`/live/seed`"),
        (lambda v: v["live"].update(seed=True), "`/live/seed`"),
        (lambda v: v["live"]["maps"][1].update(label=None), "`/live/maps/1/label`"),
        (lambda v: v["live"]["maps"][0]["drones"][3].update(state="sunk"), "`/live/maps/0/drones/3/state`"),
        (lambda v: v["live"]["maps"][0]["depots"].append([1.0]), "a list of 2"),
        (lambda v: v["live"].update(bar_s=10**400), "`/live/bar_s`"),
        (lambda v: v.update(format=99), "expected a report of format `1`"),
    ],
)
def test_a_report_of_another_shape_is_refused_with_the_place(report, change, told):
    value = json.loads(report.write())
    change(value)
    with pytest.raises(ConfigurationError, match="C040") as caught:
        Report.from_json(value)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_a_text_that_is_no_report_is_refused(text):
    with pytest.raises(ConfigurationError, match="C0401"):
        Report.read(text)
