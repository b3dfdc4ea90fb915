"""Work in chunks, smaller ones where memory runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import deepen
from deepen.errors import DeepenError
from deepen.machine import in_chunks, out_of_memory
from deepen.nn.packaged import Packaged

PROBLEMS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("most", [1, 3, 7, 64])
def test_the_same_items_in_the_same_order_in_smaller_chunks(problem, most):
    sizes = []

    def work(start: int, stop: int) -> list[int]:
        if stop - start > most:
            raise problem
        sizes.append(stop - start)
        return list(range(start, stop))

    assert [i for chunk in in_chunks(50, 32, work) for i in chunk] == list(range(50))
    assert max(sizes) <= most


def test_one_item_that_does_not_fit_and_other_failures_are_told():
    def work(start: int, stop: int) -> None:
        raise MemoryError

    with pytest.raises(DeepenError, match="out of memory with a single item"):
        in_chunks(10, 4, work)
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    def wrong(start: int, stop: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        in_chunks(10, 4, wrong)


def test_what_is_done_is_not_done_again_and_the_size_is_halved():
    tried = []

    def work(start: int, stop: int) -> None:
        tried.append((start, stop))
        if start >= 16 and stop - start > 3:
            raise MemoryError

    in_chunks(24, 8, work)
    assert tried == [(0, 8), (8, 16), (16, 24), (16, 20), (16, 18), (18, 20), (20, 22), (22, 24)]


def test_training_and_evaluation_go_on_with_smaller_chunks(monkeypatch):
    whole = deepen.train("blobs", output="whole", epochs=2, model="mlp", threads=1)
    figures = deepen.evaluate(str(whole.path))["metrics"]
    plain = Packaged.forward

    def small(self: Packaged, *tensors: torch.Tensor):
        if torch.is_inference_mode_enabled() and len(tensors[0]) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, *tensors)

    monkeypatch.setattr(Packaged, "forward", small)
    again = deepen.train("blobs", output="again", epochs=2, model="mlp", threads=1)
    for one, other in zip(whole.rows(), again.rows(), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    found = deepen.evaluate(str(again.path))
    for name, (value, *_) in found["metrics"].items():
        assert np.isclose(value, figures[name][0], rtol=1e-5), name
    assert list(found["costs"]["seconds"]) == ["1"], "what does not fit is not timed"
