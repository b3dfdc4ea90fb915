"""Decoding against all paths there are, and the distance of texts against its definition."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from deepen.content import ctc
from deepen.errors import DeepenError
from deepen.program import Program


def said(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(c for c, _ in itertools.groupby(path) if c != 0)


def chances(frames: np.ndarray) -> dict[tuple[int, ...], float]:
    """P(text) as the sum over every path."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(frames.shape[1]), repeat=len(frames)):
        p = np.exp(sum(frames[t, c] for t, c in enumerate(path)))
        found[said(path)] = found.get(said(path), 0.0) + float(p)
    return found


def drawn(seed: int, frames: int = 5, k: int = 3) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 1.5, (frames, k))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_finds_the_likeliest_text_of_all(seed):
    frames = drawn(seed)
    every = chances(frames)
    assert sum(every.values()) == pytest.approx(1.0)
    assert tuple(ctc.beam(frames, 50)) == max(every, key=lambda text: every[text])
    path = tuple(frames.argmax(1).tolist())
    assert tuple(ctc.greedy(frames)) == said(path)


def test_beam_and_greedy_differ_where_many_paths_say_the_same():
    """Blank is likeliest in each of two frames, 0.6 x 0.6 = 0.36; but 1 - 0.36 says "a"."""
    frames = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert ctc.greedy(frames) == []
    assert ctc.beam(frames, 2) == [1]
    assert chances(frames)[(1,)] == pytest.approx(0.64)
    rare = np.log(np.tile([[0.7, 0.3]], (4, 1)))  # likelier silent in every frame, and yet once somewhere
    assert ctc.beam(rare, 20) == [1]


def test_a_character_twice_needs_a_blank_between():
    one = np.log(np.full((5, 2), 1e-4))
    for t, c in enumerate((1, 1, 0, 1, 0)):
        one[t, c] = 0.0
    assert ctc.greedy(one) == ctc.beam(one, 8) == [1, 1]
    assert ctc.greedy(one[[0, 1, 3]]) == ctc.beam(one[[0, 1, 3]], 8) == [1]


def test_frames_that_only_fill_up_say_nothing():
    frames = np.stack([drawn(1), drawn(2)])
    longer = np.concatenate([frames, np.full((2, 4, 3), ctc.OUTSIDE)], axis=1)
    for width in (1, 10):
        np.testing.assert_array_equal(ctc.written(frames, width), ctc.written(longer, width))
    assert ctc.written(np.full((1, 2, 3), ctc.OUTSIDE), 1).shape == (1, 0)
    near = np.concatenate([np.log([[0.55, 0.45]]), np.full((1, 2), ctc.OUTSIDE)])
    assert ctc.beam(near, 10) == [], "nor do they count once more what ended open"


def test_the_program_has_it_as_a_step():
    frames = np.stack([drawn(1), drawn(2)])
    found = Program([{"do": "ctc", "beam": 10}], {}).run({"frames": frames})
    np.testing.assert_array_equal(found["written"], ctc.written(frames, 10))
    with pytest.raises(DeepenError, match="a beam of 1 to 100"):
        Program([{"do": "ctc", "beam": 1000}], {})


def test_the_distance_of_texts_is_its_definition():
    @functools.cache
    def slow(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    draw = np.random.default_rng(0)
    for _ in range(200):
        a, b = ("".join(draw.choice(list("abc"), draw.integers(0, 7))) for _ in range(2))
        assert ctc.edits(a, b) == slow(a, b), (a, b)
    assert ctc.edits("kitten", "sitting") == 3
    assert ctc.edits(["two", "words"], ["two", "more", "words"]) == 1
