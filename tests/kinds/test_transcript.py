"""Texts character by character: targets, figures, and the loss against a sum over all paths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.errors import DeepenError
from deepen.kinds.transcript import Transcript
from deepen.nn.heads import head
from deepen.signature import Signature
from tests.content.test_ctc import chances

KIND = Transcript.fit(["ab", None, "b a", ""])


def test_targets_and_answers():
    assert KIND.characters == (" ", "a", "b")
    target = KIND.encode(["ab", None, "b a"])
    assert target.tolist() == [[2, 3, 0], [-1, -1, -1], [3, 1, 2]]
    assert KIND.labelled(target).tolist() == [True, False, True]
    assert KIND.decode({"written": np.array([[2, 3, -1], [-1, -1, -1]])}) == [{"text": "ab"}, {"text": ""}]
    assert KIND.outputs([{"text": "ab"}, {"text": ""}])["written"].tolist() == [[2, 3], [-1, -1]]
    with pytest.raises(DeepenError, match="character 'c' is not known"):
        KIND.encode(["abc"])
    with pytest.raises(DeepenError, match="no text at all"):
        Transcript.fit([None, ""])


def test_figures_worked_out_by_hand():
    target = KIND.encode(["ab", "b a", "aa"])
    given = KIND.outputs([{"text": "ab"}, {"text": "b b"}, {"text": "a"}])
    found = KIND.metrics(target, given)
    assert found == {
        "character_error": pytest.approx(2 / 7),
        "word_error": pytest.approx(2 / 4),
        "exact_match": pytest.approx(1 / 3),
    }
    assert KIND.resampled(target, given, np.array([[0.0, 2, 1]]))["character_error"] == pytest.approx(3 / 8)
    assert KIND.agreement(given, KIND.outputs([{"text": "ab"}, {"text": "b a"}, {"text": "a"}])) == pytest.approx(2 / 3)
    assert KIND.per_item(target, given).values.tolist() == [0, pytest.approx(1 / 3), 0.5]
    titles = [panel.title for panel in KIND.panels(target, given)]
    assert titles == ["Mistakes in an item", "Worst errors"]


def test_the_loss_is_the_sum_over_all_paths_and_padding_changes_nothing():
    torch.manual_seed(0)
    kind = Transcript(("a", "b"))
    logits = torch.randn(2, 5, 3, requires_grad=True)
    there = torch.tensor([[True] * 5, [True] * 4 + [False]])
    target = torch.tensor([[1, 1, 2], [2, 0, 0]])
    loss = head(kind).loss((logits, there), target)
    frames = logits.detach().double().log_softmax(2).numpy()
    expected = (-np.log(chances(frames[0])[(1, 1, 2)]) / 3 - np.log(chances(frames[1, :4])[(2,)]) / 1) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits.grad[1, 4].abs().sum() == 0
    wide = (torch.cat([logits, torch.randn(2, 3, 3)], 1), torch.cat([there, torch.zeros(2, 3, dtype=torch.bool)], 1))
    torch.testing.assert_close(
        head(kind).loss(wide, torch.cat([target, torch.zeros(2, 2, dtype=torch.int64)], 1)), loss
    )
    short = head(kind).loss((logits[:, :1], there[:, :1]), target)
    assert torch.isfinite(short), "a text longer than its frames does not spoil the batch"


def test_answers_are_the_same_whatever_fills_up():
    kind = Transcript(("a", "b"))
    logits, there = torch.randn(1, 4, 3), torch.tensor([[True, True, True, False]])
    found = head(kind)((logits, there)).numpy()
    assert (found[0, 3] == -1e4).all()
    np.testing.assert_allclose(np.exp(found[0, :3]).sum(1), 1, atol=1e-6)
    alone = head(kind)((logits[:, :3], there[:, :3])).numpy()
    np.testing.assert_allclose(found[:, :3], alone, atol=1e-6)
    assert kind.decode({"frames": found}) == kind.decode({"frames": alone})
    np.testing.assert_allclose(kind.uncertainty({"frames": found}), kind.uncertainty({"frames": alone}), rtol=1e-6)


def test_it_travels_in_the_signature():
    again = Signature.from_json(Signature({}, {"text": Transcript(("a",), 5)}).to_json())
    assert again.answer == Transcript(("a",), 5)
    assert again.answer.steps == [{"do": "ctc", "beam": 5}]


def test_a_text_takes_a_step_a_character_and_one_between_two_that_are_alike():
    target = KIND.encode(["abab", "aab", "", "aa", None])
    assert KIND.least(target).tolist() == [4, 4, 0, 3, 0]
