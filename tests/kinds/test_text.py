"""Written answers: BLEU as sacrebleu has it, exact ones counted, and the likeliest found by beams."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from deepen import metrics
from deepen.kinds.text import Text
from deepen.predictor import Predictor
from deepen.preprocess.pair import Pair
from deepen.program import Program
from deepen.signature import Signature

TRUTH = [
    "d d b b a a a b e d f", "d f e d d d f b e", "a c f d a e e f b a", "a d a b c c c a a a a",
    "d d b d e c c f e f", "e f d f e e c f", "d e f d c b", "c e f a f d c e",
]  # fmt: skip
ANSWERS = [
    "d d b b a a a d e d", "f f f d d c f f e", "a c e d f e e f b a", "a d a b c c c a a a a",
    "d a b d e c c f d", "e f d f e e c f", "f e f f e b", "c d f d f d c e",
]  # fmt: skip
SACREBLEU = 0.5905558153101609  # sacrebleu 2, corpus_bleu(..., tokenize="none", smooth_method="none") / 100
KIND = Text(("a", "b", "c"), "word", 4)


def test_bleu_is_that_of_sacrebleu():
    truth, answers = ([text.split() for text in texts] for texts in (TRUTH, ANSWERS))
    everyone = np.ones((1, len(truth)))
    assert metrics.bleu_resampled(truth, answers, everyone)[0] == pytest.approx(SACREBLEU, abs=1e-12)
    assert metrics.bleu_resampled(truth, truth, everyone)[0] == pytest.approx(1)
    rows = [0, 0, 3, 5]
    counts = np.bincount(rows, minlength=8)[None].astype(float)
    drawn = metrics.bleu_resampled([truth[r] for r in rows], [answers[r] for r in rows], np.ones((1, 4)))
    assert metrics.bleu_resampled(truth, answers, counts)[0] == pytest.approx(drawn[0])
    assert metrics.bleu_resampled([["a"]], [["b"]], np.ones((1, 1)))[0] == 0
    assert metrics.bleu_resampled([["a"]], [[]], np.ones((1, 1)))[0] == 0


def outputs(written: list[list[int]]) -> dict[str, np.ndarray]:
    rows = np.array(written)
    return {
        "nats": np.array([[0, 1.0, 2.0], [0, 3.0, 0]], np.float32), "right": np.array([[-1, 1, 0], [-1, 0, -1]]),
        "next": np.zeros((2, 6), np.float32), "written": rows, "margin": np.array([1.0, 0.5]),
    }  # fmt: skip


def test_figures_by_hand():
    target = KIND.encode([("x", "a b"), ("y", "c")])
    assert target.tolist() == [[2, 3, 0, 0], [4, 0, 0, 0]]
    found = KIND.metrics(target, outputs([[2, 3, 0], [4, 4, 0]]))
    assert found["nats"] == pytest.approx(6 / 3)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["exact_match"] == 0.5
    training = {name: array for name, array in outputs([[0], [0]]).items() if name not in {"written", "margin"}}
    assert set(KIND.metrics(target, training)) == {"nats", "perplexity", "accuracy"}
    assert KIND.decode(outputs([[2, 3, 0], [4, 4, 0]]))[0] == {"text": "a b", "margin": 1.0}
    assert KIND.per_item(target, training).values.tolist() == [1.5, 3]
    assert KIND.labelled(KIND.encode([("x", "a"), None])).tolist() == [True, False]


def test_answers_may_part_only_where_two_pieces_were_as_likely():
    a, b = outputs([[2, 3], [4, 0]]), outputs([[2, 3], [3, 0]])
    assert KIND.agreement(a, b) == 0.5
    assert KIND.agreement(a, {**b, "margin": np.array([1.0, 1e-5])}) == 1
    one = {"text": "a", "margin": 0.5}
    assert KIND.gap(one, {"text": "b", "margin": 0.5}) == np.inf
    assert KIND.gap(one, {"text": "b", "margin": 1e-6}) == 0


class Table:
    """A graph: the logarithms of what comes are drawn for each beginning, and depend on the source."""

    inputs = ["source", "so_far"]
    outputs = ["nats", "right", "next"]

    def logs(self, source: int, begun: tuple[int, ...]) -> np.ndarray:
        draw = np.random.default_rng([source, *begun])
        logits = draw.normal(size=6) * 1.5
        return logits - np.log(np.exp(logits).sum())

    def run(self, arrays):
        rows = zip(arrays["source"][:, 0].tolist(), arrays["so_far"].tolist())
        return {"next": np.array([self.logs(source, tuple(begun)) for source, begun in rows], np.float32)}


def best_of_all(source: int, length: int = 4) -> tuple[list[int], float]:
    """Every answer of at most so many pieces, by mean logarithm per piece; the mark counts as one."""
    graph, mark, found = Table(), 5, []
    for size in range(length + 1):
        for pieces in itertools.product((2, 3, 4), repeat=size):
            whole = [mark, *pieces, mark]
            logs = sum(graph.logs(source, tuple(whole[: i + 1]))[whole[i + 1]] for i in range(size + 1))
            found.append((logs / (size + 1), list(pieces)))
    score, pieces = max(found)
    return pieces, score


def written(beams: int, sources: list[int]) -> list[list[int]]:
    step = {"do": "write", "length": 4, "mark": 5, "beams": beams}
    known = Program([step], {"g": Table()}).run({"source": np.array(sources)[:, None]})
    return [[piece for piece in row if piece] for row in known["written"].tolist()]


def test_one_beam_takes_the_likeliest_again_and_again():
    for source, found in zip(range(20), written(1, list(range(20)))):
        begun = [5]
        while len(begun) < 6 and (piece := 2 + int(Table().logs(source, tuple(begun))[2:].argmax())) != 5:
            begun.append(piece)
        assert found == begun[1:5]


def test_enough_beams_find_the_best_there_is_more_often_than_one():
    best = [best_of_all(source)[0] for source in range(20)]
    hits = {beams: sum(a == b for a, b in zip(best, written(beams, list(range(20))))) for beams in (1, 4, 60)}
    assert hits[1] < hits[4] <= hits[60]
    assert hits[60] == 20


def test_an_answer_does_not_depend_on_what_else_is_asked():
    together = written(3, list(range(8)))
    assert together == [written(3, [source])[0] for source in range(8)]


def test_what_is_asked_in_service_is_written_without_the_truth():
    pair = Pair(KIND.words, 4, "word")
    signature = Signature({"text": pair}, {"answer": KIND})

    class Echo(Table):
        def run(self, arrays):
            found = super().run(arrays)
            nothing = np.zeros(arrays["so_far"].shape, np.float32)
            return {**found, "nats": nothing, "right": nothing.astype(np.int64) - 1}

    ask = Predictor(signature, Program([{"do": "run", "graph": "g"}, *KIND.steps], {"g": Echo()}))
    with_truth, alone = ask([("a b", "c c")]), ask(["a b"])
    assert with_truth == alone
