"""Items of unequal size: however they are chosen, a batch is what the server would join from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.data.encoding import encode_each
from deepen.data.feeds import ALIKE, Rows
from deepen.data.stored import store
from deepen.errors import Invalid
from deepen.preprocess.graph import Graph
from deepen.preprocess.text import Text
from deepen.tensors import Ragged, Tensor, gather, join

RNG = np.random.default_rng(0)
TEXTS = np.array([" ".join(RNG.choice(["a", "b", "c", "d"], n)) for n in (3, 1, 7, 0, 2, 5)], object)


def graphs() -> list[dict]:
    found = []
    for nodes, edges in ((2, 1), (1, 0), (4, 6), (3, 2), (5, 9)):
        pairs = RNG.integers(nodes, size=(edges, 2))
        found.append({"nodes": RNG.normal(size=(nodes, 3)).astype(np.float32), "edges": pairs})
    return found


class Series:
    """Float series (L, 2) filled with -1, beside a number per item."""

    tensors = (
        Tensor("series", "float32", ("batch", "length", 2), join="pad", fill=-1),
        Tensor("length", "int64", ("batch",)),
    )

    def encode(self, values):
        if len(values[0]) == 4:
            raise Invalid("four", "another number")
        return {"series": values[0][None], "length": np.array([len(values[0])])}


SERIES = [RNG.normal(size=(n, 2)).astype(np.float32) for n in (3, 1, 4, 6)]


@pytest.mark.parametrize(
    ("encoder", "values", "bad"),
    [(Text.fit(TEXTS, at_least=1), TEXTS, [3]), (Graph(3), graphs(), []), (Series(), SERIES, [2])],
)
def test_a_batch_is_what_join_makes_of_the_items(encoder, values, bad):
    columns, failures = encode_each(encoder, values)
    assert [*failures] == bad
    kept = store(encoder.tensors, columns, "cpu")
    good = [row for row in range(len(values)) if row not in bad]
    for rows in (good, good[::-1], good[1:2], [good[0], good[0], good[-1]]):
        wanted = join(encoder.tensors, [encoder.encode(list(values[r : r + 1])) for r in rows])
        for tensor, column in zip(encoder.tensors, kept):
            found = column.take(torch.tensor(rows)).numpy()
            assert found.dtype == wanted[tensor.name].dtype
            np.testing.assert_array_equal(found, wanted[tensor.name])
        for name, array in gather(encoder.tensors, columns, np.array(rows)).items():
            np.testing.assert_array_equal(array, wanted[name])


def test_values_of_some_rows():
    column = Ragged(np.arange(6), np.array([0, 2, 2, 6]))
    assert column[np.array([2, 0, 1])].tolist() == [2, 3, 4, 5, 0, 1]


def test_batches_hold_items_of_like_length_and_every_item_once():
    lengths = torch.from_numpy(RNG.integers(1, 400, 1003))
    feed = Rows(torch.arange(1003), 8, seed=1, lengths=lengths)
    epoch = [feed.of(0, k) for k in range(len(feed))]
    assert torch.equal(torch.cat(epoch).sort().values, torch.arange(1003))
    assert [len(rows) for rows in epoch] == [8] * 125 + [3]
    spread = torch.tensor([float(lengths[rows].max() - lengths[rows].min()) for rows in epoch])
    assert spread.mean() < 400 / ALIKE * 4  # of random batches it is about 310
    longest = torch.tensor([float(lengths[rows].max()) for rows in epoch])
    assert abs(np.corrcoef(np.arange(126), longest)[0, 1]) < 0.3  # short and long batches in any order
    assert not torch.equal(feed.of(1, 0), epoch[0])
    assert torch.equal(feed.of(0, 5), epoch[5])
