"""A live directory: who answers is never half changed, samples survive a crash and go away when they should."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from deepen.errors import DeepenError
from deepen.store import durable, records
from deepen.store.live import Live, Pulse, Sample, pack, unpack
from deepen.store.records import Records
from tests.store.faulty_disk import Recorder, write_tree


def bundle(place: Path, text: str = "graph") -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "graph.onnx").write_text(text)
    return place


@pytest.fixture
def live(tmp_path: Path) -> Live:
    made = Live.create(tmp_path / "live" / "shop")
    for text in ("one", "two", "three"):
        made.add(bundle(tmp_path / text, text), run=f"run-{text}")
    return made


def test_versions_are_copies_that_stay(live, tmp_path):
    (tmp_path / "one" / "graph.onnx").write_text("changed")
    assert live.name == "shop"
    assert list(live.state().versions) == ["1", "2", "3"]
    assert live.state().versions["2"].run == "run-two"
    assert (live.bundle("1") / "graph.onnx").read_text() == "one"
    assert Live.create(live.path).state() == live.state()


def test_a_bundle_that_was_being_put_in_when_the_power_went_is_put_in_again(live, tmp_path, monkeypatch):
    class Power(BaseException):
        pass

    def fail(*_: object) -> None:
        raise Power

    with monkeypatch.context() as broken:
        broken.setattr(live, "_write", fail)
        with pytest.raises(Power):
            live.add(bundle(tmp_path / "four", "four"))
    assert live.add(bundle(tmp_path / "five", "five")) == "4"
    assert (live.bundle("4") / "graph.onnx").read_text() == "five"


def test_shares_add_up_and_the_route_before_comes_back(live):
    live.route({"1": 1})
    live.route({"1": 9, "2": 1}, shadow="3")
    assert live.state().route.shares == {"1": 0.9, "2": 0.1}
    assert live.state().route.shadow == "3"
    live.route({"2": 1})
    assert live.rollback().route.shares == {"1": 0.9, "2": 0.1}
    assert live.rollback().route.shares == {"1": 1}
    with pytest.raises(DeepenError, match="no earlier route"):
        live.rollback()
    assert [event["what"] for event in live.events()][3:] == ["routed"] * 3 + ["rolled back"] * 2


@pytest.mark.parametrize(
    ("shares", "shadow", "text"),
    [
        ({}, "", "at least one, each above 0"),
        ({"1": 0}, "", "at least one, each above 0"),
        ({"1": -1, "2": 2}, "", "at least one, each above 0"),
        ({"1": float("nan")}, "", "at least one, each above 0"),
        ({"1": float("inf")}, "", "at least one, each above 0"),
        ({"7": 1}, "", "no version '7'"),
        ({"../1": 1}, "", "no version '../1'"),
        ({"1": 1}, "1", "answers and is a shadow"),
        ({"1": 1}, "8", "no version '8'"),
    ],
)
def test_a_route_that_makes_no_sense_changes_nothing(live, shares, shadow, text):
    live.route({"1": 1})
    with pytest.raises(DeepenError, match=text.replace(".", r"\.")):
        live.route(shares, shadow)
    assert live.state().route.shares == {"1": 1}


def test_a_refused_version_leaves_the_route_to_the_others(live):
    live.route({"1": 1})
    live.route({"1": 0.5, "2": 0.5}, shadow="3")
    assert live.refuse("2", "golden answers differ").route.shares == {"1": 1}
    assert live.state().route.shadow == "3"
    assert live.refuse("3", "half copied").route.shadow == ""
    with pytest.raises(DeepenError, match="version 2 was refused"):
        live.route({"2": 1})


def test_where_only_a_refused_version_is_left_the_route_before_is_taken(live):
    live.route({"1": 1})
    live.route({"2": 1})
    live.route({"3": 1})
    live.refuse("2", "broken")
    assert live.refuse("3", "broken").route.shares == {"1": 1}
    assert live.refuse("1", "broken").route.shares == {"1": 1}  # nothing better is known
    assert [v.refused for v in live.state().versions.values()] == ["", "broken", "broken"]


def test_old_versions_go_but_never_one_that_may_come_back(live, tmp_path):
    live.route({"1": 1})
    live.route({"2": 1})
    for number in range(12):
        live.add(bundle(tmp_path / f"more{number}"))
    live.route({"15": 1})
    left = sorted(map(int, live.state().versions))
    assert left == [1, 2, 11, 12, 13, 14, 15]
    assert sorted(int(p.name) for p in (live.path / "bundles").iterdir()) == left
    assert live.rollback().route.shares == {"2": 1}
    assert live.add(bundle(tmp_path / "next")) == "16"


def test_what_is_no_live_directory_says_so(tmp_path, live):
    with pytest.raises(DeepenError, match=r"no live\.json there"):
        Live.open(tmp_path)
    file = live.path / "live.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"1"', b'"4"', 1))
    with pytest.raises(DeepenError, match="not what was written"):
        live.state()
    file.write_bytes(durable.line({"format": 2}))
    with pytest.raises(DeepenError, match="Update deepen"):
        live.state()
    for data in (b"", whole[:50], durable.line({"format": 1, "route": 7})):
        file.write_bytes(data)
        with pytest.raises(DeepenError, match=r"live\.json"):
            live.state()


def test_whatever_the_disk_forgets_a_route_is_the_old_or_the_new(live, tmp_path):
    live.route({"1": 1})
    with Recorder(live.path) as disk:
        live.add(bundle(tmp_path / "fourth"))
        live.route({"4": 1})
    seen = set()
    for number, (_, _, tree) in enumerate(disk.states):
        place = tmp_path / f"crash{number}"
        write_tree(tree, place)
        state = Live.open(place).state()
        seen.add((len(state.versions), *state.route.shares))
        for version in state.versions:
            assert version == "4" or (place / "bundles" / version / "graph.onnx").read_text() in {"one", "two", "three"}
    assert seen == {(3, "1"), (4, "1"), (4, "4")}


# ---------------------------------------------------------------- samples


def sample(name: str, when: float = 0, value: float = 1) -> Sample:
    inputs = {"array": pack(np.full((1, 3), value, np.float32))}
    return Sample(when or time.time(), name, "1", "r", inputs, [{"label": "é"}], [0.25], 0.002, 0.01)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool", ">f4", "float16"])
def test_arrays_come_back_as_they_were(dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.testing.assert_array_equal(unpack(pack(array)), array)
    assert unpack(pack(array[:, 1:, ::2])).tolist() == array[:, 1:, ::2].tolist()
    assert unpack(pack(array[:0])).shape == (0, 3, 4)


def test_samples_come_back_in_order_and_can_be_erased(live):
    assert list(live.samples()) == []
    live.keep([sample("a", 100), sample("b", 101)])
    live.keep([sample("c", 102, value=7)])
    assert [s.id for s in live.samples()] == ["a", "b", "c"]
    assert [s.id for s in live.samples(since=101)] == ["b", "c"]
    last = list(live.samples())[-1]
    assert last == sample("c", 102, value=7)
    assert last.arrays()["array"].tolist() == [[7, 7, 7]]
    assert live.erase(lambda s: s.id == "b") == 1
    assert [s.id for s in live.samples()] == ["a", "c"]
    assert b'"id": "b"' not in b"".join(p.read_bytes() for p in (live.path / "samples").iterdir())
    live.keep([sample("d", 103)])
    assert [s.id for s in live.samples()] == ["a", "c", "d"]
    assert live.events()[-1]["samples"] == 1


def test_a_torn_batch_is_left_out_whole(live):
    live.keep([sample("a")])
    (file,) = (live.path / "samples").iterdir()
    whole = file.read_bytes()
    live.keep([sample("b"), sample("c")])
    torn = file.read_bytes()
    for length in range(len(whole), len(torn), 97):
        file.write_bytes(torn[:length])
        assert [s.id for s in live.samples()] == ["a"]
    live.keep([sample("d")])
    assert [s.id for s in live.samples()] == ["a", "d"]


def test_old_and_too_many_records_go(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FILE", 1000)
    kept = Records(tmp_path / "r", most=5000, days=1)
    for number in range(200):
        kept.append([{"time": number, "text": "x" * 100}])
    found = [record["time"] for record in kept.read()]
    assert found == list(range(found[0], 200))
    assert sum(p.stat().st_size for p in kept.files()) < 5000 + 2 * 1200
    many = Records(tmp_path / "r", days=1)
    old = many.files()[:-1]
    for file in old:
        os.utime(file, (1, 1))
    for number in range(200, 220):
        many.append([{"time": number, "text": "x" * 100}])
    assert not [file for file in old if file.exists()]
    found = [record["time"] for record in many.read()]
    assert found == list(range(found[0], 220))


def test_records_go_with_their_days_also_where_nothing_new_comes(tmp_path):
    now = [1e9]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records.time, "time", lambda: now[0])
        kept = Records(tmp_path / "r", days=10)
        for day in range(20):
            kept.append([{"time": now[0], "day": day}])
            for file in kept.files()[-1:]:
                os.utime(file, (now[0], now[0]))
            assert all(record["day"] >= day - 11 for record in kept.read())
            now[0] += 86400
        kept.erase(lambda record: record["day"] == 19)
        assert [record["day"] for record in kept.read()][-1] == 18
        now[0] += 20 * 86400
        kept.retire()
        assert kept.files() == []


def test_days_that_samples_stay_are_the_directorys_own(live):
    live.settle(7)
    live._samples.append([{"time": 1.0}])
    (old,) = live._samples.files()
    os.utime(old, (1, 1))
    again = Live.open(live.path)
    again.beat(Pulse(5, 10, 3, 2, {}, {}, {}, 0, 0.5, 1 << 20))
    assert (again.state().keep, again._samples.days) == (7, 7)
    assert not old.exists()
    with pytest.raises(DeepenError, match="above 0"):
        live.settle(0)


def test_a_file_whose_time_is_behind_that_of_its_records_is_read(tmp_path):
    """The kernel stamps files by a clock that is milliseconds behind."""
    kept = Records(tmp_path)
    kept.append([{"time": 5.0}])
    os.utime(kept.files()[0], (4.99, 4.99))
    assert list(kept.read(since=5.0)) == [{"time": 5.0}]


def test_files_that_were_full_before_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FILE", 300)
    kept = Records(tmp_path / "r")
    for number in range(40):
        kept.append([{"time": number, "text": "x" * 100}])
    files = kept.files()
    assert len(files) > 8
    for number, file in enumerate(files):
        os.utime(file, (2 * number, 2 * number))
    read = []
    whole = durable.lines
    monkeypatch.setattr(durable, "lines", lambda path: read.append(path) or whole(path))
    found = list(kept.read(since=2 * len(files) - 4))
    assert read == files[-2:]
    assert [record["time"] for record in found][-1] == 39
    read.clear()
    assert kept.last() == {"time": 39, "text": "x" * 100}
    assert read == files[-1:]
    kept.erase(lambda record: record["time"] > 36)
    assert kept.last()["time"] == 36
    assert Records(tmp_path / "none").last() is None


def test_the_pulse_comes_back(live):
    assert live.beaten() is None
    one = Pulse(5, 10, 3, 2, {"request.json": 1}, {"p50": 0.1}, {"1": 2}, 0, 0.5, 1 << 20)
    live.beat(one)
    assert live.beaten() == one
    assert list(live.pulse()) == [one]
    assert list(live.pulse(since=6)) == []
