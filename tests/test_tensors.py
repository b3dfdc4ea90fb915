"""Joining items to a batch: each rule against a hand-made batch."""

from __future__ import annotations

import numpy as np

from deepen.preprocess.graph import Graph
from deepen.tensors import Tensor, join, sizes


def test_stack_puts_rows_under_each_other():
    parts = [{"x": np.array([[1, 2]])}, {"x": np.array([[3, 4], [5, 6]])}]
    assert join([Tensor("x", "int64", ("batch", 2))], parts)["x"].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_pad_fills_up_to_the_longest():
    tensor = Tensor("x", "int64", ("batch", "length"), join="pad", fill=9)
    parts = [{"x": np.array([[1, 2, 3]])}, {"x": np.array([[4]])}]
    assert join([tensor], parts)["x"].tolist() == [[1, 2, 3], [4, 9, 9]]


def test_graphs_become_one_disjoint_union():
    parts = [
        Graph(1).encode([{"nodes": [[1], [2]], "edges": [[0, 1]]}]),
        Graph(1).encode([{"nodes": [[3]], "edges": []}]),
        Graph(1).encode([{"nodes": [[4], [5]], "edges": [[1, 0], [0, 1]]}]),
    ]
    batch = join(Graph(1).tensors, parts)
    assert batch["nodes"][:, 0].tolist() == [1, 2, 3, 4, 5]
    assert batch["edges"].tolist() == [[0, 3, 4], [1, 4, 3]]  # within a graph in order, as it is tidied
    assert batch["graph"].tolist() == [0, 0, 1, 2, 2]
    again = join(Graph(1).tensors, [batch, parts[1]])
    assert again["graph"].tolist() == [0, 0, 1, 2, 2, 3]


def test_named_dimensions_are_read_from_the_arrays():
    assert sizes(Graph(2).tensors, Graph(2).encode([{"nodes": [[1, 2]], "edges": []}])) == {"nodes": 1, "edges": 0}
