"""Networks that propose things: frequent ones to somebody new, nothing twice, the order of events heard."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.data.batch import Labeled
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.kinds.ranking import Ranking
from deepen.methods.supervised import Supervised
from deepen.nn.heads import head
from deepen.nn.inputs import network
from deepen.preprocess.history import History
from deepen.preprocess.row import Row
from deepen.signature import Signature

THINGS = tuple("abcdef")
SIGNATURE = Signature({"events": History(THINGS)}, {"item": Ranking(THINGS, (5, 3, 2, 1, 0, 0))})
NAMES = ["two_tower", "sequence_recommender"]


def built(name: str, signature: Signature = SIGNATURE, **more: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return network({"name": name, "width": 8, **more}, signature).eval()


@pytest.mark.parametrize("name", NAMES)
def test_somebody_new_is_answered_by_frequency_and_nothing_comes_twice(name):
    net = built(name)
    with torch.no_grad():
        new = head(SIGNATURE.answer)(net(torch.zeros(1, 1, dtype=torch.int64))).numpy()
        np.testing.assert_allclose(new[0], (np.array([5, 3, 2, 1, 0, 0]) + 1) / 17, rtol=1e-4)
        had = head(SIGNATURE.answer)(net(torch.tensor([[1, 3, 0]]))).numpy()
    assert had[0, [0, 2]].max() == 0
    assert had[0, [1, 3, 4, 5]].min() > 0
    again = Signature(SIGNATURE.inputs, {"item": Ranking(THINGS, (5, 3, 2, 1, 0, 0), again=True)})
    assert head(again.answer)(built(name, again)(torch.tensor([[1, 3, 0]]))).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_fills_up_changes_nothing(name):
    net = built(name)
    events = torch.tensor([[1, 2, 3, 4], [2, 0, 0, 0], [0, 0, 0, 0]])
    wide = torch.cat([events, torch.zeros(3, 5, dtype=torch.int64)], 1)
    torch.testing.assert_close(net(wide), net(events), rtol=1e-4, atol=1e-5)
    alone = torch.cat([net(events[:1]), net(events[1:2, :1]), net(events[2:, :1])])
    torch.testing.assert_close(alone, net(events), rtol=1e-4, atol=1e-5)


def test_only_the_latest_events_count_but_all_that_was_had_is_left_out():
    for name in NAMES:
        net = built(name, latest=2)
        a, b = net(torch.tensor([[1, 2, 3]])), net(torch.tensor([[1, 2, 4]]))
        torch.testing.assert_close(a[0, [4, 5]], b[0, [4, 5]])
        assert a[0, 2] < -1e3 < b[0, 2]


def test_the_order_matters_to_attention_and_not_to_the_mean():
    one, other = torch.tensor([[1, 2, 3]]), torch.tensor([[3, 2, 1]])
    free = [3, 4, 5]
    tower, sequence = built("two_tower"), built("sequence_recommender")
    torch.testing.assert_close(tower(one)[:, free], tower(other)[:, free])
    assert not torch.allclose(sequence(one)[:, free], sequence(other)[:, free])
    flat = built(
        "sequence_recommender", depth=1
    )  # of one block only the places say which of two earlier ones came first
    assert not torch.allclose(flat(torch.tensor([[1, 2, 3]]))[:, free], flat(torch.tensor([[1, 3, 2]]))[:, free])
    heard: list[torch.Tensor] = []
    sequence.stack.register_forward_hook(lambda *call: heard.append(call[2]))
    for latest in (1, 4):
        sequence(torch.tensor([[latest, 2, 3]]))
    torch.testing.assert_close(heard[0][:, :2], heard[1][:, :2])  # in time: what came before does not see it
    assert not torch.allclose(heard[0][:, 2], heard[1][:, 2])


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_next_is_learnt_and_what_is_known_of_somebody_too(name):
    """The next thing is the one after the latest in a circle; for somebody new it is told by a column."""
    draw = np.random.default_rng(0)
    circle = Signature(
        {"events": History(THINGS), "user": Row((), {}, {"side": ("left", "right")})},
        {"item": Ranking(THINGS, (1,) * 6, again=True)},
    )
    latest = draw.integers(0, 7, 200)
    events = np.where(latest[:, None] > 0, np.stack([latest, draw.integers(1, 7, 200)], 1), 0)
    side = draw.integers(2, 4, 200)
    target = torch.from_numpy(np.where(latest > 0, latest % 6, side - 2))
    given = torch.from_numpy(events), torch.from_numpy(side[:, None])
    net = built(name, circle, dropout=0.0, width=16).train()
    begun = {key: p.detach().clone() for key, p in net.named_parameters()}
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150 if name == "sequence_recommender" else 60):
        optimizer.zero_grad()
        head(circle.answer).loss(net(*given), target).backward()
        optimizer.step()
    assert not [key for key, p in net.named_parameters() if torch.equal(p, begun[key])], "all of it learns"
    right = net.eval()(*given).argmax(1) == target
    new = torch.from_numpy(latest) == 0
    assert right[new].float().mean() > 0.95
    if name == "sequence_recommender":
        assert right.float().mean() > 0.95


def test_other_data_is_refused():
    with pytest.raises(DeepenError, match="which of many things comes next"):
        built("two_tower", Signature({"events": History(THINGS)}, {"label": Classes(("a", "b"))}))
    with pytest.raises(DeepenError, match="one history, and at most rows beside it"):
        built("two_tower", Signature({"user": Row(("x",))}, SIGNATURE.outputs))


def catalogue(counts: tuple[int, ...], about: tuple[tuple[float, ...], ...]) -> Signature:
    things = tuple(f"t{i}" for i in range(len(counts)))
    return Signature({"events": History(things)}, {"item": Ranking(things, counts, True, about)})


@pytest.mark.parametrize("name", NAMES)
def test_a_thing_nobody_had_is_proposed_by_what_is_known_of_it(name):
    """Two kinds of things, one each for people who had its like; of each kind one was never had."""
    count = 20
    about = tuple((1.0, 0.0) if i % 2 else (0.0, 1.0) for i in range(count))
    signature = catalogue((*[9] * (count - 2), 0, 0), about)
    draw = np.random.default_rng(0)
    had = draw.integers(0, count - 2, 400)
    target = torch.from_numpy((had + 2 * draw.integers(0, 9, 400)) % (count - 2))
    events = torch.from_numpy(had[:, None] + 1)
    net = built(name, signature, dropout=0.0).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        head(signature.answer).loss(net(events), target).backward()
        optimizer.step()
    chances = head(signature.answer)(net.eval()(events)).detach().numpy()
    own = chances[np.arange(400), count - 2 + had % 2]
    other = chances[np.arange(400), count - 1 - had % 2]
    assert np.median(own / other) > 5
    assert 0.3 < np.median(own) * count / 2 < 3, "about as likely as its like"


@pytest.mark.parametrize("name", NAMES)
def test_what_training_never_saw_is_no_rival_there_and_has_nothing_of_its_own(name):
    signature = catalogue((3, 2, 0), ((1.0,), (2.0,), (3.0,)))
    net = built(name, signature)
    events = torch.tensor([[1, 2]])
    assert net.things.chances.tolist() == pytest.approx([4 / 7, 3 / 7, 0])  # those that are drawn
    assert net.train()(events)[0, 2] < -1e3 < net.eval()(events)[0, 2]
    before, after_it = net(events), net(events + 1)
    with torch.no_grad():
        net.things.vectors.weight[3] += 5
        net.things.frequent[2] += 5
        if name == "two_tower":
            net.had.weight[3] += 5
    torch.testing.assert_close(net(events), before)
    torch.testing.assert_close(net(events + 1), after_it)
    with torch.no_grad():
        net.things.liked.weight += 1
    torch.testing.assert_close(net(events) - before, torch.tensor([[1.0, 2.0, 3.0]]))


def test_some_things_own_vectors_are_left_out_while_training_and_the_others_not_made_larger():
    net = built("two_tower", catalogue((5,) * 400, ((1.0,),) * 400)).train()
    kept = torch.stack([net.things._kept() for _ in range(20)])[:, 1:]
    assert {*kept.flatten().tolist()} == {0.0, 1.0}
    assert float(kept.mean()) == pytest.approx(0.9, abs=0.02)
    assert net.eval().things._kept()[1:].all()


def test_what_somebody_had_is_no_rival_among_those_drawn():
    raw = built("two_tower", drawn=40).train()(torch.tensor([[1, 3, 0], [0, 0, 0]]))
    assert {*raw.drawn.tolist()} >= {0, 1, 2}
    assert torch.equal(raw.out[0], (raw.drawn == 0) | (raw.drawn == 2))
    assert not raw.out[1].any()


def test_many_things_are_learnt_from_some_that_are_drawn():
    """The same frequencies and the same circle as against all things."""
    things = tuple(map(str, range(30)))
    signature = Signature({"events": History(things)}, {"item": Ranking(things, (1,) * 30, again=True)})
    events = torch.arange(1, 31)[:, None]
    target = torch.arange(1, 31) % 30
    net = built("two_tower", signature, dropout=0.0, width=16, drawn=8).train()
    method = Supervised(net, signature.answer)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        method.loss(Labeled((events,), target), "model").backward()
        optimizer.step()
    found = head(signature.answer)(net.eval()(events))
    assert found.shape == (30, 30)
    assert (found.argmax(1) == target).float().mean() > 0.9
