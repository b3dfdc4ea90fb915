"""Cross-validation from the command line on: a run of runs, killed and resumed, measured on what each fold never saw."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

import deepen
from deepen.cli import main
from deepen.errors import DeepenError
from deepen.evaluation import folds
from deepen.store.run import Run
from deepen.training.finished import data_of, load_model, predictor_of

SMALL: dict[str, Any] = {"threads": 1, "epochs": 2, "model": "mlp", "hidden": [8], "data.items": 160, "folds": 3}
FILES = ("model.safetensors", "metrics.jsonl", "split.json", "signature.json")


@pytest.fixture(scope="module")
def crossed(tmp_path_factory) -> Run:
    return deepen.train("blobs", output=str(tmp_path_factory.mktemp("folds")), **SMALL)


def report(run: Run) -> dict[str, Any]:
    return json.loads((run.path / "evaluation" / "test.json").read_text())


def same(a: Run, b: Run) -> None:
    for one, other in zip(folds.members(a), folds.members(b), strict=True):
        for name in FILES:
            assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name
    assert a.info["metrics"] == b.info["metrics"]


def test_each_item_is_answered_once_by_a_network_that_never_saw_it(crossed):
    """By hand: the members' own answers to their test part, put together, by scikit-learn."""
    tested, right, alone = [], [], []
    for member in folds.members(crossed):
        data = data_of(member)
        rows, seen = data.parts["test"], {*data.parts["train"].tolist(), *data.parts["val"].tolist()}
        assert not seen & {*rows.tolist()}
        answers = [answer["label"] for answer in predictor_of(member)(data.items.raw(rows))]
        truth = [data.items.target[int(row)] for row in rows]
        alone.append(accuracy_score(truth, answers))
        tested += rows.tolist()
        right += [a == t for a, t in zip(answers, truth)]
    assert sorted(tested) == list(range(160))
    found = report(crossed)
    assert found["items"] == 160
    assert found["metrics"]["accuracy"][0] == pytest.approx(np.mean(right))
    assert [one["accuracy"] for one in found["folds"]] == pytest.approx(alone)
    spread = found["spread"]["accuracy"]
    assert spread["mean"] == pytest.approx(np.mean(alone)) == pytest.approx(crossed.info["metrics"]["test_accuracy"])
    assert spread["deviation"] == pytest.approx(np.std(alone, ddof=1))
    assert (spread["least"], spread["most"]) == pytest.approx((min(alone), max(alone)))


def test_nothing_is_fitted_on_what_a_fold_is_tested_on(crossed):
    """The scale of the inputs is that of the fold's own training items."""
    first, second, _ = (load_model(member).state_dict() for member in folds.members(crossed))
    for member in folds.members(crossed)[:2]:
        data = data_of(member)
        (column,) = data.columns.values()
        wanted = column[data.parts["train"]].mean(0)
        means = [v for k, v in load_model(member).state_dict().items() if k.startswith("normalise") and "mean" in k]
        assert np.allclose(means[0].numpy().ravel(), wanted, atol=1e-5)
    assert any(not np.array_equal(first[k], second[k]) for k in first if k.startswith("normalise"))


def test_a_fold_is_a_run_like_any_other_and_again_the_same_from_its_own_configuration(crossed, tmp_path):
    member = folds.members(crossed)[1]
    assert member.info["state"] == "finished"
    assert member.id == f"{crossed.id}-1"
    again = deepen.train(str(member.path / "config.yaml"), output=str(tmp_path))
    for name in FILES:
        assert (again.path / name).read_bytes() == (member.path / name).read_bytes()
    assert deepen.evaluate(str(member.path))["items"] == 53


def test_the_report_shows_every_fold(crossed):
    page = (crossed.path / "evaluation" / "report.html").read_text()
    assert all(text in page for text in ("The folds", "fold 2", "3 folds, each tested on items", "Confusion matrix"))


def test_the_configuration_of_the_whole_repeats_it(crossed, tmp_path):
    same(crossed, deepen.train(str(crossed.path / "config.yaml"), output=str(tmp_path)))


@pytest.mark.parametrize("at", ["between", "within", "measuring"])
def test_stopped_and_resumed_is_uninterrupted(crossed, tmp_path, at, capsys):
    place = tmp_path / "broken"
    shutil.copytree(crossed.path, place)
    run = Run.open(place)
    run.update(state="training", metrics=None)
    if at != "measuring":
        shutil.rmtree(place / "members" / "2")
    if at == "within":  # as a kill leaves it: begun, with checkpoints of before the end
        member = Run.open(place / "members" / "1")
        for name in member.checkpoints()[1:]:
            (member.path / "checkpoints" / name).unlink()
        (member.path / "model.safetensors").unlink()
        member.update(state="training")
    again = deepen.train(resume=str(place))
    same(crossed, again)
    assert again.info["state"] == "finished"
    assert ("resuming at step" in capsys.readouterr().out) == (at == "within")
    deepen.train(resume=str(place))
    assert "is finished already" in capsys.readouterr().out


KILLED = """
import os, signal, sys
from deepen.training.engine import Engine
real, folds = Engine._advance, []
def dying(self):
    if self.run.path.name == "1" and self.state.step == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self)
Engine._advance = dying
from deepen.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_within_a_fold(crossed, tmp_path):
    words = ["train", "blobs", f"output={tmp_path}", *(f"{k}={v}".replace(" ", "") for k, v in SMALL.items())]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True, env=env, timeout=120)
    assert child.returncode == -signal.SIGKILL, child.stderr
    (place,) = tmp_path.glob("2*")
    assert [p.name for p in sorted(place.glob("members/[!.]*"))] == ["0", "1"]
    with pytest.raises(DeepenError, match="2 of 3 folds not trained to the end"):
        deepen.evaluate(str(place))
    same(crossed, deepen.train(resume=str(place)))


def test_data_that_changed_before_the_next_fold_is_told(tmp_path):
    rows = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(90)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["x,z,y", *rows]))
    settings = {**SMALL, "data.items": None, "target": "y", "output": str(tmp_path)}
    run = deepen.train(str(table), **{k: v for k, v in settings.items() if v is not None})
    shutil.rmtree(run.path / "members" / "2")
    run.update(state="training")
    table.write_text("\n".join(["x,z,y", *rows[:-1], "9,9,a"]))
    with pytest.raises(DeepenError, match="the data has changed since it began"):
        deepen.train(resume=str(run.path))
    assert Run.open(run.path).info["state"] == "failed"


def test_the_plan_of_a_cross_validation(capsys, tmp_path):
    words = [f"{k}={v}".replace(" ", "") for k, v in SMALL.items()]
    assert main(["train", "blobs", f"output={tmp_path}", *words, "--dry-run"]) == 0
    assert "folds    3: about" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_runs_are_listed_with_the_mean_over_their_folds(crossed, tmp_path, monkeypatch, capsys):
    shutil.copytree(crossed.path, tmp_path / "runs" / crossed.id)
    monkeypatch.chdir(tmp_path)
    assert main(["list", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, "folds are no runs of their own"
    assert "test_accuracy" in lines[0]


@pytest.mark.parametrize("verb", ["predict", "export", "serve", "compress", "train"])
def test_verbs_that_need_one_network_say_how_to_name_it(crossed, verb, capsys):
    extra = {"predict": ["x.csv"], "train": [f"parent={crossed.path}"]}.get(verb, [])
    assert main([verb, "blobs" if verb == "train" else str(crossed.path), *extra]) == 2
    assert f"Name one of its folds: {crossed.path}/members/0" in capsys.readouterr().err


def test_each_fold_is_verified(crossed, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("deepen.stages.verify._run", lambda run, steps: looked.append((run.path, steps)))
    deepen.verify(str(crossed.path), steps=4)
    assert looked == [(crossed.path / "members" / str(i), 4) for i in range(3)]
    shutil.copytree(crossed.path, tmp_path / "broken")
    Run.open(tmp_path / "broken" / "members" / "1").update(state="training")
    with pytest.raises(DeepenError, match="1 of 3 folds not trained to the end"):
        deepen.verify(str(tmp_path / "broken"))


def test_a_class_of_one_item_is_tested_on_where_it_was_not_learnt(tmp_path, capsys):
    rows = [f"{i},{i % 3},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["x,z,y", *rows, "5,5,rare"]))
    settings = {**SMALL, "data.items": None, "model": "gaussian_mixture", "target": "y", "hidden": None, "folds": 2}
    settings = {name: value for name, value in settings.items() if value is not None}
    run = deepen.train(str(tmp_path / "t.csv"), output=str(tmp_path), **settings)
    assert "1 of 3 classes without an item to learn from in this fold: 'rare' (1 in test)" in capsys.readouterr().out
    assert report(run)["items"] == 61
    assert np.isfinite(report(run)["metrics"]["log_loss"][0])


def test_a_mistake_leaves_no_run_behind(tmp_path):
    with pytest.raises(DeepenError, match="split.folds: got 1. Expected a whole number of at least 2"):
        deepen.train("blobs", output=str(tmp_path / "runs"), **{**SMALL, "folds": 1})
    assert not (tmp_path / "runs").exists()


def test_what_a_fold_leaves_out_is_told(tmp_path, capsys):
    rows = [f"{i},{i % 3},{'ab'[i % 2]}" for i in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["x,z,y", *rows]))
    words = ["train", str(tmp_path / "t.csv"), "target=y", "folds=2", "how=time", "by=x", "--dry-run", "epochs=1"]
    assert main(words) == 0
    assert "30 items newer than what this fold is tested on, left out" in capsys.readouterr().out
    np.savez(
        tmp_path / "a.npz", x_train=np.eye(40), y_train=np.arange(40) % 2, x_test=np.eye(40), y_test=np.arange(40) % 2
    )
    assert main(["train", str(tmp_path / "a.npz"), "folds=2", "--dry-run", "epochs=1"]) == 0
    assert "40 items that the data keeps for the test: in no fold" in capsys.readouterr().out


def test_what_folds_do_not_go_with_is_told(crossed, tmp_path, monkeypatch):
    with pytest.raises(DeepenError, match=r"split.folds: a parent beside it"):
        deepen.train(
            "blobs", parent=str(crossed.path / "members" / "0"), **{**SMALL, "turn": None}, output=str(tmp_path)
        )
    with pytest.raises(DeepenError, match="One fold: deepen evaluate"):
        deepen.evaluate(str(crossed.path), part="val")
    assert not list(tmp_path.glob("2*"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split.turn": 1, "folds": None}, "split.turn: no split.folds"),
        ({"split.like": "crossed"}, "split.folds: split.like beside it"),
    ],
)
def test_what_folds_cannot_stand_beside_is_told(tmp_path, crossed, options, told):
    """With the parts of one run every fold would be tested on the same items."""
    like = {name: str(crossed.path / "members" / "0") for name in options if name == "split.like"}
    with pytest.raises(DeepenError, match=told):
        deepen.train("blobs", output=str(tmp_path), **{**SMALL, **options, **like})


def test_what_is_held_out_by_a_rule_of_its_own_has_no_folds(tmp_path):
    rng = np.random.default_rng(0)
    edges = np.array([(a, b) for a in range(20) for b in range(a) if rng.random() < 0.3]).T
    np.savez(tmp_path / "g.npz", x=rng.normal(size=(20, 3)).astype(np.float32), edge_index=edges)
    (tmp_path / "novel.txt").write_text("it was a dark and stormy night. " * 60)
    events = [f"u{i % 9},i{i * i % 7},{i}" for i in range(90)]
    (tmp_path / "shop.csv").write_text("\n".join(["user,item,time", *events]) + "\n")
    plain = {"folds": 3, "output": str(tmp_path / "runs"), "dry_run": True}
    for what, model in (
        ("g.npz", {"model": "graph_autoencoder"}), ("novel.txt", {}), ("shop.csv", {"user": "user", "item": "item"}),
    ):  # fmt: skip
        with pytest.raises(DeepenError, match="held out by a rule of its own"):
            deepen.train(str(tmp_path / what), **plain, **model)


def test_a_figure_that_one_fold_does_not_have_is_no_traceback():
    assert folds.sentence("auc", [{"auc": 0.5}, {"auc": float("nan")}]).endswith(
        "mean auc –, standard deviation –, – to –."
    )


def test_a_service_of_folds_is_told_to_take_one(crossed):
    with pytest.raises(DeepenError, match="Name one of its folds"):
        deepen.serve(str(crossed.path))
