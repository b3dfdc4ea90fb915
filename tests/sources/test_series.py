"""Series as they lie: times in any order, gaps, holes, several series; and a split that no answer reaches over."""

from __future__ import annotations

import datetime
import zoneinfo
from pathlib import Path

import numpy as np
import pytest

from deepen import config as configs
from deepen import registry
from deepen.config import Config, Split, from_target
from deepen.data.augment import Augment
from deepen.data.data import Data
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.nn.normalise import Normalise
from deepen.preprocess.series import Series as Encoder
from deepen.sources.series import Series
from deepen.tensors import Windows

START = datetime.datetime(2024, 1, 1)
HOUR = datetime.timedelta(hours=1)


def table(rows: list[str], header: str = "date,load,heat", name: str = "t.csv") -> str:
    Path(name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return name


def hours(count: int, step: datetime.timedelta = HOUR, start: datetime.datetime = START, more: str = "") -> list[str]:
    """Row i holds i and -i."""
    return [f"{start + i * step},{i},{-i}{more}" for i in range(count)]


def read(rows: list[str], header: str = "date,load,heat", **options):
    options = {"target": ("load",), "columns": ("heat",), "time": "date", "horizon": 2, "history": 3, **options}
    return Series(table(rows, header), **options).read()


def said(items) -> str:
    return " | ".join(items.notes)


def test_a_window_and_what_comes_after_it():
    items = read(hours(40))
    assert len(items) == 40 - 3 - 2 + 1
    assert items.raw([5])[0].tolist() == [[5, 6, 7], [-5, -6, -7]]
    assert items.ids[5] == "2024-01-01 07:00:00"  # the newest row it sees
    assert items.target[5].tolist() == [[7, 8, 9]]  # a season of one, then the answer
    assert items.inputs["series"].values.shape == (40, 2)  # nothing is copied
    assert (items.spans[5] - items.spans[0] == 5 * 3600).all()


def test_settings_of_a_series_choose_it():
    for given in ({"horizon": 3}, {"time": "date"}, {"data.group": "load"}):
        assert from_target(table(hours(9)), {"target": "load", **given}).data["name"] == "series"
    assert from_target(table(hours(9)), {"target": "load"}).data["name"] == "table"
    assert from_target(table(hours(9)), {"target": "load", "horizon": "3"}).data["horizon"] == 3


def test_times_are_found_and_it_is_said():
    items = read(hours(40), time=None)
    assert "times are read from column 'date'" in said(items)
    assert items.encoders["series"][1]["columns"] == ("load", "heat")
    items = Series(table([f"{i % 7},{i}" for i in range(30)], "a,b"), target=("b",)).read()
    assert "no column of dates: rows are taken in their order" in said(items)
    assert items.ids[0].startswith("t.csv:")


def test_rows_out_of_order_are_sorted():
    rows = hours(40)
    rows[10], rows[11], rows[30], rows[12] = rows[11], rows[10], rows[12], rows[30]
    items = read(rows)
    assert "3 rows earlier than the row before: sorted (first: t.csv:13)" in said(items)
    np.testing.assert_array_equal(items.inputs["series"].values[:, 0], np.arange(40))


def test_a_time_that_stands_twice_and_one_that_is_none_are_set_aside():
    rows = hours(40)
    items = read([*rows[:20], "2024-01-01 19:00:00,99,0", *rows[20:], ",5,5", "soon,5,5"])
    assert [(bad.id, bad.reason) for bad in items.bad] == [
        ("t.csv:43", "no time"),
        ("t.csv:44", "column 'date' holds 'soon', not a time"),
        ("t.csv:22", "its time stands twice"),
    ]
    np.testing.assert_array_equal(items.inputs["series"].values[:, 0], np.arange(40))


def test_no_window_reaches_over_a_gap():
    rows = [row for i, row in enumerate(hours(60)) if i not in (20, 21, 40)]
    items = read(rows)
    assert (
        "2 gaps where rows follow each other by 1 h 0 min, the longest 3 h 0 min after '2024-01-01 19:00:00'"
        in said(items)
    )
    windows = np.concatenate([items.inputs["series"].whole()[:, 0], items.target.whole()[:, 0, 1:]], 1)
    assert (np.diff(windows, axis=1) == 1).all()
    assert len(items) == (20 - 4) + (18 - 4) + (19 - 4)


@pytest.mark.parametrize("minutes", [60, 15])
def test_an_hour_that_stands_twice_is_kept_in_the_order_of_the_rows(minutes):
    begin = datetime.datetime(2023, 10, 27, tzinfo=datetime.UTC)
    times = [begin + datetime.timedelta(minutes=minutes * i) for i in range(160 * 24 * 60 // minutes)]
    local = [t.astimezone(zoneinfo.ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M") for t in times]
    items = read([f"{text},{i},0" for i, text in enumerate(local)])
    assert not items.bad
    assert "gap" not in said(items)
    assert "the hour from 2023-10-29 02:00 stands twice: a clock was set back; both are kept" in said(items)
    np.testing.assert_array_equal(items.inputs["series"].values[:, 0], np.arange(len(times)))
    encoder = Encoder(("load",), 4, time="date", step=60.0 * minutes)
    at = local.index("2023-10-29 03:00")
    rows = [{"date": text, "load": i} for i, text in enumerate(local)][at - 12 : at + 2]
    kept, notes = encoder.mended(rows, [""] * 14)
    assert not notes
    assert encoder.parse(rows).tolist() == encoder.parse(kept).tolist() == [[at - 2, at - 1, at, at + 1]]
    assert len(read([f"2024-10-{d} 02:00,1,0" for d in range(10, 31)] + ["2024-10-27 02:00,1,0"]).bad) == 1


@pytest.mark.parametrize("step", [1, 24])
def test_a_clock_that_is_put_back_makes_no_gap_where_times_say_their_zone(step):
    begin = datetime.datetime(2024, 9, 21, tzinfo=datetime.UTC)
    hours = [begin + datetime.timedelta(hours=step * i) for i in range(60 if step == 24 else 60 * 24)]
    items = read(
        [f"{hour.astimezone(zoneinfo.ZoneInfo('Europe/Berlin')).isoformat()},{i},0" for i, hour in enumerate(hours)]
    )
    assert not items.bad
    assert "gap" not in said(items)
    assert items.encoders["series"][1]["step"] == 3600 * step
    np.testing.assert_array_equal(items.inputs["series"].values[:, 0], np.arange(len(hours)))


def test_steps_that_are_never_alike_are_no_gaps():
    days = [START + datetime.timedelta(days=i) for i in range(60)]
    items = read([f"{day},{i},0" for i, day in enumerate(d for d in days if d.weekday() < 5)])
    assert "steps of 24 h 0 min to 3 days: rows are taken one after the other" in said(items)
    assert items.encoders["series"][1]["step"] == 0
    assert len(items) == 44 - 4


def test_months_are_steps_though_no_two_are_alike():
    rows = [f"{2000 + i // 12}-{i % 12 + 1:02d}-01,{i},{i % 5}" for i in range(120)]
    items = read(rows, history=None, horizon=6)
    assert not items.notes
    assert items.options["season"] == 12
    assert items.encoders["series"][1]["history"] == 20  # a sixth of the rows


@pytest.mark.parametrize(
    ("step", "season"),
    [
        (datetime.timedelta(minutes=15), 96),
        (HOUR, 24),
        (datetime.timedelta(days=1), 7),
        (datetime.timedelta(days=7), 52),
        (datetime.timedelta(hours=7), 3),
        (datetime.timedelta(days=3), 1),
        (datetime.timedelta(seconds=1), 1),  # a day would be longer than what is looked back on
    ],
)
def test_the_season_follows_from_the_step(step, season):
    assert read(hours(900, step), history=None).options["season"] == season


def test_history_is_four_seasons_or_horizons_where_there_are_rows():
    assert read(hours(900), history=None).encoders["series"][1]["history"] == 96
    assert read(hours(900), history=None, horizon=30).encoders["series"][1]["history"] == 120
    assert read(hours(300), history=None).encoders["series"][1]["history"] == 50
    with pytest.raises(DeepenError, match=r"data.history: 3 where a season is 24. Expected at least a season"):
        read(hours(300), season=24)


def test_what_is_missing_is_seen_as_known_last_and_is_no_answer():
    rows = hours(40)
    rows[10] = rows[10].replace(",10,", ",,")
    rows[11] = rows[11].replace(",11,", ",n/a,")
    rows[0] = rows[0].replace(",0,", ",,")
    items = read(rows)
    assert "missing numbers (load 3): windows see the last known one in their place, no answer is learnt" in said(items)
    assert items.raw([9])[0][0].tolist() == [9, 9, 9]
    assert np.isnan(items.raw([0])[0][0, 0])
    assert np.isnan(items.target[8][0]).tolist() == [True, True, False]
    kind = registry.load("kinds", "series").fit(items.target, **items.options)
    assert not kind.labelled(kind.encode(items.target))[7]  # both of its answers are missing
    assert kind.labelled(kind.encode(items.target)).sum() == len(items) - 1


def test_stray_text_is_missing_and_other_columns_are_not_looked_at():
    rows = [f"{row},{'ab'[i % 2]},1,{i * 2 if i != 7 else 'x'}" for i, row in enumerate(hours(200))]
    items = read(rows, "date,load,heat,city,same,more", columns=("more",))
    assert "column 'more': 0.5% are no numbers, such as 'x': taken as missing" in said(items)
    assert "not looked at: heat (data.columns=[heat, ...])" in said(items)
    assert items.encoders["series"][1]["columns"] == ("load", "more")
    with pytest.raises(DeepenError, match=r"column 'city': holds 'a'. Expected numbers"):
        read(rows, "date,load,heat,city,same,more", columns=("city",))


def test_several_series_are_kept_apart():
    rows = [f"{START + i * HOUR},{i + 100 * place},{i % 5},{'ab'[place]}" for i in range(30) for place in (0, 1)]
    items = read(rows, "date,load,heat,site", group="site")
    assert len(items) == 2 * (30 - 4)
    assert items.ids[0] == "a 2024-01-01 02:00:00"
    assert items.ids[26] == "b 2024-01-01 02:00:00"
    windows = items.inputs["series"].whole()[:, 0]
    assert (np.diff(windows, axis=1) == 1).all()
    assert items.columns.columns["site"].tolist() == ["a"] * 26 + ["b"] * 26
    assert not said(items)


def test_a_series_that_begins_with_a_hole_gets_nothing_from_another():
    rows = [*hours(30, more=",a"), *hours(30, more=",b")]
    rows[30] = rows[30].replace(",0,", ",,")
    items = read(rows, "date,load,heat,site", group="site")
    assert np.isnan(items.raw([26])[0][0, 0])


@pytest.mark.parametrize("how", ["stratified", "random", "time"])
def test_an_answer_lies_in_one_part_and_parts_follow_each_other(how):
    prepared = prepare(read(hours(200), horizon=5), Config({"name": "series"}, split=Split(how=how)))
    spans, last = prepared.items.spans, -np.inf
    for rows in prepared.parts.values():
        assert spans[rows, 0].min() > last  # not one hour is answered in two parts
        last = spans[rows, 1].max()
    placed = sum(map(len, prepared.parts.values()))
    assert placed == len(prepared.items) - 2 * 4
    assert prepared.report()["outside"] == 8
    assert "8 items with an answer on both sides of a border of the split left out" in prepared.notes


def test_series_of_different_spans_share_their_borders():
    late = START + 100 * HOUR
    rows = [*hours(200, more=",a"), *hours(100, start=late, more=",b")]
    prepared = prepare(read(rows, "date,load,heat,site", group="site"), Config({"name": "series"}))
    spans = prepared.items.spans
    assert spans[prepared.parts["train"], 1].max() < spans[prepared.parts["val"], 0].min()
    sites = prepared.items.columns.columns["site"]
    assert {*sites[prepared.parts["train"]]} == {"a", "b"}


def test_series_can_be_held_out_as_a_whole():
    rows = [f"{START + i * HOUR},{i},0,{site}" for site in "abcdefgh" for i in range(30)]
    split = Split(how="group", by="site", val=0.2, test=0.2)
    prepared = prepare(read(rows, "date,load,heat,site", group="site"), Config({"name": "series"}, split=split))
    sites = [{*prepared.items.columns.columns["site"][rows]} for rows in prepared.parts.values()]
    assert all(sites)
    assert not sites[0] & sites[1] | sites[0] & sites[2] | sites[1] & sites[2]


def test_borders_are_as_they_are_said():
    items = read(hours(100), borders=("2024-01-03", "2024-01-04 00:00", "2024-01-04T20:00:00"))
    prepared = prepare(items, Config({"name": "series"}))
    answered = [prepared.target[rows][:, 0, 1:] for rows in prepared.parts.values()]
    assert [(a.min(), a.max()) for a in answered] == [(3, 47), (48, 71), (72, 91)]
    assert "windows across or beyond the borders left out" in said(items)
    for borders in (("2024-01-03",), ("2024-01-04", "2024-01-03"), ("soon", "later"), ("2030-01-01", "2031-01-01")):
        with pytest.raises(DeepenError, match=r"data\.borders"):
            read(hours(100), borders=borders)


def test_scales_are_those_of_training_rows_alone():
    """Changing what only held-out windows see changes nothing that is fitted."""
    rows = hours(200)
    found = []
    for last in ("199,-199", "9999,5555"):
        prepared = prepare(read([*rows[:-1], rows[-1].replace("199,-199", last)]), Config({"name": "series"}))
        found.append(prepared.signature.to_json())
    assert found[0] == found[1]


def test_batches_are_the_windows_themselves():
    prepared = prepare(read(hours(100)), Config({"name": "series"}))
    normalise = Normalise(prepared.signature)
    normalise.fit(prepared.signature, prepared.columns, prepared.parts["train"])
    data = Data(prepared, normalise, Augment((), prepared.signature))
    rows = data.parts["val"][[3, 0, 5]]
    given = np.stack(prepared.items.raw(rows.tolist()))
    np.testing.assert_array_equal(data.take(rows)[0], given)
    (scaled,) = data.inputs(rows)
    encoder = prepared.signature.inputs["series"]
    expected = (given - np.array(encoder.mean)[:, None]) / np.array(encoder.scale)[:, None]
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)
    np.testing.assert_array_equal(data.targets(rows), prepared.target[rows.numpy()])


def test_windows_are_views_where_they_can_be():
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    every = Windows(values, np.arange(2, 8), 3)
    assert np.shares_memory(every.whole(), values)
    np.testing.assert_array_equal(every.whole(), every[np.arange(6)])
    np.testing.assert_array_equal(every[4], values[6:9].T)
    some = every.only(np.array([0, 3]))
    np.testing.assert_array_equal(some.whole(), every[np.array([0, 3])])
    np.testing.assert_array_equal(some.seen(), values[[2, 3, 4, 5, 6, 7]])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": None}, r"which column to forecast is not said. Expected one of date, load, heat"),
        ({"target": ("laod",)}, r"data.target: unknown column 'laod'. Did you mean 'load'"),
        ({"time": "day"}, r"data.time: unknown column 'day'"),
        ({"time": "load"}, r"data.time: 'load' is the target"),
        ({"target": ("date",), "time": None}, r"column 'date': holds '2024-01-01 00:00:00'. Expected numbers"),
        ({"history": 30, "horizon": 30}, r"the longest stretch without a gap has 40 rows. Expected at least 60"),
        ({"path": "gone.csv"}, "no such file"),
    ],
)
def test_mistakes_are_named(options, text):
    with pytest.raises(DeepenError, match=text):
        Series(**{"path": table(hours(40)), "target": ("load",), "time": "date", "horizon": 2, **options}).read()


def test_what_never_changes_is_refused_and_times_must_be_times():
    with pytest.raises(DeepenError, match=r"column 'load': nothing changes from one season of 1 to the next"):
        prepare(read([f"{START + i * HOUR},5,{i}" for i in range(40)]), Config({"name": "series"}))
    with pytest.raises(DeepenError, match=r"column 'date': holds 'a0'. Expected dates, or numbers"):
        read([f"a{i},{i},{i}" for i in range(40)])


def test_the_configuration_is_checked():
    with pytest.raises(DeepenError, match=r"data.horizon: got 0"):
        configs.parse({"data": {"name": "series", "path": "t.csv", "target": "load", "horizon": 0}})


def test_a_stray_cell_among_times_that_are_numbers_is_one_row(tmp_path):
    lines = [f"{t},{t % 7}" for t in range(100)]
    (tmp_path / "s.csv").write_text("\n".join(["t,v", *lines, "x1,3"]) + "\n")
    items = Series(str(tmp_path / "s.csv"), target=("v",), time="t").read()
    assert [(bad.id, bad.reason) for bad in items.bad] == [("s.csv:102", "column 't' holds 'x1', not a time")]
