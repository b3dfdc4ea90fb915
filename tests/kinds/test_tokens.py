"""Figures of a language model by hand, and how a text is gone on with: the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from deepen import metrics
from deepen.content.writing import choose
from deepen.errors import DeepenError
from deepen.kinds.tokens import Tokens
from deepen.predictor import Predictor
from deepen.preprocess.text import Text
from deepen.program import Program
from deepen.signature import Signature

KIND = Tokens(tuple("abcd"), "character", 6, write=12)
NATS = np.array([[0, 1.0, 2.0, 0.5], [0, 3.0, 0, 0]], np.float32)
RIGHT = np.array([[-1, 1, 0, 1], [-1, 0, -1, -1]])
NEXT = np.log(np.full((2, 6), 1 / 6, np.float32))
OUTPUTS = {"nats": NATS, "right": RIGHT, "next": NEXT}


def test_figures_by_hand():
    found = KIND.metrics(np.array([3, 1]), OUTPUTS)
    assert found["nats"] == pytest.approx(6.5 / 4)
    assert found["perplexity"] == pytest.approx(np.exp(6.5 / 4))
    assert found["bits_per_character"] == pytest.approx(6.5 / np.log(2) / 4)
    assert found["accuracy"] == pytest.approx(2 / 4)
    twice = KIND.resampled(np.array([3, 1]), OUTPUTS, np.array([[0.0, 2.0]]))
    assert twice["nats"][0] == pytest.approx(3)
    assert "bits_per_character" not in KIND.metrics(np.array([0, 0]), OUTPUTS)  # words do not say it


def test_less_is_better_of_what_a_text_costs():
    for name in ("nats", "val_nats", "perplexity", "bits_per_character", "mase"):
        assert not metrics.higher_is_better(name), name
    assert metrics.higher_is_better("skill")
    assert metrics.higher_is_better("bleu")


def test_what_is_fitted_is_the_encoders_vocabulary_and_the_entropy():
    texts = ["abab", "abc"]
    kind = Tokens.fit(texts, longest=9, write=5)
    assert kind.words == Text.fit(texts, at_least=1, pieces="character").words == ("a", "b", "c")
    share = np.array([3, 3, 1]) / 7
    assert kind.alone == pytest.approx(float(-(share * np.log(share)).sum()))
    assert kind.baseline(np.zeros(1), np.zeros(1))[1] == kind.alone
    assert kind.encode(["abc", None, "a"]).tolist() == [2, -1, 0]
    with pytest.raises(DeepenError, match="1 piece in all"):
        Tokens.fit(["aaaa"])


@pytest.mark.parametrize(
    ("pieces", "text"), [("character", "bad cab\n"), ("bytepair", "naïve 東京 bad"), ("word", "a bad cab")]
)
def test_pieces_put_together_are_the_text(pieces, text):
    encoder = Text.fit([text] * 3, at_least=1, pieces=pieces, lower=False, longest=99)
    assert encoder.text(encoder.numbers(text)) == text
    kind = Tokens.fit([text] * 3, pieces=pieces, longest=99)
    wanted = 0 if pieces == "word" else len(text) - len(encoder.text(encoder.numbers(text)[:1]))
    assert kind.encode([text]).tolist() == [wanted]


def test_the_newest_pieces_of_a_long_text_are_kept():
    encoder = Text(tuple("abcd"), 3, "character", newest=True)
    assert encoder.encode(["abcda"])["tokens"].tolist() == [[4, 5, 2]]
    assert Text(tuple("abcd"), 3, "character").encode(["abcda"])["tokens"].tolist() == [[2, 3, 4]]


class Rule:
    """A graph: after each letter the next one is likeliest, by what stands last."""

    inputs = ["tokens"]
    outputs = ["nats", "right", "next"]

    def __init__(self) -> None:
        self.calls, self.seen = 0, []

    def run(self, arrays):
        tokens = arrays["tokens"]
        self.calls += 1
        self.seen.append(tokens.shape[1])
        last = tokens[np.arange(len(tokens)), (tokens > 0).sum(1) - 1]
        logits = np.full((len(tokens), 6), -1.0, np.float32)
        logits[np.arange(len(tokens)), 2 + (last - 1) % 4] = 2.0
        logits[:, :2] = 9.0  # what is no piece is never written
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return {"nats": np.zeros(tokens.shape, np.float32), "right": np.zeros_like(tokens) - 1, "next": logs}


def predictor(**writing) -> tuple[Predictor, Rule]:
    kind = Tokens(tuple("abcd"), "character", 6, **{"write": 12, "temperature": 0.0, **writing})
    rule = Rule()
    signature = Signature({"text": Text(kind.words, 6, "character", newest=True)}, {"next": kind})
    return Predictor(signature, Program([{"do": "run", "graph": "g"}, *kind.steps], {"g": rule})), rule


def test_the_likeliest_is_written_on():
    ask, _ = predictor()
    assert [answer["text"] for answer in ask(["abc", "d"])] == ["dabcdabcdabc", "abcdabcdabcd"]
    assert ask(["abc"])[0]["margin"] == pytest.approx(3.0)


def test_nothing_is_written_from_a_place_that_training_foretold_nothing_from():
    """An item of training has six pieces and ends with the sixth: five are what a piece is foretold from."""
    ask, rule = predictor()
    assert [answer["text"] for answer in ask(["abcdabcd", "a"])] == ["abcdabcdabcd", "bcdabcdabcda"]
    assert rule.seen[0] == 6  # the figures of what was given
    assert max(rule.seen[1:]) == 5
    assert len(rule.seen) == 13


def test_figures_do_not_wait_for_what_is_only_written_for_an_answer():
    ask, rule = predictor()
    outputs = ask.run(ask.encode(["abc"]))
    assert rule.calls == 1
    assert "written" not in outputs
    ask.decode(outputs)
    assert rule.calls == 12


def test_what_is_drawn_depends_on_the_seed_and_not_on_the_batch():
    ask, _ = predictor(temperature=1.0)
    alone = [ask([text])[0]["text"] for text in ("abc", "d", "bad")]
    assert [answer["text"] for answer in ask(["abc", "d", "bad"])] == alone
    assert any(len({a["text"] for a in predictor(temperature=1.0, seed=s)[0](["abc", "d"])}) > 1 for s in range(4))
    assert predictor(temperature=1.0, seed=1)[0](["abc"])[0]["text"] != alone[0]


def test_temperature_and_top_shape_what_is_drawn():
    """Frequencies of what is drawn after `a` follow softmax(logits / temperature), those below the top never."""
    ask, rule = predictor(write=1, temperature=1.5)
    step = ask.program.steps[-1]
    logs = rule.run({"tokens": np.array([[2]])})["next"]
    draw = np.random.default_rng(0)
    pieces = [int(choose(logs, draw.gumbel(size=4), step.temperature, step.top)[0][0]) for _ in range(4000)]
    drawn = np.bincount(pieces, minlength=6) / 4000
    weights = np.exp(np.array([-1.0, 2.0, -1.0, -1.0]) / 1.5)
    np.testing.assert_allclose(drawn[2:], weights / weights.sum(), atol=0.03)
    assert drawn[:2].sum() == 0
    only = predictor(write=40, temperature=5.0, top=1)[0](["a"])[0]["text"]
    assert only == ("bcda" * 10)


def test_answers_may_part_only_where_two_pieces_were_as_likely():
    one = {"text": "abc", "nats": 1.0, "margin": 0.5}
    assert KIND.gap(one, {**one, "nats": 1.001}) == pytest.approx(0.001, rel=0.01)
    assert KIND.gap(one, {**one, "text": "abd"}) == np.inf
    assert KIND.gap(one, {**one, "text": "abd", "margin": 1e-5}) == 0


def test_panels():
    titles = [panel.title for panel in KIND.panels(np.array([3, 1]), OUTPUTS)]
    assert titles == ["Nats by place", "Nats per piece, text by text", "Hardest to foretell"]
    assert KIND.panels(np.array([3, 1]), OUTPUTS)[0].lines[0].y == (2.0, 2.0, 0.5)
    assert KIND.agreement(OUTPUTS, {**OUTPUTS, "right": np.where(RIGHT == 0, 1, RIGHT)}) == 0.5
    assert KIND.difference(OUTPUTS, {**OUTPUTS, "nats": NATS + np.float32(0.25)}) == 0.25
    assert KIND.uncertainty(OUTPUTS).tolist() == pytest.approx([1, 1])
