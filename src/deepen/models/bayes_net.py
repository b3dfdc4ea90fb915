"""Discrete Bayesian network over the columns of a row and its class, if it has one. Counted, not trained.

    p(k, x) = p(k) product over columns v of p(x_v | x_parent(v), k)            answer: p(k | x), by Bayes' rule
    without labels the only class is "all"; answer: log p(known columns), and p(x_v | known columns) of every column
    p(x_v = a | x_u = b, k) = (count(a, b, k) + s m) / (count(b, k) + s)        m: p(x_v = a | k); s: smoothing

naive: no column has another parent than the class. tree: each also has one other column as parent, all of them the
tree that says most of the columns given the class (the largest sum of mutual information).

Numbers are cut into bins at quantiles of the training rows. `query` gives any joint, marginal or conditional. Without
labels a row asks by what it leaves out: rows of training count where they are known, nn/forest.py sums the rest out.

Papers   Chow and Liu 1968, "Approximating discrete probability distributions with dependence trees";
         Friedman, Geiger, Goldszmidt 1997, "Bayesian network classifiers", section 4.
Letters  B items, V columns, K classes, S states of a column
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.kinds.columns import Columns
from deepen.nn import forest
from deepen.schema import Count, Positive
from deepen.signature import Signature

MOST_STATES = 50  # of a column that has, or is, a parent: pairs of more are hardly ever seen twice


class BayesNet(nn.Module):
    """What goes with what, counted from the rows: a probability for every question; for tables, with classes or without.

    structure  naive: columns depend on the class alone, if there is one; tree: each on one other column too
    bins       a number is cut into, at quantiles
    smoothing  rows' worth of what is known without the parent, added to every count
    """

    takes = ("row",)
    kinds = ("columns",)
    alone = "max_likelihood"
    alone_kind = "columns"
    fits = True
    tiny = {"bins": 3}

    borders: Tensor
    parents: Tensor
    starts: Tensor
    table: Tensor
    prior: Tensor
    strides: Tensor

    def __init__(
        self,
        signature: Signature,
        structure: Literal["naive", "tree"] = "tree",
        bins: Count = 5,
        smoothing: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.known = isinstance(signature.answer, Columns)
        if not self.known and not hasattr(signature.answer, "classes"):
            raise DeepenError(
                "model.input", "model bayes_net", signature.answer.describe(),
                "classes to tell apart, or no label at all", "model=tab_mlp",
            )  # fmt: skip
        (row,) = signature.inputs.values()
        widths = [int(t.shape[1]) for t in row.tensors if t.name == "numbers"]
        self.numbers = len(row.numbers) if self.known else sum(widths)
        self.sizes = [bins] * self.numbers + [len(known) + 2 for known in row.categories.values()]
        self.tree, self.smoothing, classes = structure == "tree", smoothing, 1 if self.known else signature.answer.width
        if self.known:
            self.sizes = signature.answer.sizes
        self.links: list[forest.Link] = []
        self.register_buffer("borders", torch.zeros(self.numbers, bins - 1))
        self.register_buffer("parents", torch.full((len(self.sizes),), -1))
        self.register_buffer("starts", torch.zeros(len(self.sizes), dtype=torch.int64))
        self.register_buffer(
            "table", torch.zeros(sum(self.sizes), classes)
        )  # log p(x_v | parent, k), all below each other
        self.register_buffer("prior", torch.zeros(classes))
        self.register_buffer("strides", torch.tensor(self.sizes))

    # ---------------------------------------------------------------- counting

    @torch.no_grad()
    def fit(self, inputs: tuple[Tensor, ...], target: Tensor) -> None:
        """Bins, structure and tables from all training rows."""
        codes = self._states(inputs, target) if self.known else None
        if codes is not None:
            target = torch.zeros_like(target[:, 0])
        elif self.numbers:
            shares = torch.linspace(0, 1, self.borders.shape[1] + 2)[1:-1].to(inputs[0])
            self.borders.copy_(torch.quantile(inputs[0].double(), shares.double(), 0).T)
        codes, classes = self.codes(*inputs) if codes is None else codes, len(self.prior)
        count = torch.bincount(target, minlength=classes).double()
        self.prior.copy_(((count + self.smoothing / classes) / (count.sum() + self.smoothing)).log())
        self.parents.copy_(torch.tensor(self._tree(codes, target) if self.tree else [-1] * len(self.sizes)))
        parts = []
        for v, parent in enumerate(self.parents.tolist()):
            alone = self._counts(codes[:, v], target, self.sizes[v]).double()  # (S, K)
            share = (alone + self.smoothing / self.sizes[v]) / (alone.sum(0) + self.smoothing)
            if parent < 0:
                parts.append(share)
                continue
            pair = self._pair(codes, parent, v)
            both = self._counts(pair, target, self.sizes[parent] * self.sizes[v]).double()
            both = both.view(self.sizes[parent], self.sizes[v], classes)
            parts.append(((both + self.smoothing * share) / (both.sum(1, keepdim=True) + self.smoothing)).flatten(0, 1))
        lengths = torch.tensor([len(part) for part in parts])
        self.starts.copy_(lengths.cumsum(0) - lengths)
        self.table = torch.cat(parts).log().to(self.prior)
        self.links = forest.ordered(self.parents.tolist())

    def _states(self, inputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
        """The states that the kind found, int64 (B, V), -1 unknown; borders are put where they part the numbers."""
        for i, size in enumerate(self.sizes[: self.numbers]):
            values, state = inputs[0][:, i], target[:, i]
            self.borders[i] = torch.inf
            for cut in range(size - 1):
                low, high = values[(state >= 0) & (state <= cut)].max(), values[state > cut].min()
                self.borders[i, cut] = low + (high - low) / 2
        return target

    def _pair(self, codes: Tensor, a: int, b: int) -> Tensor:
        """The state of two columns as one, (B,); -1 where either is unknown."""
        both = (codes[:, a] >= 0) & (codes[:, b] >= 0)
        return torch.where(both, codes[:, a] * self.sizes[b] + codes[:, b], -1)

    def _counts(self, codes: Tensor, target: Tensor, size: int) -> Tensor:
        """How often each state stands beside each class, (size, K); -1 is none."""
        classes, there = len(self.prior), codes >= 0
        return torch.bincount((codes * classes + target)[there], minlength=size * classes).view(size, classes)

    def _tree(self, codes: Tensor, target: Tensor) -> list[int]:
        """The parent of each column in the largest tree by mutual information given the class; -1: none."""
        few = [v for v, size in enumerate(self.sizes) if size <= MOST_STATES]
        parents = [-1] * len(self.sizes)
        if len(few) < 2:
            return parents
        inside, best = few[0], dict.fromkeys(few[1:], (0.0, few[0]))
        while best:  # Prim's: the column that says most of one in the tree joins it
            for v in best:
                best[v] = max(best[v], (self._information(codes, target, inside, v), inside))
            inside = max(best, key=lambda v: best[v][0])
            parents[inside] = best.pop(inside)[1]
        return parents

    def _information(self, codes: Tensor, target: Tensor, a: int, b: int) -> float:
        """I(a; b | class) in nats, by counts."""
        pair = self._counts(self._pair(codes, a, b), target, self.sizes[a] * self.sizes[b])
        both = pair.view(self.sizes[a], self.sizes[b], -1).double() / pair.sum().clamp(min=1)
        apart = both.sum(1, keepdim=True) * both.sum(0, keepdim=True) / both.sum((0, 1)).clamp(min=1e-12)
        return float(torch.where(both > 0, both * (both / apart).log(), 0.0).sum())

    # ---------------------------------------------------------------- answering

    def codes(self, *inputs: Tensor) -> Tensor:
        """The state of each column, int64 (B, V); without labels -1 where it is unknown."""
        rest = inputs[bool(self.numbers) :]
        if not self.known:
            parts = [(inputs[0].unsqueeze(2) > self.borders).sum(2)] if self.numbers else []
            return torch.cat([*parts, *rest], 1)
        parts = [codes - 1 for codes in rest]
        if self.numbers:
            numbers, missing = inputs[0][:, : self.numbers], inputs[0][:, -self.numbers :] > 0
            parts.insert(0, torch.where(missing, -1, (numbers.unsqueeze(2) > self.borders).sum(2)))
        return torch.cat(parts, 1)

    def features(self, *inputs: Tensor) -> Tensor:
        """log p(x_v | its parents), for each column and class, (B, V * K); without labels the chances of all states."""
        if self.known:
            return self._told(*inputs)[1]
        codes = self.codes(*inputs)
        above = codes.index_select(1, self.parents.clamp(min=0)) * (self.parents >= 0)
        return self.table[self.starts + above * self.strides + codes].flatten(1)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """log p(k, x), to (B, K); without labels log p of what is known (B,) and the chances of all states (B, S)."""
        if self.known:
            return self._told(*inputs)
        found = self.features(*inputs)
        return self.prior + found.view(-1, len(self.sizes), len(self.prior)).sum(1)

    def _told(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        codes, evidence = self.codes(*inputs), []
        for v, size in enumerate(self.sizes):
            state = codes[:, v : v + 1]
            evidence.append(((state == torch.arange(size, device=codes.device)) | (state < 0)).to(self.table))
        told, chances = forest.beliefs(self.links, self._tables(), evidence)
        return told, torch.cat(chances, 1)

    def _tables(self) -> forest.Tables:
        """p(x_v | x_parent) of each column, which lie in `table` below each other."""
        found, at = {}, 0
        for v, parent in sorted(self.links):
            shape = (self.sizes[v],) if parent < 0 else (self.sizes[parent], self.sizes[v])
            found[v] = self.table[at : at + math.prod(shape), 0].exp().view(shape)
            at += math.prod(shape)
        return found

    def log_density(self, *inputs: Tensor) -> Tensor:
        """log p of the columns of each row that are known, (B,)."""
        return self._told(*inputs)[0]

    def sample(self, count: int) -> Tensor:
        """Rows made up, states (count, V)."""
        return forest.drawn(self.links, self._tables(), count)

    def query(self, wanted: list[int], given: dict[int, int] | None = None) -> Tensor:
        """p(wanted | given) as a table with an axis for each of `wanted`; columns by number, the class is -1.

        Variables are summed out one by one, of those left always the one that touches fewest others.
        """
        given = given or {}
        factors = [_fixed(names, values, given) for names, values in self._factors()]
        left = {name for names, _ in factors for name in names} - {*wanted}
        while left:
            touched = {name: {n for names, _ in factors if name in names for n in names} for name in left}
            name = min(sorted(left), key=lambda v: len(touched[v]))
            near = [factor for factor in factors if name in factor[0]]
            kept = sorted(touched[name] - {name})
            factors = [f for f in factors if name not in f[0]] + [(kept, _product(near, kept))]
            left.remove(name)
        found = _product(factors, wanted)
        return found / found.sum()

    def _factors(self) -> list[tuple[list[int], Tensor]]:
        """The network's tables, each with the variables on its axes."""
        found = [([-1], self.prior.double().exp())]
        for v, (start, parent) in enumerate(zip(self.starts.tolist(), self.parents.tolist())):
            shape = [self.sizes[v]] if parent < 0 else [self.sizes[parent], self.sizes[v]]
            rows = self.table[start : start + int(torch.tensor(shape).prod())].double().exp()
            found.append(([parent, v, -1] if parent >= 0 else [v, -1], rows.view(*shape, -1)))
        return found

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state.get(f"{prefix}table")  # its length depends on the structure that was found
        if saved is not None and saved.ndim == 2:
            self.table = self.table.new_zeros(saved.shape)
        super()._load_from_state_dict(state, prefix, *rest)
        if f"{prefix}parents" in state:
            self.links = forest.ordered(self.parents.tolist())


def _fixed(names: list[int], values: Tensor, given: dict[int, int]) -> tuple[list[int], Tensor]:
    """A table at known states."""
    for axis, name in reversed([*enumerate(names)]):
        if name in given:
            values = values.select(axis, given[name])
    return [name for name in names if name not in given], values


def _product(factors: list[tuple[list[int], Tensor]], kept: list[int]) -> Tensor:
    """The product of tables, summed over all variables but those kept."""
    names = sorted({name for factor in factors for name in factor[0]})
    place = {name: i for i, name in enumerate(names)}
    words: list[Any] = []
    for axes, values in factors:
        words += [values, [place[name] for name in axes]]
    return torch.einsum(*words, [place[name] for name in kept])
