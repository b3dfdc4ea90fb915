"""Hard examples: the running mean, the weights that follow, the floor, and that nothing but made steps counts."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from deepen.data.feeds import Rows
from deepen.errors import DeepenError
from deepen.training.assemble import build
from deepen.training.hard import Hard
from tests.training.engines import engine, hurt, new_run, prepared_for

HALF = 0.5


def hard(count: int = 4, share: float = HALF, base=None) -> Hard:
    base = torch.ones(count, dtype=torch.float64) if base is None else torch.tensor(base, dtype=torch.float64)
    return Hard(base, share, "cpu")


def test_weights_follow_the_running_mean_of_what_was_seen():
    """By hand: means of a pass, half of the old mean kept, the mean cost for what was never drawn."""
    found = hard()
    found.see(torch.tensor([0, 1, 0]), torch.tensor([1.0, 4.0, 3.0]))
    found.after_epoch()
    assert found.costs.tolist() == [2.0, 4.0, -1.0, -1.0]
    assert found.weights.tolist() == pytest.approx([0.5 + 0.5 * 2 / 3, 0.5 + 0.5 * 4 / 3, 1.0, 1.0])
    found.see(torch.tensor([0, 2]), torch.tensor([6.0, 1.0]))
    found.after_epoch()
    assert found.costs.tolist() == [4.0, 4.0, 1.0, -1.0]
    assert found.weights.tolist() == pytest.approx([0.5 + 0.5 * 4 / 3, 0.5 + 0.5 * 4 / 3, 0.5 + 0.5 / 3, 1.0])


def test_the_share_falls_to_items_by_cost_whatever_their_own_weights():
    base, costs = [3.0, 1.0, 2.0, 0.0], torch.tensor([1.0, 5.0, 0.0, 9.0])
    found = hard(base=base, share=0.3)
    found.see(torch.arange(4), costs)
    found.after_epoch()
    own = torch.tensor(base, dtype=torch.float64)
    wanted = 0.7 * own / own.sum() + 0.3 * own * costs / (own * costs).sum()
    torch.testing.assert_close(found.weights / found.weights.sum(), wanted)


def test_draws_are_in_proportion_and_what_costs_nothing_does_not_starve():
    costs = torch.linspace(0, 3, 40, dtype=torch.float64) ** 2
    found = hard(40, share=0.8)
    found.see(torch.arange(40), costs)
    found.after_epoch()
    rows = Rows(torch.arange(40), 8, 1, weights=found.weights)
    counts = torch.cat([rows.of(epoch, k) for epoch in range(300) for k in range(5)]).bincount(minlength=40)
    wanted = 12000 * (0.2 / 40 + 0.8 * costs / costs.sum())
    assert chisquare(counts.numpy(), wanted.numpy()).pvalue > 0.01
    assert counts[0] > 0.15 / 40 * 12000


def test_losses_that_are_not_finite_tell_nothing():
    found = hard()
    found.see(torch.tensor([0, 1, 0]), torch.tensor([float("nan"), 1.0, 2.0]))
    found.after_epoch()
    assert found.costs.tolist() == [2.0, 1.0, -1.0, -1.0]


def test_where_everything_is_known_by_heart_items_are_drawn_alike():
    found = hard()
    found.see(torch.arange(4), torch.zeros(4))
    found.after_epoch()
    assert torch.isfinite(found.weights).all()
    assert len(found.weights.unique()) == 1


# ---------------------------------------------------------------- in a training


@pytest.mark.parametrize("settings", [{}, {"data.kind": "number"}, {"focus": 2, "label_smoothing": 0.1}])
def test_the_loss_is_the_same_and_each_item_is_put_down_with_its_own(settings):
    trained, plain = engine(hard_examples=HALF, **settings), engine(**settings)
    batch = trained.feed.batch(0, 0)
    trained.method.before("model")
    found = trained.method.loss(batch, "model")
    torch.testing.assert_close(found, plain.method.loss(batch, "model"))
    ((rows, losses),) = trained.method._told
    assert torch.equal(rows, batch.rows)
    for i in range(3):
        one = type(batch)(tuple(x[i : i + 1] for x in batch.inputs), batch.target[i : i + 1])
        torch.testing.assert_close(losses[i], plain.method.loss(one, "model").detach())


def test_a_pass_tells_each_item_once_and_the_next_draws_the_hard_ones():
    trained = engine(hard_examples=0.9, steps=2 * 9)
    train = trained.data.parts["train"]
    assert trained.epoch_steps == 9
    for _ in range(9):
        trained._advance()
    assert torch.equal(trained.method.hard.seen[1][train], torch.ones(len(train), dtype=torch.float64))
    trained._keep(False)
    costs = trained.method.hard.costs[train]
    assert (costs >= 0).all()
    drawn = torch.cat([trained.feed.order.of(1, k) for k in range(9)])
    assert trained.method.hard.costs[drawn].mean() > costs.mean()


def test_only_steps_that_were_made_count():
    """The losses of probes, of a step that was left out and of evaluation are not put down."""
    trained = engine(hard_examples=HALF)
    hurt(trained, lambda at, batch, loss: loss * float("nan") if at.state.step == 0 else loss)
    trained.probe.look()
    trained._advance()
    assert trained.state.step == 1
    assert not trained.method.hard.seen.any()
    trained._advance()
    assert trained.method.hard.seen[1].sum() == 16


def test_parts_of_a_batch_are_put_down_like_the_whole():
    whole, parts = engine(hard_examples=HALF), engine(hard_examples=HALF, accumulate=3)
    for trained in (whole, parts):
        trained._advance()
    torch.testing.assert_close(whole.method.hard.seen, parts.method.hard.seen)


def test_resumed_in_mid_pass_is_uninterrupted(tmp_path):
    """What is drawn next depends on what was seen before the stop: it is in the checkpoint."""
    settings = {"hard_examples": 0.8, "epochs": 4, "optimizer": "sgd"}
    config, prepared = prepared_for(**settings)
    run = new_run(tmp_path, **settings)
    through = build(config, prepared, new_run(tmp_path, **settings))
    through.fit()
    stopped = build(config, prepared, run)
    for _ in range(13):  # in the second pass
        stopped._advance()
        stopped._keep(False)
    stopped.save()
    again = build(config, prepared, run)
    assert again.load()
    assert again.state.step == 13
    again.fit()
    for name, tensor in through.method.hard.state_dict().items():
        assert torch.equal(tensor, again.method.hard.state_dict()[name]), name
    assert through.method.hard.costs.max() > 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"augment": "[mixup]"}, "method.hard_examples: train.augment mixes items"),
        ({"own": "tests.methods.test_supervised:Assisted"}, "method.hard_examples: a loss of your own"),
    ],
)
def test_where_a_loss_is_not_an_items_it_is_refused(settings, told):
    with pytest.raises(DeepenError, match=told):
        engine(hard_examples=HALF, **settings)
