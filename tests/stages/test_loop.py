"""The closed loop: drifted requests to labels, a new run, promotion, and every way it can end or be cut off."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepen
from deepen import bundle
from deepen.cli import main
from deepen.errors import DeepenError, Refused
from deepen.evaluation.candidate import against
from deepen.labelling.asking import choose
from deepen.looping.beside import Pair, moved
from deepen.looping.choosing import chosen
from deepen.looping.round import Round, Terms
from deepen.looping.steps import go as go_on
from deepen.preprocess.image import png
from deepen.serving import pace
from deepen.sources.digits import Digits
from deepen.store import durable
from deepen.store.live import Beside, Live, Pulse, Sample, pack
from deepen.store.loop import Ledger
from deepen.store.run import Run
from deepen.training.finished import config_of

SETTINGS: dict[str, Any] = {"threads": 1, "epochs": 8, "model": "mlp", "hidden": [64]}
TERMS: dict[str, Any] = {
    "ask": 120,
    "least": 100,
    "compare": 50,
    "hold": 50,
    "wait": 0,
    "labeller": f"{__name__}:truth",
    "epochs": 30,
}
ASKED: list[int] = []  # how many the labeller was asked


def truth(paths: list[str]) -> list[str]:
    """A labeller that knows every digit, upright or inverted, by its pixels."""
    from deepen.preprocess.image import Image

    ASKED.append(len(paths))
    digits = Digits().read()
    known = {}
    for picture, label in zip(digits.inputs["image"], digits.target):
        known[picture.tobytes()] = known[(255 - picture).tobytes()] = str(label)
    read = Image(8, 8, 1)
    return [known[read.one(path).tobytes()] for path in paths]


def silent(paths: list[str]) -> None:
    """A labeller that forgot to return what it found."""


def nothing(paths: list[str]) -> list[str]:
    return []


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    """A run on a folder of 700 digits, and its bundle."""
    place = tmp_path_factory.mktemp("loop")
    digits = Digits().read()
    for row in range(700):
        folder = place / "photos" / str(digits.target[row])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.png").write_bytes(png(digits.inputs["image"][row]))
    run = deepen.train(str(place / "photos"), output=str(place / "runs"), **SETTINGS)
    deepen.export(str(run.path))
    return run


@pytest.fixture
def dataset(trained, tmp_path) -> str:
    return str(shutil.copytree(trained.path.parents[1] / "photos", tmp_path / "photos"))


@pytest.fixture
def live(trained, tmp_path) -> Live:
    place = Live.create(tmp_path / "live" / "digits")
    place.route({place.add(trained.path / "exports" / "onnx", trained.id): 1.0})
    return place


def asked(
    live: Live, count: int = 300, inverted: float = 0.7, start: int = 700, version: str = "1", seed: int | None = None
) -> None:
    """Samples as the server writes them: so many unseen digits, a share of them inverted; with a seed any of them."""
    predictor = bundle.predictor(live.bundle(version), 1)
    pictures = Digits().read().inputs["image"][start : start + count]
    if seed is not None:  # what one writer wrote stands together
        pictures = np.random.default_rng(seed).choice(Digits().read().inputs["image"][start:], count)
    samples = []
    for i, picture in enumerate(pictures):
        picture = 255 - picture if i < inverted * count else picture
        arrays = predictor.encode([picture])
        unsure = float(predictor.signature.answer.uncertainty(predictor.run(arrays))[0])
        inputs = {name: pack(array) for name, array in arrays.items()}
        samples.append(
            Sample(time.time(), f"{start}-{i}", version, "run", inputs, predictor([picture]), [unsure], 0.002, 1.0)
        )
    live.keep(samples)


def beat(
    live: Live, items: int = 100, shadow: dict[str, float] | None = None, failed: int = 0, beside: Beside | None = None
) -> None:
    """A pulse of a stretch that is over: whoever answers answered; a shadow was compared."""
    route = live.state().route
    compared = {route.shadow: {"compared": items, "seconds": 0.1, **(shadow or {})}} if route.shadow else {}
    errors = {"internal": failed, "item.invalid": 3} if failed else {}
    versions = dict.fromkeys(route.shares, items)
    pairs = {route.shadow: beside} if beside else {}
    live.beat(Pulse(time.time(), 0.0, items + failed, items, errors, {}, versions, 0, 0.1, 1 << 20, compared, pairs))


def steps(live: Live, round: int = 1) -> list[str]:
    return [line["step"] for line in Ledger(live.path).lines() if line["round"] == round]


def finish(live: Live, dataset: str, **more: Any) -> dict[str, Any]:
    """Rounds of the verb, with traffic in between, until the round is over."""
    for _ in range(5):
        found = deepen.loop(str(live.path), dataset, **{**TERMS, **more})
        if found["state"] != "waiting":
            return found
        beat(live)
    raise AssertionError(found)


WHOLE = ["chosen", "queued", "labelled", "trained", "judged", "beside", "compared", "promoted", "kept"]


def test_from_drifted_requests_to_a_better_version_in_service(live, dataset, trained, capsys):
    asked(live)
    found = finish(live, dataset)
    assert found["state"] == "kept"
    assert steps(live) == WHOLE
    done = {line["step"]: line for line in found["steps"]}
    why = list(done["chosen"]["items"].values())
    assert (why.count("drifted"), why.count("uncertain"), why.count("random")) == (48, 36, 36)
    run = Run.open(done["trained"]["run"])
    assert run.info["parent"] == trained.id
    assert done["judged"]["new"]["before"] < 0.5 < 0.7 < done["judged"]["new"]["after"]
    assert config_of(run).train.new_share == 0.5
    assert live.state().route.shares == {"2": 1.0}
    assert live.state().route.shadow == ""
    predictor = bundle.predictor(live.bundle("2"), 1)
    digits = Digits().read()
    answers = predictor([255 - p for p in digits.inputs["image"][1200:1500]])
    before = bundle.predictor(live.bundle("1"), 1)([255 - p for p in digits.inputs["image"][1200:1500]])
    truths = [str(t) for t in digits.target[1200:1500]]
    right = [np.mean([a["label"] == t for a, t in zip(some, truths)]) for some in (before, answers)]
    assert right[1] > right[0] + 0.3  # on unseen inverted digits
    told = capsys.readouterr().out
    for step in WHOLE:
        assert f"\n{step:<12} " in told


class Power(BaseException):
    """The power goes."""


def test_cut_off_before_or_after_any_step_it_goes_on_as_if_nothing_had_happened(live, dataset, monkeypatch):
    """Each step is done, and not or just written down, when the power goes; one labeller, one run, one promotion."""
    asked(live)
    ASKED.clear()
    note = Ledger.note
    for step in WHOLE:
        for written in (False, True):

            def fail(self, number, what, *, _step=step, _written=written, **found):
                if what != _step:
                    return note(self, number, what, **found)
                if _written:
                    note(self, number, what, **found)
                raise Power

            with monkeypatch.context() as broken:
                broken.setattr(Ledger, "note", fail)
                with pytest.raises(Power):
                    while deepen.loop(str(live.path), dataset, **TERMS)["state"] == "waiting":
                        beat(live)
    assert steps(live) == WHOLE
    assert ASKED == [120]
    assert len(list((live.path / "rounds" / "1").glob("*/run.json"))) == 1
    assert len(list(Path(dataset, "unlabelled").iterdir())) == 120
    events = [event["what"] for event in live.events()]
    assert events == ["added", "routed", "added", "routed", "routed", "routed"]
    assert live.state().route.shares == {"2": 1.0}
    found = deepen.loop(str(live.path), dataset, **TERMS)  # the next round waits for new items
    assert (found["round"], found["state"]) == (2, "waiting")
    assert "120 sampled items to choose from, 0 so far" in found["waiting"]


def through(live: Live, dataset: str, last: str, **more: Any) -> None:
    """A round up to a step that is done."""
    for _ in range(5):
        deepen.loop(str(live.path), dataset, **{**TERMS, **more})
        if last in steps(live):
            return
        beat(live)
    raise AssertionError(steps(live))


def test_a_worse_candidate_is_refused_and_the_round_is_over(live, dataset, capsys):
    asked(live)
    words = [f"{key}={value}" for key, value in {**TERMS, "epochs": 1, "lr": 1e-9}.items()]
    assert main(["loop", str(live.path), dataset, *words, "--json"]) == 3
    told = capsys.readouterr()
    assert "it is not surely better on what is new: accuracy" in told.err
    document = json.loads(told.out)
    assert document["error"]["code"] == "loop.refused"
    assert (document["round"], document["state"]) == (1, "refused")  # all of it, not the error alone
    assert document["steps"][-1]["new"]["items"] == 36
    assert steps(live) == ["chosen", "queued", "labelled", "trained", "refused"]
    assert Ledger(live.path).lines()[-1]["new"]["items"] == 36
    assert live.state().route.shares == {"1": 1.0}
    assert list(live.state().versions) == ["1"]


@pytest.fixture(scope="module")
def beside(trained, tmp_path_factory) -> Path:
    """A place where a round has come as far as the shadow: photos/ and live/digits/."""
    place = tmp_path_factory.mktemp("beside")
    shutil.copytree(trained.path.parents[1] / "photos", place / "photos")
    live = Live.create(place / "live" / "digits")
    live.route({live.add(trained.path / "exports" / "onnx", trained.id): 1.0})
    asked(live)
    through(live, str(place / "photos"), "beside")
    return place


@pytest.fixture
def shadowed(beside, tmp_path) -> Live:
    shutil.copytree(beside, tmp_path, dirs_exist_ok=True)
    return Live.open(tmp_path / "live" / "digits")


def go(live: Live, **more: Any) -> dict[str, Any]:
    return deepen.loop(str(live.path), str(live.path.parents[1] / "photos"), **{**TERMS, **more})


@pytest.mark.parametrize(
    ("shadow", "terms", "why"),
    [
        ({"failed": 20}, {}, "20 of 120 live items failed"),
        ({"different": 60}, {"agreement": 0.5}, "40.0% of 100 live items get the same answer"),
    ],
)
def test_a_shadow_that_fails_or_differs_is_taken_away(shadowed, shadow, terms, why):
    beat(shadowed, shadow=shadow)
    with pytest.raises(Refused, match=why):
        go(shadowed, **terms)
    route = shadowed.state().route
    assert (route.shares, route.shadow) == ({"1": 1.0}, "")
    assert steps(shadowed)[-1] == "refused"


QUICK, LATE = ({str(pace.step(seconds)): 30} for seconds in (0.02, 0.2))
FAR = Beside(answers={"class": ({"0": 1.0}, {"1": 1.0})}, items=60)  # of who answers, and of the shadow


@pytest.mark.parametrize(
    ("told", "terms", "why"),
    [
        (Beside(LATE, QUICK), {}, "take up to 210 ms an item"),
        (FAR, {}, "answers to 60 live items have moved: shares of class differ"),
    ],
)
def test_a_shadow_that_is_slow_or_whose_answers_move_is_taken_away_before_all_is_compared(shadowed, told, terms, why):
    beat(shadowed, items=30, beside=told)
    with pytest.raises(Refused, match=why):
        go(shadowed, **terms)
    assert (shadowed.state().route.shares, shadowed.state().route.shadow) == ({"1": 1.0}, "")


def test_few_items_and_old_rounds_say_nothing_of_answers():
    known = {"old": {"items": 100, "answers": {"y": ({"a": 1.0}, {"a": 1.0})}}, "new": {"items": 25}}
    seen = Pair(Counter(), Counter(), {"y": ({"a": 1.0}, {"a": 0.55, "b": 0.45})}, 100)
    assert "shares of y differ from the version before by 0.45 more" in moved(seen, known, 0.3)  # 0.3 + 0.1
    assert moved(seen, known, 0.4) == ""
    assert moved(seen._replace(items=49), known, 0.3) == ""
    assert moved(seen, {"old": {"items": 0}, "new": {"items": 9}}, 0.0) == ""


def test_a_shadow_may_be_quicker(shadowed):
    beat(shadowed, beside=Beside(QUICK, LATE))
    assert go(shadowed)["steps"][-1]["step"] == "promoted"


def test_a_shadow_may_differ_unless_it_is_said(shadowed):
    beat(shadowed, shadow={"different": 60, "failed": 4})
    assert go(shadowed)["steps"][-1]["step"] == "promoted"


def test_a_shadow_that_the_server_refused_or_somebody_took_away_is_not_promoted(shadowed, beside):
    shadowed.refuse("2", "golden items fail")
    with pytest.raises(Refused, match="golden items fail"):
        go(shadowed)
    assert shadowed.state().route.shares == {"1": 1.0}


def test_too_few_live_items_are_waited_for(shadowed):
    beat(shadowed, items=49)
    found = go(shadowed)
    assert (found["state"], found["waiting"]) == ("waiting", "50 live items compared, 49 so far")
    beat(shadowed, items=1)
    assert go(shadowed)["waiting"] == "50 live items answered by version 2, 0 so far"


@pytest.fixture
def promoted(shadowed) -> Live:
    beat(shadowed)
    go(shadowed)
    assert shadowed.state().route.shares == {"2": 1.0}
    return shadowed


def test_errors_after_promotion_bring_the_version_before_back(promoted, capsys):
    beat(promoted, items=40, failed=8)
    with pytest.raises(Refused, match="8 of 48 requests failed") as refused:
        go(promoted)
    assert refused.value.exit_code == 3
    assert promoted.state().route.shares == {"1": 1.0}
    assert steps(promoted)[-1] == "rolled back"
    assert promoted.events()[-1]["why"] == "loop round 1: 8 of 48 requests failed"


def test_a_version_that_is_slow_once_it_answers_goes_back_and_the_one_before_is_at_hand(promoted):
    assert promoted.state().route.shadow == "1"
    beat(promoted, items=20, beside=Beside(QUICK, LATE))
    with pytest.raises(Refused, match="take up to 210 ms an item"):
        go(promoted)
    assert (promoted.state().route.shares, promoted.state().route.shadow) == ({"1": 1.0}, "")


def test_answers_that_move_after_promotion_bring_the_version_before_back(promoted):
    beat(promoted, items=20, beside=FAR)
    with pytest.raises(Refused, match="have moved: shares of class"):
        go(promoted)
    assert promoted.state().route.shares == {"1": 1.0}


def test_after_promotion_few_live_items_are_answered_twice(shadowed):
    assert shadowed.state().route.asked == 1
    beat(shadowed)
    assert go(shadowed, hold=500)["steps"][-1]["step"] == "promoted"
    route = shadowed.state().route
    assert (route.shares, route.shadow, route.asked) == ({"2": 1.0}, "1", 0.2)
    beat(shadowed, items=500)
    assert go(shadowed, hold=500)["state"] == "kept"
    assert (shadowed.state().route.shadow, shadowed.state().route.asked) == ("", 1.0)


def test_errors_of_clients_and_few_errors_change_nothing(promoted):
    promoted.beat(Pulse(time.time(), 0.0, 100, 60, {"item.invalid": 40, "internal": 4}, {}, {"2": 60}, 0, 0.1, 1))
    assert go(promoted)["state"] == "kept"


@pytest.mark.parametrize(
    ("alarm", "state"), [("service latency", "back"), ("quality 2", "back"), ("2 inputs brightness", "kept")]
)
def test_an_alarm_brings_the_version_before_back_but_not_that_the_items_have_changed(promoted, alarm, state):
    """The one before would be given the same items."""
    durable.append(
        promoted.path / "alerts.jsonl", {"time": time.time(), "what": "raised", "alarm": alarm, "says": "too slow"}
    )
    beat(promoted)
    if state == "kept":
        assert go(promoted)["state"] == "kept"
        return
    with pytest.raises(Refused, match="too slow"):
        go(promoted)
    assert promoted.state().route.shares == {"1": 1.0}


def test_cut_off_while_rolling_back_it_goes_back_one_version_only(promoted, monkeypatch):
    beat(promoted, items=40, failed=8)
    note = Ledger.note

    def fail(self, number, what, **found):
        if what == "rolled back":
            raise Power
        return note(self, number, what, **found)

    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "note", fail)
        with pytest.raises(Power):
            go(promoted)
    with pytest.raises(Refused, match="no longer answers"):
        go(promoted)
    assert promoted.state().route.shares == {"1": 1.0}
    assert [event["what"] for event in promoted.events()].count("rolled back") == 1


def test_what_was_rolled_back_before_its_promotion_was_written_down_is_not_promoted_again(shadowed, monkeypatch):
    beat(shadowed)
    note = Ledger.note

    def fail(self, number, what, **found):
        if what == "promoted":
            raise Power
        return note(self, number, what, **found)

    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "note", fail)
        with pytest.raises(Power):
            go(shadowed)
    assert shadowed.state().route.shares == {"2": 1.0}
    shadowed.rollback("by hand")
    with pytest.raises(Refused, match="no longer a shadow"):
        go(shadowed)
    assert shadowed.state().route.shares == {"1": 1.0}


def test_old_errors_do_not_count_against_the_new_version(shadowed):
    shadowed.beat(Pulse(time.time(), 0.0, 50, 0, {"internal": 50}, {}, {"1": 0}, 0, 0.1, 1))
    beat(shadowed)
    go(shadowed)
    shadowed.beat(Pulse(time.time(), 60.0, 50, 0, {"internal": 50}, {}, {"2": 0}, 0, 0.1, 1))  # begun before
    beat(shadowed)
    assert go(shadowed)["state"] == "kept"


def windows_of(live: Live, **asks: Any) -> dict[str, Any]:
    """What the monitor finds in three more windows of items that version 2 is asked."""
    asked(live, 300, version="2", seed=1, **asks)
    return deepen.monitor(str(live.path), window=100)


def test_after_a_promotion_what_it_was_made_for_is_no_alarm_and_what_comes_then_is(shadowed):
    """All that clients ask is inverted: by the training data, old and new mixed, it would be an alarm for ever."""
    asked(shadowed, 400, inverted=1.0, seed=0)
    beat(shadowed)
    assert go(shadowed)["steps"][-1]["step"] == "promoted"
    assert shadowed.reference("2").is_file()
    assert windows_of(shadowed, inverted=1.0)["alarms"] == []
    shadowed.reference("2").rename(shadowed.path / "kept.json")
    (shadowed.path / "monitor.json").unlink()
    with pytest.raises(Refused, match="inputs: .* has changed"):
        deepen.monitor(str(shadowed.path), window=100)  # by the training data
    page = (shadowed.path / "monitor.html").read_text()
    assert ("against those of training" in page, "took over" in page) == (True, False)
    (shadowed.path / "kept.json").rename(shadowed.reference("2"))
    (shadowed.path / "monitor.json").unlink()
    with pytest.raises(Refused, match="inputs: .* has changed"):
        windows_of(shadowed, inverted=0.0)  # they turn back
    page = (shadowed.path / "monitor.html").read_text()
    assert "against live items asked before this version took over" in page
    assert ">before it took over</th>" in page
    assert "training" not in page


def test_what_people_answered_at_its_queue_says_how_right_the_version_in_service_is(shadowed):
    """Of all 300 samples, of which 120 were labelled: the odd and the unsure for themselves, the random for the rest."""
    with pytest.raises(Refused) as refused:
        deepen.monitor(str(shadowed.path), window=100)
    found = refused.value.measured["versions"]["1"]["quality"]
    assert (found["items"], found["asked"], found["worse"]) == (120, 120, True)
    digits, told = Digits().read(), [sample.answers[0]["label"] for sample in shadowed.samples()]
    right = np.mean([label == str(truth) for label, truth in zip(told, digits.target[700:1000])])
    assert found["now"][1] < right < found["now"][2]
    assert "quality 1" in {line["alarm"] for line in durable.lines(shadowed.path / "alerts.jsonl")[0]}
    beat(shadowed)
    go(shadowed)
    assert deepen.monitor(str(shadowed.path), window=100)["alarms"] == []  # it no longer answers


def test_of_few_sampled_items_the_training_data_stay_the_measure(shadowed):
    for file in (shadowed.path / "samples").iterdir():
        file.unlink()
    beat(shadowed)
    assert go(shadowed)["steps"][-1]["step"] == "promoted"
    assert not shadowed.reference("2").exists()


# ---------------------------------------------------------------- what is waited for, what is refused


def test_people_label_and_it_says_what_it_waits_for(live, dataset, tmp_path):
    asked(live)
    terms = {**TERMS, "labeller": None, "epochs": 8}
    found = deepen.loop(str(live.path), dataset, **terms)
    assert "100 labels, 0 so far: deepen label" in found["waiting"]
    items = list(found["steps"][0]["items"])
    answers = tmp_path / "answers.jsonl"
    labels = truth([str(Path(dataset) / item) for item in items])
    rows = [{"item": item, "label": label, "annotator": "ann"} for item, label in zip(items, labels)]
    for count, waiting in ((40, "100 labels, 40 so far"), (100, "50 live items compared")):
        answers.write_text("".join(json.dumps(row) + "\n" for row in rows[:count]))
        found = deepen.loop(str(live.path), dataset, **{**terms, "labels": str(answers)})
        assert waiting in found["waiting"]


def test_watching_begins_a_round_only_when_the_items_have_changed(live, dataset):
    ledger = Ledger(live.path)
    asked(live, inverted=0.0)
    terms = Terms(120, 100, (0.4, 0.3), None, None, 0.3, {}, 0.02, 50, 0.0, 50, 0.05, 3.0, 0.3, only_if_changed=True)
    turn = Round(live, dataset, ledger, terms, getattr, 1, {})
    assert "a change of what is asked: 300 sampled items are as in training" in go_on(turn, 0, 1)
    asked(live, start=1000)
    assert isinstance(chosen(turn), dict)


def test_what_was_asked_once_is_not_asked_again(live, dataset):
    asked(live)
    deepen.loop(str(live.path), dataset, **{**TERMS, "labeller": None})
    Ledger(live.path).note(1, "refused", says="", why="")
    asked(live)  # the same pictures again
    found = deepen.loop(str(live.path), dataset, **{**TERMS, "labeller": None})
    first, second = (line["items"] for line in Ledger(live.path).lines() if line["step"] == "chosen")
    assert found["round"] == 2
    assert len(set(first) | set(second)) == 240


def test_a_choice_is_oddest_first_then_least_sure_then_any():
    odd, unsure = np.array([0.0, 3.0, 2.0, 0.0, 0.0, -1.0]), np.array([0.1, 0.9, 0.2, 0.8, 0.7, 0.05])
    found = choose(odd, unsure, 4, (0.25, 0.5), 0)
    assert list(found.items())[:3] == [(1, "drifted"), (3, "uncertain"), (4, "uncertain")]
    assert list(found.values())[3:] == ["random"]
    assert set(choose(np.zeros(6), unsure, 4, (0.5, 0.0), 0).values()) == {"random"}
    assert choose(odd, unsure, 4, (0.25, 0.5), 0) == found


def pair(part: tuple[float, float, float], chance: float = 0.0005, items: int = 100) -> dict[str, Any]:
    return {"items": items, "before": 0.9, "after": 0.9 + part[0], "change": part, "chance": chance}


@pytest.mark.parametrize(
    ("old", "new", "chance", "speed", "why"),
    [
        ((0.0, -0.02, 0.02), (0.3, 0.1, 0.5), 0.0005, 1.0, ""),
        ((-0.01, -0.02, -0.001), (0.3, 0.1, 0.5), 0.0005, 1.0, "worse"),  # surely, if by little
        ((-0.03, -0.07, 0.01), (0.3, 0.1, 0.5), 0.0005, 1.0, "worse"),  # not surely, but by much
        ((0.0, -0.02, 0.02), (0.3, 0.1, 0.5), 0.012, 1.0, "no better seems so in 1.2% of cases"),
        ((0.0, -0.02, 0.02), (-0.3, -0.5, -0.1), 1.0, 1.0, "not surely better"),
        ((0.0, -0.02, 0.02), (0.0, 0.0, 0.0), math.nan, 1.0, "not surely better"),
        ((0.0, -0.02, 0.02), (0.3, math.nan, math.nan), math.nan, 1.0, ""),  # a kind that cannot say
        ((0.0, -0.02, 0.02), (0.3, 0.1, 0.5), 0.0005, 0.4, "slower"),
    ],
)
def test_the_judgement(old, new, chance, speed, why):
    found = {"metric": "accuracy", "old": pair(old), "new": pair(new, chance), "speed": (speed, speed, speed)}
    said = against(found, 0.02)
    assert (why in said) if why else said == ""
    turned = {name: pair(tuple(-v for v in part), chance) for name, part in (("old", old), ("new", new))}
    assert bool(against({"metric": "rmse", **turned, "speed": (speed,) * 3}, 0.02)) == bool(why)


def test_one_new_item_proves_nothing():
    found = {
        "metric": "accuracy",
        "old": pair((0.0, 0.0, 0.0)),
        "new": pair((1.0, 1.0, 1.0), items=1),
        "speed": (1, 1, 1),
    }
    assert "not surely better" in against(found, 0.02)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({"least": 200}, "least 200 of 120 asked"),
        ({"drifted": 0.8}, "together at most 1"),
        ({"labeller": "nobody:home"}, "module:function importable from here"),
        ({"labeller": "builtins:list"}, "class '/"),
        ({"labeller": f"{__name__}:nothing"}, "0 labels of 120 items"),
        ({"labeller": f"{__name__}:silent"}, "no labels of 120 items"),
    ],
)
def test_terms_that_make_no_sense(live, dataset, terms, text):
    asked(live, 130)
    with pytest.raises(DeepenError, match=text):
        deepen.loop(str(live.path), dataset, **{**TERMS, **terms})


def test_a_labeller_that_is_none_is_told_before_anything_is_waited_for(live, dataset):
    with pytest.raises(DeepenError, match="module:function importable from here"):
        deepen.loop(str(live.path), dataset, **{**TERMS, "labeller": "nope:f"})
    with pytest.raises(DeepenError, match="a str. Expected module:function"):
        deepen.loop(str(live.path), dataset, **{**TERMS, "labeller": "string:digits"})
    assert not Ledger(live.path).file.exists()


def test_a_directory_nobody_serves_from_and_other_data_are_told(live, dataset, tmp_path):
    with pytest.raises(DeepenError, match="no version answers there"):
        deepen.loop(str(Live.create(tmp_path / "empty").path), dataset)
    with pytest.raises(DeepenError, match="nothing there that can be trained on"):
        deepen.loop(str(live.path), "nowhere")
    with pytest.raises(DeepenError, match="data made up from a seed"):
        deepen.loop(str(live.path), "digits")
    with pytest.raises(DeepenError, match="nothing there"):
        deepen.loop(str(live.path), "none.csv")
    asked(live, 130)
    for name in ("0", "1"):
        shutil.copytree(Path(dataset) / name, tmp_path / "less" / name)
    with pytest.raises(DeepenError, match="of 700 items of run .* are not in it"):
        deepen.loop(str(live.path), str(tmp_path / "less"), **TERMS)
    assert not (tmp_path / "less" / "unlabelled").exists()


def test_two_loops_do_not_work_on_one_directory(live, dataset):
    with Ledger(live.path).alone(), pytest.raises(DeepenError, match="another loop works on it"):
        deepen.loop(str(live.path), dataset)
