"""The monitor on a live directory: silent where nothing changed, an alarm and exit code 3 where something did."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

import deepen
from deepen import bundle
from deepen.cli import main
from deepen.errors import DeepenError, Refused
from deepen.evaluation import live as drawn
from deepen.evaluation import quality as judged
from deepen.evaluation.intervals import wilson
from deepen.evaluation.quality import LEVEL, quality, read_labels
from deepen.kinds.number import Number
from deepen.monitoring import alerts, windows
from deepen.monitoring.windows import Alarm, follow
from deepen.store import durable
from deepen.store.live import Live, Pulse, Sample, pack
from deepen.training.finished import data_of
from tests.evaluation.test_report import HOSTILE, check

WINDOW = 60


@pytest.fixture(scope="module")
def served(digits_run, digits_bundle) -> tuple[Any, list[np.ndarray], list[str]]:
    """A predictor, unseen pictures, their labels."""
    prepared = data_of(digits_run)
    rows = np.random.default_rng(0).permutation(np.concatenate([prepared.parts["test"], prepared.parts["val"]]))
    assert len(rows) >= 8 * WINDOW
    labels = [str(prepared.items.target[int(row)]) for row in rows]
    return bundle.predictor(digits_bundle, 1), prepared.items.raw(rows), labels


@pytest.fixture
def live(digits_bundle, tmp_path) -> Live:
    place = Live.create(tmp_path / "live" / "digits")
    place.route({place.add(digits_bundle, "run"): 1.0})
    return place


def keep(live: Live, predictor: Any, pictures: Sequence[np.ndarray], start: float = 0.0, version: str = "1") -> None:
    """Samples as the server writes them, ten in each request's batch, two at each instant."""
    samples = []
    for i, picture in enumerate(pictures):
        arrays = predictor.encode([picture])
        answer = predictor([picture])[0]
        inputs = {name: pack(array) for name, array in arrays.items()}
        at = 1e9 + (start + i) // 2
        samples.append(Sample(at, f"{start:g}-{i}", version, "run", inputs, [answer], [0.5], 0.002, 0.1))
    for i in range(0, len(samples), 10):
        live.keep(samples[i : i + 10])


def dark(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [(picture // 2).astype(np.uint8) for picture in pictures]


def alerts_of(live: Live) -> list[dict[str, Any]]:
    return durable.lines(live.path / "alerts.jsonl")[0]


def test_unchanged_items_raise_nothing(live, served, capsys):
    predictor, pictures, _ = served
    keep(live, predictor, pictures[: 4 * WINDOW])
    found = deepen.monitor(str(live.path), window=WINDOW)
    assert found["alarms"] == []
    assert found["versions"]["1"]["window"] == 4
    assert alerts_of(live) == []
    shown = capsys.readouterr().out
    assert "window 4, 60 items, 0 alarms" in shown
    assert "inputs brightness" in shown


def test_darker_pictures_are_an_alarm_that_ends_three_windows_after_them(live, served, capsys):
    predictor, pictures, _ = served
    keep(live, predictor, pictures[: 2 * WINDOW])
    deepen.monitor(str(live.path), window=WINDOW)
    keep(live, predictor, dark(pictures[2 * WINDOW : 3 * WINDOW]), 1000)
    assert main(["monitor", str(live.path), f"window={WINDOW}"]) == 3
    told = capsys.readouterr()
    assert "ALARM    inputs: brightness has changed" in told.out
    assert "has changed" in told.err
    raised = alerts_of(live)
    assert {line["what"] for line in raised} == {"raised"}
    assert "1 inputs brightness" in {line["alarm"] for line in raised}

    with pytest.raises(Refused, match="has changed"):  # nothing new: it still stands, and is not told again
        deepen.monitor(str(live.path), window=WINDOW)
    assert len(alerts_of(live)) == len(raised)

    keep(live, predictor, pictures[3 * WINDOW : 8 * WINDOW], 2000)
    assert deepen.monitor(str(live.path), window=WINDOW)["alarms"] == []
    ended = [line["alarm"] for line in alerts_of(live) if line["what"] == "ended"]
    assert sorted(ended) == sorted(line["alarm"] for line in raised)


def test_looked_at_bit_by_bit_is_as_looked_at_once(digits_bundle, served, tmp_path):
    """A monitor that is stopped anywhere goes on where it was, also between two items of one instant."""
    predictor, pictures, _ = served
    many = [*pictures[:150], *dark(pictures[150:250]), *pictures[250:330]]
    found = []
    for name, cuts in (("once", [330]), ("bits", [7, 130, 131, 200, 330])):
        live = Live.create(tmp_path / name)
        live.route({live.add(digits_bundle): 1.0})
        before = 0
        for cut in cuts:
            keep(live, predictor, many[before:cut], before)
            before = cut
            state, _ = windows.advance(
                live, windows.load(live, 61), {"1": windows.Watched(live.bundle("1"), 0.005, {})}
            )
            windows.save(live, state)
        found.append(
            [(c.number, c.start, c.end, c.items, [(j.finding.column, j.p) for j in c.found]) for c in state.checks]
        )
    assert found[0] == found[1]
    assert len(found[0]) == 5


def test_two_versions_are_judged_apart(live, served, digits_bundle, tmp_path):
    predictor, pictures, _ = served
    other = tmp_path / "other"  # the same bundle is not put in twice
    shutil.copytree(digits_bundle, other)
    (other / "manifest.json").write_text(json.dumps(json.loads((other / "manifest.json").read_text())))
    live.route({"1": 0.9, live.add(other): 0.1})
    keep(live, predictor, pictures[:WINDOW])
    keep(live, predictor, dark(pictures[:WINDOW]), 1000, version="2")
    with pytest.raises(Refused, match="of version 2: "):
        deepen.monitor(str(live.path), window=WINDOW)
    state = windows.load(live, WINDOW)
    assert {check.version: bool(check.alarms) for check in state.checks} == {"1": False, "2": True}
    live.route({"1": 1.0})
    assert deepen.monitor(str(live.path), window=WINDOW)["alarms"] == []  # who does not serve raises nothing


def test_settings_of_monitors_are_checked_and_used(live, served):
    predictor, pictures, _ = served
    keep(live, predictor, dark(pictures[:WINDOW]))
    loose = {"ks.least": 1e6, "fisher.least": "1e6", "mmd.least": 1e6}
    assert deepen.monitor(str(live.path), window=WINDOW, **loose)["alarms"] == []
    with pytest.raises(DeepenError, match="Expected a number above 0"):
        deepen.monitor(str(live.path), **{"ks.least": 0})
    with pytest.raises(DeepenError, match="Did you mean 'ks'"):
        deepen.monitor(str(live.path), **{"k.least": 1})


def test_another_window_size_begins_anew(live, served):
    predictor, pictures, _ = served
    keep(live, predictor, pictures[: 2 * WINDOW])
    deepen.monitor(str(live.path), window=WINDOW)
    assert deepen.monitor(str(live.path), window=2 * WINDOW)["versions"]["1"]["window"] == 1


# ---------------------------------------------------------------- how right, how fast


def labelled(tmp_path: Path, labels: Sequence[Any]) -> Path:
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps({"id": f"0-{i}", "label": label}) + "\n" for i, label in enumerate(labels)))
    return file


def test_the_figure_in_service_is_set_beside_that_of_the_export(live, served, tmp_path):
    predictor, pictures, labels = served
    keep(live, predictor, pictures[:100])
    file = labelled(tmp_path, labels[:100])
    found = deepen.monitor(str(live.path), window=WINDOW, labels=str(file))["versions"]["1"]["quality"]
    right = np.mean([a["label"] == t for a, t in zip(predictor(pictures[:100]), labels)])
    assert found["now"][0] == right
    assert found["now"][1] < right <= found["now"][2]
    assert (found["items"], found["worse"]) == (100, False)

    wrong = labelled(tmp_path, [str((int(label) + 1) % 10) for label in labels[:100]])
    with pytest.raises(Refused, match="on the newest 100 labelled items in service") as refused:
        deepen.monitor(str(live.path), window=WINDOW, labels=str(wrong))
    assert refused.value.measured["versions"]["1"]["quality"]["worse"]  # who asks for JSON gets what was measured


def test_what_goes_wrong_now_is_not_hidden_by_what_was_right_long_ago(live, served, monkeypatch):
    predictor, pictures, _ = served
    watched = windows.Watched(live.bundle("1"), 0.005, {})
    keep(live, predictor, pictures[:90])
    told = [a["label"] for a in predictor(pictures[:90])]
    known = {(f"0-{i}", None): told[i] if i < 60 else str((int(told[i]) + 1) % 10) for i in range(90)}
    monkeypatch.setattr(judged, "LATEST", 30)
    found = quality(watched, live.samples(), known, "labels")
    assert found is not None
    assert (found.now[0], found.items, found.worse) == (0.0, 30, True)


def test_labels_that_do_not_say_which_item_are_left_out(live, served):
    predictor, pictures, labels = served
    watched = windows.Watched(live.bundle("1"), 0.005, {})
    keep(live, predictor, pictures[:30])
    samples = list(live.samples())
    known = {(f"0-{i}", None): label for i, label in enumerate(labels[:30])}
    among = [msgspec.structs.replace(sample, row=1, of=3) for sample in samples[:4]]
    found = quality(watched, [*among, *samples[4:]], known, "labels")
    assert found is not None
    assert (found.items, found.left_out) == (26, 4)
    named = {("0-0", 1): labels[0], ("0-1", 0): labels[0], ("0-4", 0): labels[4]}
    found = quality(watched, [*among, *samples[4:]], {**known, **named}, "labels")
    assert found is not None
    assert (found.items, found.left_out) == (27, 3)
    assert quality(watched, samples[:19], known, "labels") is None
    with pytest.raises(DeepenError, match="class 'x' is not known"):
        quality(watched, samples, {**known, ("0-3", None): "x"}, "labels")


def test_a_label_is_set_beside_the_answer_it_is_meant_for(live, served, tmp_path):
    """Requests of three items each: the labels name the row, and say that every second answer is wrong."""
    predictor, pictures, _ = served
    watched = windows.Watched(live.bundle("1"), 0.005, {})
    keep(live, predictor, pictures[:40])
    samples = [
        msgspec.structs.replace(sample, id=str(i // 3), row=i % 3, of=3) for i, sample in enumerate(live.samples())
    ]
    given = [sample.answers[0]["label"] for sample in samples]
    rows = [
        {"id": str(i // 3), "row": i % 3, "label": label if i % 2 else str((int(label) + 1) % 10)}
        for i, label in enumerate(given)
    ]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = quality(watched, samples, read_labels(file), "labels")
    assert found is not None
    assert (found.now[0], found.items, found.left_out) == (0.5, 40, 0)


def test_an_export_writes_down_the_interval_of_its_figure(digits_bundle):
    parity = json.loads((digits_bundle / "parity.json").read_text())
    assert parity["interval"] == list(wilson(parity["candidate"], parity["items"], LEVEL))


@pytest.mark.parametrize(
    ("interval", "worse"), [([0.5, 0.9], True), ([0.5, 1.4], False), (None, False)], ids=["apart", "together", "none"]
)
def test_a_figure_that_is_no_share_is_worse_only_where_its_intervals_lie_apart(interval, worse, tmp_path):
    kind = Number(mean=0.0, scale=1.0)
    parity = {"metric": kind.metric, "candidate": 0.7, "items": 30, "interval": interval}
    (tmp_path / "parity.json").write_text(json.dumps(parity))
    watched = SimpleNamespace(path=tmp_path, signature=SimpleNamespace(answer=kind, outputs={"y": kind}))
    errors = np.random.default_rng(0).normal(0, 1.2, 400)
    samples = [
        Sample(0.0, str(i), "1", "run", {}, [{"value": float(e)}], [0.5], 0.1, 0.1) for i, e in enumerate(errors)
    ]
    found = quality(watched, samples, {(str(i), None): 0.0 for i in range(400)}, "labels")
    assert found is not None
    assert found.now[1] > 1.0
    assert found.worse == worse
    json.dumps(found.document(), allow_nan=False)


@pytest.mark.parametrize(
    "line", ["[]", "{", '{"id": 1}', "7", '{"id": 1, "label": 2, "row": -1}', '{"id": 1, "label": 2, "row": "a"}']
)
def test_a_broken_line_of_labels_is_named(tmp_path, line):
    file = tmp_path / "labels.jsonl"
    file.write_text(f'{{"id": "a", "label": 1}}\n\n{line}\n')
    with pytest.raises(DeepenError, match=r"labels.jsonl:3"):
        read_labels(file)


def pulses(now: float, count: int, failed: int, p95: float) -> list[Pulse]:
    latency = {"p50": p95 / 2, "p95": p95, "p99": p95 * 2}
    return [
        Pulse(now - 10 * (count - i), 10, 50, 50 - failed, {"internal": failed}, latency, {"1": 50}, 0, 0.5, 100 << 20)
        for i in range(count)
    ]


def test_errors_and_latency_of_the_service_are_alarms(live, monkeypatch):
    import time

    for pulse in pulses(time.time(), 6, 5, 0.3):
        live.beat(pulse)
    with pytest.raises(
        Refused, match=r"10.0% of 300 requests in the last hour failed, most of them with internal; and 1 more"
    ):
        deepen.monitor(str(live.path), latency=0.2)
    names = {line["alarm"] for line in alerts_of(live)}
    assert names == {"service errors", "service latency"}


def test_a_service_within_its_limits_is_no_alarm(live):
    import time

    for pulse in pulses(time.time(), 6, 2, 0.1):
        live.beat(pulse)
    assert deepen.monitor(str(live.path), latency=0.2)["alarms"] == []


@pytest.mark.parametrize(
    ("ago", "seconds", "silent"), [(55, 10, False), (65, 10, True), (2 * 86400, 10, True), (65, 30, False)]
)
def test_a_service_that_writes_no_pulse_is_an_alarm(live, ago, seconds, silent):
    """Not where there never was one; and what writes one now and then only has more time."""
    import time

    assert deepen.monitor(str(live.path))["alarms"] == []
    live.beat(Pulse(time.time() - ago, seconds, 0, 0, {}, {}, {"1": 0}, 0, 0.1, 1 << 20))
    if not silent:
        assert deepen.monitor(str(live.path))["alarms"] == []
        return
    with pytest.raises(Refused, match="the service has given no sign of life for"):
        deepen.monitor(str(live.path))
    assert [line["alarm"] for line in alerts_of(live)] == ["service silent"]


# ---------------------------------------------------------------- telling


@pytest.fixture
def listener() -> Iterator[tuple[str, list[dict[str, Any]], list[int]]]:
    """An address that takes JSON, what it was sent, and the status it answers with."""
    got: list[dict[str, Any]] = []
    status = [204]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status[0])
            self.send_header("location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", got, status
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alarm_is_posted_once(live, served, listener):
    predictor, pictures, _ = served
    address, got, _ = listener
    keep(live, predictor, dark(pictures[:WINDOW]))
    for _ in range(2):
        with pytest.raises(Refused):
            deepen.monitor(str(live.path), window=WINDOW, webhook=address)
    assert [alert["alarm"] for alert in got] == [line["alarm"] for line in alerts_of(live)]
    assert got[0]["live"] == "digits"
    assert got[0]["what"] == "raised"


@pytest.mark.parametrize("answer", [500, 302])
def test_an_address_that_fails_or_sends_elsewhere_is_told_and_stops_nothing(live, served, listener, answer, capsys):
    predictor, pictures, _ = served
    address, got, status = listener
    status[0] = answer
    keep(live, predictor, dark(pictures[:WINDOW]))
    with pytest.raises(Refused):
        deepen.monitor(str(live.path), window=WINDOW, webhook=address)
    assert f"was not told: {answer}" in capsys.readouterr().out
    assert len(got) == len(alerts_of(live)) > 0
    assert alerts.post("http://127.0.0.1:1/", {}) != ""


def test_an_address_that_talks_something_else_stops_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as line:
                line.recv(1 << 16)
                line.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "SSH-2.0-x" in alerts.post(f"http://127.0.0.1:{server.getsockname()[1]}/", {})
        thread.join()
    assert "control characters" in alerts.post("http://127.0.0.1/a b", {})


def test_what_was_judged_is_kept_before_anyone_is_told(live, served, monkeypatch):
    predictor, pictures, _ = served
    keep(live, predictor, dark(pictures[:WINDOW]))
    monkeypatch.setattr(alerts, "post", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deepen.monitor(str(live.path), window=WINDOW, webhook="http://127.0.0.1:1/")
    assert windows.load(live, WINDOW).alarms


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://x/y", "http://", "x", "http://x:y/", "http://x:99999/", "http://["]
)
def test_other_addresses_are_refused(live, address):
    with pytest.raises(DeepenError, match="Expected http"):
        deepen.monitor(str(live.path), webhook=address)


def test_prometheus_reads_what_is_written(live, served, tmp_path):
    predictor, pictures, _ = served
    keep(live, predictor, pictures[:WINDOW])
    deepen.monitor(str(live.path), window=WINDOW, prometheus=str(tmp_path / "deepen.prom"))
    text = (tmp_path / "deepen.prom").read_text()
    assert "# TYPE deepen_drift_p gauge\n" in text
    assert 'deepen_monitor_alarms{live="digits"} 0\n' in text
    assert 'deepen_drift_effect{live="digits",version="1",group="inputs",column="brightness",monitor="ks"} ' in text
    assert "deepen_live_metric" not in text  # no labels were given
    names = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    assert names == sorted(names, key=names.index)  # the samples of a name stand together
    odd = alerts.exposition({"a": "b"}, [("a", {"x": 'q"\\\n'}, 1.5)])
    assert odd.splitlines()[-1] == 'a{x="q\\"\\\\\\n"} 1.5'


# ---------------------------------------------------------------- the page


def test_the_page_is_whole_and_says_what_stands(live, served):
    predictor, pictures, _ = served
    keep(live, predictor, [*pictures[:WINDOW], *dark(pictures[WINDOW : 2 * WINDOW])])
    for pulse in pulses(1e9, 6, 5, 0.3):
        live.beat(pulse)
    with pytest.raises(Refused):
        deepen.monitor(str(live.path), window=WINDOW)
    parsed = check((live.path / "monitor.html").read_text())
    words = " ".join(parsed.words)
    assert "stand." in words
    assert "brightness has changed" in words
    assert "Window 2" in words


def test_hostile_names_stay_text_on_the_page_too(live, served):
    predictor, pictures, _ = served
    keep(live, predictor, [*pictures[:WINDOW], *dark(pictures[WINDOW : 2 * WINDOW])])
    state, _ = windows.advance(live, windows.load(live, WINDOW), {"1": windows.Watched(live.bundle("1"), 0.005, {})})
    strange = []
    for one in state.checks:
        found = tuple(
            msgspec.structs.replace(
                j, finding=msgspec.structs.replace(j.finding, column=HOSTILE[i % len(HOSTILE)], says=HOSTILE[0], bins=tuple(HOSTILE), before=(0.1,) * 10, now=(0.2,) * 10)
            )
            for i, j in enumerate(one.found)
        )  # fmt: skip
        strange.append(msgspec.structs.replace(one, found=found))
    alarms = tuple(Alarm(name, name, 1e9) for name in HOSTILE)
    state = msgspec.structs.replace(state, checks=tuple(strange), alarms=alarms)
    check(drawn.page(HOSTILE[0], state, {"1": 1.0, HOSTILE[1]: 0.5}, pulses(1e9, 5, 1, 0.1), {}, 1e9))


# ---------------------------------------------------------------- parts


def test_an_alarm_stands_until_three_looks_do_not_see_it():
    alarms, raised, ended = follow([], "1 ", {"1 a": "x"}, 5.0)
    assert (raised, ended) == ([Alarm("1 a", "x", 5.0)], [])
    for quiet in (1, 2):
        alarms, raised, ended = follow(alarms, "1 ", {}, 6.0)
        assert (alarms, raised, ended) == ([Alarm("1 a", "x", 5.0, quiet)], [], [])
    again, raised, _ = follow(alarms, "1 ", {"1 a": "y"}, 7.0)
    assert (again, raised) == ([Alarm("1 a", "y", 5.0)], [])
    alarms, _, ended = follow(alarms, "1 ", {}, 7.0)
    assert (alarms, [a.name for a in ended]) == ([], ["1 a"])
    other = [Alarm("12 a", "x", 5.0)]
    assert follow(other, "1 ", {}, 6.0) == (other, [], [])


def test_a_directory_without_a_route_and_a_bundle_without_a_reference_are_told(live, digits_bundle, tmp_path):
    with pytest.raises(DeepenError, match="no version answers there"):
        deepen.monitor(str(Live.create(tmp_path / "empty").path))
    import shutil

    old = tmp_path / "old"
    shutil.copytree(digits_bundle, old)
    (old / "reference.json").unlink()
    about = bundle.manifest(digits_bundle)
    bundle.seal(old, **{k: v for k, v in about.items() if k not in {"files", "format"}})
    live.route({live.add(old): 1.0})
    with pytest.raises(DeepenError, match="Export the run again"):
        deepen.monitor(str(live.path))


def test_a_damaged_record_is_told(live):
    (live.path / "monitor.json").write_bytes(durable.line({"format": 1, "window": "x"}))
    with pytest.raises(DeepenError, match=r"monitor.json"):
        deepen.monitor(str(live.path))


def test_watching_goes_on_until_it_is_stopped(live, served):
    predictor, pictures, _ = served
    keep(live, predictor, pictures[:WINDOW])
    words = [sys.executable, "-m", "deepen", "monitor", str(live.path), f"window={WINDOW}", "--watch", "every=0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        looks = 0
        for line in child.stdout:
            looks += line.startswith("page")
            if looks == 2:
                break
        child.terminate()
    assert looks == 2


def test_it_imports_no_torch(live):
    code = "import sys, deepen; deepen.monitor(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(live.path)], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(("unsure", "panels"), [(0.0, 3), (0.2, 4)])
def test_uncertainty_is_drawn_where_an_answer_tells_it(unsure, panels):
    checks: list[Any] = [SimpleNamespace(number=n, found=[], uncertainty=unsure, latency=0.1) for n in (1, 2)]
    assert len(drawn.course(checks)) == panels
