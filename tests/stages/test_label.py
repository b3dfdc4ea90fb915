"""What is asked first, what the model fills in, and what the verb refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.cli import main
from deepen.errors import DeepenError
from deepen.stages import label
from deepen.store.dataset import Dataset, place
from tests import dirty
from tests.desks import Annotator, desk, photos


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from deepen.sources.digits import Digits

    items = Digits().read()
    return items.inputs["image"], np.array(items.target)


@pytest.fixture
def pool(digits):
    """60 digits; the last ten are half one digit and half another."""
    x, _ = digits
    mixed = (x[:10].astype(int) + x[20:30]) // 2
    np.savez("pool.npz", x=np.concatenate([x[:50], mixed.astype(np.uint8)]), y=np.zeros(60, int))
    found = desk("pool.npz", names=(), which="all")
    yield found
    found.dataset.close()


def asked(found, count: int) -> list[int]:
    return [int(item.rpartition(":")[2]) for item in found.order[:count]]


def test_the_doubtful_are_asked_first_and_the_rest_follows(pool, digits_run):
    label._arrange(pool, str(digits_run.path), "margin", 0)
    predictor = deepen.load(str(digits_run.path))
    p = np.concatenate([a["probabilities"] for a in predictor.outputs(pool.items.raw(range(60)))])
    gap = np.diff(np.sort(p, axis=1)[:, -2:], axis=1)[:, 0]
    assert np.all(np.diff(gap[asked(pool, 60)]) >= 0)
    assert sorted(asked(pool, 60)) == list(range(60))
    label._arrange(pool, str(digits_run.path), None, 0)
    doubt = predictor.signature.answer.uncertainty({"probabilities": p})
    assert np.all(np.diff(doubt[asked(pool, 60)]) <= 1e-6)


def test_beyond_the_querys_choice_the_order_is_random(pool, digits_run, monkeypatch):
    monkeypatch.setattr(label, "POOL", 30)
    monkeypatch.setattr(label, "ASKED", 5)
    label._arrange(pool, None, None, 3)
    shuffled = asked(pool, 60)
    pool.order = [pool.items.ids[i] for i in range(60)]
    label._arrange(pool, str(digits_run.path), "entropy", 3)
    front = asked(pool, 5)
    assert set(front) < set(shuffled[:30])
    assert asked(pool, 60)[5:] == [row for row in shuffled if row not in front]


def test_features_of_what_has_a_label_are_kept_away_from(pool, digits_run):
    """Core-set never begins beside a labelled item: with all but the last ten labelled, copies of those come last."""
    label._arrange(pool, str(digits_run.path), None, 0)
    ann = Annotator(pool)
    for _ in range(20):
        ann.next()
        ann.says("1")
    given = {int(i.rpartition(":")[2]) for i in pool.dataset.now().labels()}
    predictor = deepen.load(str(digits_run.path))
    f = predictor.features(pool.items.raw(range(60))).astype(float)
    pool.items.target = [None if row not in given else 0 for row in range(60)]  # no other label of its own
    rest = [row for row in range(60) if row not in given]
    pool.order = [pool.items.ids[row] for row in rest]
    label._arrange(pool, str(digits_run.path), "core_set", 0)
    far = [min(((f[row] - f[g]) ** 2).sum() for g in given) for row in rest]
    assert asked(pool, 1) == [rest[int(np.argmax(far))]]


def test_the_models_answer_is_filled_in(pool, digits_run):
    label._arrange(pool, str(digits_run.path), "random", 0)
    item = Annotator(pool).next()["item"]
    row = int(item["id"].rpartition(":")[2])
    answer = deepen.load(str(digits_run.path))(pool.items.raw([row]))[0]
    assert (item["suggestion"], item["share"]) == (answer["label"], pytest.approx(answer["probability"], abs=1e-5))


def test_a_bad_picture_does_not_stop_the_query(digits_run):
    folder = Path(photos(5))
    (folder / "bad.png").write_bytes(b"hello")
    found = desk(str(folder), names=())
    label._arrange(found, str(digits_run.path), "uncertainty", 0)
    assert sorted(found.order) == sorted(["bad.png", *(f"{i}.png" for i in range(5))])
    assert found.order[-1] == "bad.png"
    ann = Annotator(found)
    while ann.next()["item"]["id"] != "bad.png":
        ann.says(skip=True)
    assert "suggestion" not in ann.item
    found.dataset.close()


def test_without_a_model_the_order_is_random_and_repeatable():
    found = desk(photos(20))
    first = []
    order = list(found.order)
    for seed in (0, 0, 1):
        found.order = list(order)
        label._arrange(found, None, None, seed)
        first.append(list(found.order))
    assert first[0] == first[1] != first[2]
    assert sorted(first[0]) == sorted(first[2])
    found.dataset.close()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["digits"], "digits: data made up from a seed. Expected a folder or a file beside which labels can lie."),
        (["photos", "query=entropy"], "query: entropy without a model. Expected run=..., whose answers it looks at."),
        (["photos", "query=entrpy"], "Did you mean 'entropy'?"),
        (["photos", "kind=boxs"], "label kind: got 'boxs'. Expected one of classes, labels, number, boxes"),
        (["photos", "names=[cat, none]"], "name 'none'"),
        (["photos", "kind=labels", "names=['a;b']"], "label 'a;b'. Expected a name without ; and |"),
        (["photos", "times=0"], "got 0"),
        (["photos", "port=99999"], "label port: 99999"),
        (["photos", "--import", "nowhere"], "nowhere: nothing there. Expected a file or a folder of labels."),
        (["photos", "--run", "nowhere"], "nowhere: no run there"),
        (["nowhere"], "nowhere: nothing there that can be trained on"),
        (["t.csv"], "t.csv: the data does not say what is to be labelled. Expected the column, or the kind."),
    ],
)
def test_what_is_refused(words, text, capsys):
    photos()
    Path("t.csv").write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(20)))
    assert main(["label", *words]) == 2
    shown = capsys.readouterr().err
    assert text in shown
    assert "Traceback" not in shown


def test_a_model_of_another_kind_is_refused(digits_run):
    found = desk(photos(), "boxes")
    with pytest.raises(DeepenError, match="10 classes.*Expected answers of kind boxes"):
        label._arrange(found, str(digits_run.path), None, 0)
    found.dataset.close()


def test_the_kind_of_labels_stays_once_there_are_some():
    found = desk(photos())
    ann = Annotator(found)
    ann.next()
    found.dataset.close()
    desk("photos", "boxes").dataset.close()  # nothing was labelled yet
    found = desk("photos", "classes")
    ann = Annotator(found)
    ann.next()
    ann.says("cat")
    found.dataset.close()
    with pytest.raises(DeepenError, match="kind boxes. Expected classes, as the labels that were given before"):
        desk("photos", "boxes")
    assert desk("photos", None, ()).names == ["cat", "dog", "hen"]


def test_dataset_json_says_what_the_data_is():
    desk(photos(), names=("cat",)).dataset.close()
    info = json.loads(Path("photos/.deepen/dataset.json").read_text())
    assert (info["kind"], info["names"], info["target"], info["items"]) == ("classes", ["cat"], "label", 6)
    desk("photos", names=("dog",)).dataset.close()
    again = json.loads(Path("photos/.deepen/dataset.json").read_text())
    assert (again["fingerprint"], again["names"]) == (info["fingerprint"], ["cat", "dog"])
    Path("photos/0.png").unlink()
    desk("photos").dataset.close()
    assert json.loads(Path("photos/.deepen/dataset.json").read_text())["fingerprint"] != info["fingerprint"]


def test_from_nothing_but_pictures_to_a_model():
    """Labelled at the desk, trained on, and the model fills in the rest."""
    folder = Path("photos")
    folder.mkdir()
    for i in range(80):
        shade = np.full((16, 16, 3), 40 if i % 2 else 200, np.uint8)
        shade[i % 16, i // 16] = 128
        (folder / f"{i}.png").write_bytes(dirty.encoded(dirty.Image.fromarray(shade)))
    found = desk("photos", names=("dark", "light"))
    ann = Annotator(found)
    ann.next()
    for _ in range(60):
        ann.says("dark" if int(ann.item["id"][:-4]) % 2 else "light")
    found.leave(ann.holder)
    found.dataset.close()
    run = deepen.train("photos", epochs=8, threads=1, model="mlp")
    found = desk("photos", names=())
    label._arrange(found, str(run.path), None, 0)
    ann = Annotator(found)
    item = ann.next()["item"]
    while item and ann.progress["done"] < 80:
        assert item["suggestion"] == ("dark" if int(item["id"][:-4]) % 2 else "light")
        item = ann.says(item["suggestion"])["item"]
    found.dataset.close()
    with Dataset(place("photos")) as data:
        assert len(data.now().labels()) == 80
