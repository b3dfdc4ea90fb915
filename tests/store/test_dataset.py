"""Labels by many people: nothing lost, nothing twice, nobody in another's way, every act kept."""

from __future__ import annotations

import json
import random

import pytest

from deepen.errors import DeepenError
from deepen.store import dataset as datasets
from deepen.store.dataset import Dataset, New, Standing
from deepen.store.queue import Queue


@pytest.fixture
def data(tmp_path):
    with Dataset.create(tmp_path / ".deepen", kind="classes", names=["cat", "dog"]) as found:
        yield found


class Acts:
    """Writes acts with a key of their own."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.count = data, 0

    def __call__(self, item: str, value: object, annotator: str = "ann", action: str = "label") -> None:
        self.count += 1
        self.data.write([New(f"k{self.count}", item, "content", annotator, value, action)])

    def undo(self, annotator: str = "ann"):
        self.count += 1
        return self.data.undo(f"k{self.count}", annotator)


def standing(data: Dataset) -> dict[tuple[str, str], object]:
    return {(act.item, act.annotator): act.value for act in data.now().acts()}


def test_the_place_of_the_additions(tmp_path):
    (tmp_path / "photos").mkdir()
    assert datasets.place(tmp_path / "photos") == tmp_path / "photos" / ".deepen"
    assert datasets.place(tmp_path / "table.csv") == tmp_path / "table.csv.deepen"


def test_the_last_act_wins_per_annotator_and_all_are_kept(data):
    acts = Acts(data)
    acts("1", "cat")
    acts("1", "dog", "bob")
    acts("1", "dog")
    assert standing(data) == {("1", "ann"): "dog", ("1", "bob"): "dog"}
    assert [(a.annotator, a.value) for a in data.history("1")] == [("ann", "cat"), ("bob", "dog"), ("ann", "dog")]


def test_undo_goes_back_act_by_act_and_touches_only_ones_own(data):
    acts = Acts(data)
    acts("1", "cat")
    acts("2", "dog", "bob")
    acts("1", "dog")
    acts("3", None, action="skip")
    assert acts.undo().item == "3"
    assert acts.undo().value == "dog"
    assert standing(data) == {("1", "ann"): "cat", ("2", "bob"): "dog"}
    acts("4", "dog")
    assert acts.undo().item == "4"  # not the two undos before it
    assert acts.undo().value == "cat"
    assert acts.undo() is None
    assert standing(data) == {("2", "bob"): "dog"}
    assert len(data.history()) == 5 + 4


def test_a_skip_is_no_label(data):
    acts = Acts(data)
    acts("1", "cat")
    acts("1", None, action="skip")
    assert data.now().labels() == {}


def test_the_same_key_adds_nothing(data):
    new = New("key", "1", "content", "ann", "cat")
    assert data.write([new, new]) == 1
    assert data.write([new._replace(value="dog")]) == 0
    assert standing(data) == {("1", "ann"): "cat"}
    data.write([New("more", "2", "content", "ann", "dog")])
    assert data.undo("back", "ann").item == "2"
    assert data.undo("back", "ann").item == "2"  # sent again: the answer is the same
    assert standing(data) == {("1", "ann"): "cat"}


def test_several_acts_are_written_all_or_none(data):
    with pytest.raises(ValueError):
        data.write([New("a", "1", "", "ann", 1.0), New("b", "2", "", "ann", float("nan"))])
    assert data.history() == []


def test_another_process_sees_and_is_seen(data):
    with Dataset(data.path) as other:
        Acts(data)("1", "cat")
        assert standing(other) == {("1", "ann"): "cat"}
        other.write([New("o", "1", "", "bob", "dog")])
        other.undo("u", "ann")
    assert standing(data) == {("1", "bob"): "dog"}


def test_what_stood_at_an_earlier_time_can_be_had_again(data):
    acts = Acts(data)
    acts("1", "cat")
    then = data.serial
    acts("1", "dog")
    acts.undo()
    acts.undo()
    assert [a.value for a in data.then(then).acts()] == ["cat"]
    assert standing(data) == {}


def test_dataset_json(data):
    assert data.info == {"format": 1, "kind": "classes", "names": ["cat", "dog"]}
    assert data.add_names("hen") == ["cat", "dog", "hen"]
    assert data.add_names("cat") == ["cat", "dog", "hen"]
    assert json.loads((data.path / "dataset.json").read_text())["names"] == ["cat", "dog", "hen"]
    (data.path / "dataset.json").write_text('{"format": 2}')
    with pytest.raises(DeepenError, match=r"dataset.json: format 2. Expected format 1 or older. Update deepen."):
        data.declare()
    (data.path / "dataset.json").write_text("[")
    with pytest.raises(DeepenError, match="Expected what deepen wrote there. Restore the file"):
        data.add_names("x")


def test_nothing_is_made_by_looking(tmp_path):
    with datasets.reading(tmp_path / ".deepen") as found:
        assert found is None
    assert not list(tmp_path.iterdir())


def test_names_added_meanwhile_stay(data):
    known = data.info["names"]
    data.add_names("fox")
    with Dataset.create(data.path, kind="classes", names=[*known, "hen"]) as other:
        assert other.info["names"] == ["cat", "dog", "fox", "hen"]
    assert data.declare(kind="labels", names=["a"])["names"] == ["a"]  # of another kind: other names


# ---------------------------------------------------------------- who looks at what


def test_nobody_gets_what_another_looks_at(data):
    order = Queue(["1", "2", "3"])
    assert data.reserve(order, "page a", "ann") == "1"
    with Dataset(data.path) as other:
        assert other.reserve(order, "page b", "bob") == "2"
        assert other.reserve(order, "page b", "bob") == "2"  # one item a page
        assert data.reserve(order, "page c", "ann") == "3"  # a second page of the same person
        assert other.reserve(order, "page d", "eve") is None
        data.release("page a")
        assert other.reserve(order, "page d", "eve") == "1"


def test_what_is_answered_is_not_asked_again(data):
    acts = Acts(data)
    acts("1", "cat")
    acts("2", None, action="skip")
    assert data.reserve(Queue(["1", "2"]), "a", "ann") is None
    assert data.reserve(Queue(["1", "2"]), "b", "bob") == "2"  # another may know it
    data.release("b")
    assert data.reserve(Queue(["1", "2"]), "a", "ann", skipped=True) == "2"


def test_as_many_people_as_wanted(data):
    acts = Acts(data)
    acts("1", "cat")
    assert data.reserve(Queue(["1", "2"], 2), "a", "ann") == "2"
    assert data.reserve(Queue(["1", "2"], 2), "b", "bob") == "1"
    assert data.reserve(Queue(["1", "2"], 2), "c", "eve") == "2"  # one answer there, one looking


def test_a_lease_ends_when_its_holder_gives_no_sign_of_life_by_the_own_clock_of_whoever_waits(tmp_path):
    now = {"a": 1e9, "b": 5.0}  # two machines whose clocks have nothing to do with each other
    with Dataset.create(tmp_path / "d") as a, Dataset(tmp_path / "d") as b:
        a.clock, b.clock = lambda: now["a"], lambda: now["b"]
        assert a.reserve(Queue(["1"]), "page a", "ann") == "1"
        assert b.reserve(Queue(["1"]), "page b", "bob") is None
        now["b"] += datasets.PATIENCE - 1
        a.hold("1", "page a")  # a sign of life
        assert b.reserve(Queue(["1"]), "page b", "bob") is None
        now["b"] += datasets.PATIENCE - 1
        assert b.reserve(Queue(["1"]), "page b", "bob") is None
        now["b"] += 2
        assert b.reserve(Queue(["1"]), "page b", "bob") == "1"


def by_hand(data: Dataset, queue: Queue, others: dict[str, int], annotator: str, skipped: bool) -> str | None:
    """The next item, looked for among all."""
    for item in queue.order:
        each = {name: act.action for name, act in data.now().last(item, queue.contents[item]).items()}
        done = {"label"} if skipped else {"label", "skip"}
        if each.get(annotator) not in done and list(each.values()).count("label") + others.get(item, 0) < queue.times:
            return item
    return None


@pytest.mark.parametrize("times", [1, 2])
def test_the_next_item_is_the_one_found_by_going_through_all(data, times):
    """Labels, skips, answers taken back, labels of another content, items that others look at: in any order."""
    draw = random.Random(times)
    items = [str(i) for i in range(12)]
    queue = Queue(items, times, dict.fromkeys(items, "content"))
    people = ("ann", "bob", "eve")
    with data.table.writing():  # one transaction: the disk is not what is tested
        for number in range(500):
            who, skipped = draw.choice(people), draw.random() < 0.2
            others = {draw.choice(items): draw.randrange(3) for _ in range(draw.randrange(3))}
            found = queue.next(data.now(), others, who, skipped)
            assert found == by_hand(data, queue, others, who, skipped), number
            mine = data.now().by.get(who, [])
            if mine and draw.random() < 0.4:
                data._insert(New(f"k{number}", mine[-1].item, "content", who, None, "undo"), mine[-1].serial)
                continue
            item = found if found and draw.random() < 0.7 else draw.choice(items)
            action = draw.choice(("label", "label", "skip"))
            content = "content" if draw.random() < 0.9 else "other"
            data._insert(New(f"k{number}", item, content, who, "cat" if action == "label" else None, action))


def test_an_answer_costs_the_same_however_many_were_given(data, monkeypatch):
    items = [str(i) for i in range(400)]
    queue, looked = Queue(items), []
    data.write([New(f"k{item}", item, "content", "ann", "cat") for item in items[:300]])
    assert data.reserve(queue, "page", "bob") == "300"  # all were gone through once
    last = Standing.last
    monkeypatch.setattr(Standing, "last", lambda self, item, *more: looked.append(item) or last(self, item, *more))
    for item in items[300:350]:
        assert data.reserve(queue, "page", "bob") == item
        data.write([New(f"k{item}", item, "content", "bob", "cat")])
    assert len(looked) <= 3 * 50
