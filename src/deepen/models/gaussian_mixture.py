"""Gaussian mixture: the density of each class, and of all items, as a weighted sum of bells. Fitted, not trained.

    p(x, k) = sum over c of w_kc N(x; m_kc, S_kc)           answer: p(k | x) = p(x, k) / sum over k of p(x, k)
                                                            without labels: one class, and the answer is log p(x)
    E step    r_ic = w_c N(x_i; m_c, S_c) / sum over c      M step   n_c = sum r_ic,  w_c = n_c / n,
              m_c = sum r_ic x_i / n_c,  S_c = sum r_ic (x_i - m_c)(x_i - m_c)^T / n_c + floor I

Queries, on the scaled inputs the network gets: `log_density` (joint), `marginal` of some columns, `conditional` of the
others given some, `sample`.

Paper    Dempster, Laird, Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm" (expectation
         maximisation).
Differs  starts from rows drawn far from each other (k-means++, Arthur and Vassilvitskii 2007).
Letters  B items, n training items of a class, d numbers, K classes, C components of a class
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.kinds.density import Density
from deepen.nn.coding import shape_of
from deepen.nn.inputs import Flat
from deepen.schema import Count, Positive
from deepen.signature import Signature


class GaussianMixture(nn.Module):
    """Bells around typical items, fitted by EM in one go; for arrays and tables of numbers, with classes or without.

    components  bells, of each class where there are classes
    covariance  full: tilted bells; diagonal: columns vary on their own
    iterations  of EM at most
    tolerance   it ends where the mean log-density grows by less
    floor       added to every variance (of columns with deviation 1)
    """

    aliases: dict[str, dict[str, int]] = {"gmm": {}}
    takes = ("array", "row")
    kinds = ("density",)
    alone = "max_likelihood"
    fits = True
    tiny = {"components": 2, "iterations": 10}

    log_weight: Tensor
    mean: Tensor
    covariance: Tensor
    root: Tensor

    def __init__(
        self,
        signature: Signature,
        components: Count = 3,
        covariance: Literal["full", "diagonal"] = "full",
        iterations: Count = 100,
        tolerance: Positive = 1e-4,
        floor: Positive = 1e-3,
    ) -> None:
        super().__init__()
        self.flat = Flat(signature)
        self.known = isinstance(signature.answer, Density)
        if not self.known and (len(self.flat.embeddings) or not hasattr(signature.answer, "classes")):
            found = "columns of categories" if len(self.flat.embeddings) else signature.answer.describe()
            raise DeepenError(
                "model.input", "model gaussian_mixture", found,
                "numbers, and classes to tell apart or no label at all", "model=tab_mlp",
            )  # fmt: skip
        self.shape = shape_of(signature, "gaussian_mixture")
        self.full, self.iterations, self.tolerance, self.floor = covariance == "full", iterations, tolerance, floor
        classes, width = 1 if self.known else signature.answer.width, self.flat.width
        self.register_buffer("log_weight", torch.full((classes, components), -math.log(classes * components)))
        self.register_buffer("mean", torch.zeros(classes, components, width))
        self.register_buffer("covariance", torch.eye(width).repeat(classes, components, 1, 1))
        self.register_buffer("root", torch.eye(width).repeat(classes, components, 1, 1))  # L^-1, L L^T = covariance

    @torch.no_grad()
    def fit(self, inputs: tuple[Tensor, ...], target: Tensor) -> None:
        """Weights, means and covariances from all training items."""
        rows = self.flat(*inputs).double()
        for k in range(len(self.mean)):
            own = rows if self.known else rows[target == k]
            if not len(own):  # in a fold that tests on all there are: one wide bell with half an item's weight
                self.log_weight[k] -= self.log_weight[k].logsumexp(0) + math.log(2 * len(rows))
                continue
            weight, mean, covariance = self._fit_one(own)
            self.log_weight[k] = weight.log() + math.log(len(own) / len(rows))
            self.mean[k], self.covariance[k] = mean, covariance
        self.root.copy_(_roots(self.covariance.double()))

    def _fit_one(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """EM on the items (n, d) of one class."""
        components, width = self.mean.shape[1:]
        mean = _apart(rows, components)
        spread = rows.var(0, correction=0) + self.floor if len(rows) > 1 else torch.ones_like(rows[0])
        covariance = torch.diag(spread).repeat(components, 1, 1)
        weight = torch.full((components,), 1 / components, dtype=rows.dtype, device=rows.device)
        before = -math.inf
        for _ in range(self.iterations):
            joint = weight.log() + log_normal(rows, mean, _roots(covariance))  # (n, C)
            whole = joint.logsumexp(1)
            share = (joint - whole[:, None]).exp()
            count = share.sum(0).clamp(min=1e-9)
            weight, mean = count / count.sum(), share.T @ rows / count[:, None]
            apart = rows[:, None] - mean  # (n, C, d)
            covariance = torch.einsum("nc,ncd,nce->cde", share, apart, apart) / count[:, None, None]
            if not self.full:
                covariance = torch.diag_embed(covariance.diagonal(dim1=1, dim2=2))
            covariance += self.floor * torch.eye(width, dtype=rows.dtype, device=rows.device)
            now = float(whole.mean())
            if now - before < self.tolerance:
                break
            before = now
        return weight, mean, covariance

    def joint(self, *inputs: Tensor) -> Tensor:
        """log p(x, k, c), (B, K, C)."""
        found = log_normal(self.flat(*inputs), self.mean.flatten(0, 1), self.root.flatten(0, 1))
        return found.view(-1, *self.log_weight.shape) + self.log_weight

    def features(self, *inputs: Tensor) -> Tensor:
        """Which bell an item is of, as shares (B, K * C)."""
        return self.joint(*inputs).flatten(1).softmax(1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """log p(x, k), to (B, K); without labels log p(x), to (B,)."""
        return self.log_density(*inputs) if self.known else self.joint(*inputs).logsumexp(2)

    # ---------------------------------------------------------------- queries

    def log_density(self, *inputs: Tensor) -> Tensor:
        """log p(x), (B,)."""
        return self.joint(*inputs).flatten(1).logsumexp(1)

    def marginal(self, columns: list[int], values: Tensor) -> Tensor:
        """log p of some columns, the others summed over; values (B, len(columns)), to (B,)."""
        return (self.log_weight.flatten() + self._part(columns, values)).logsumexp(1)

    def conditional(self, columns: list[int], values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The others given some columns, as a mixture: weights (B, KC), means (B, KC, r), covariances (KC, r, r).

        m_r|g = m_r + S_rg S_gg^-1 (x_g - m_g)        S_r|g = S_rr - S_rg S_gg^-1 S_gr
        """
        rest = [i for i in range(self.mean.shape[2]) if i not in columns]
        mean, covariance = self.mean.flatten(0, 1), self.covariance.flatten(0, 1)
        across = covariance[:, rest][:, :, columns]  # (KC, r, g)
        gain = torch.linalg.solve(covariance[:, columns][:, :, columns], across.mT).mT
        means = mean[:, rest] + torch.einsum("crg,bcg->bcr", gain, values[:, None] - mean[:, columns])
        covariances = covariance[:, rest][:, :, rest] - gain @ across.mT
        weights = (self.log_weight.flatten() + self._part(columns, values)).softmax(1)
        return weights, means, covariances

    def _part(self, columns: list[int], values: Tensor) -> Tensor:
        covariance = self.covariance.flatten(0, 1)[:, columns][:, :, columns]
        return log_normal(values, self.mean.flatten(0, 1)[:, columns], _roots(covariance))

    def drawn(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Made-up items (count, d) and their classes (count,)."""
        device = self.mean.device
        place = torch.multinomial(self.log_weight.flatten().exp(), count, replacement=True, generator=generator)
        noise = torch.randn(count, self.mean.shape[2], generator=generator, device=device)
        lower = torch.linalg.cholesky(self.covariance.flatten(0, 1))
        rows = self.mean.flatten(0, 1)[place] + torch.einsum("bde,be->bd", lower[place], noise)
        return rows, place // self.mean.shape[1]

    def sample(self, count: int) -> Tensor:
        """Made-up items (count, ...)."""
        return self.drawn(count)[0].unflatten(1, self.shape)


def log_normal(rows: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """log N(x; m_c, S_c), (n, C), from rows (n, d), means (C, d) and inverse Cholesky factors (C, d, d)."""
    whitened = torch.einsum("cde,nce->ncd", root, rows[:, None] - mean)
    volume = root.diagonal(dim1=1, dim2=2).log().sum(1)
    return volume - 0.5 * (whitened**2).sum(2) - rows.shape[1] / 2 * math.log(2 * math.pi)


def _roots(covariance: Tensor) -> Tensor:
    """Inverse Cholesky factors of (..., d, d)."""
    lower = torch.linalg.cholesky(covariance)
    eye = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
    return torch.linalg.solve_triangular(lower, eye, upper=False)


def _apart(rows: Tensor, count: int) -> Tensor:
    """Rows to start from: each drawn with odds of its squared distance to the nearest before it."""
    chosen = [rows[int(torch.randint(len(rows), ()))]]
    while len(chosen) < count:
        far = torch.cdist(rows, torch.stack(chosen)).amin(1) ** 2
        far = far + 1e-12  # all rows may be equal
        chosen.append(rows[int(torch.multinomial(far, 1))])
    return torch.stack(chosen)
