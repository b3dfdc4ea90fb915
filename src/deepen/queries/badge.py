"""BADGE: ask about items whose gradients are large and point different ways: uncertain and unlike each other at once.

    g = (p - onehot(argmax p)) x f        the gradient of the last layer's weights if the answer were right
    chosen by k-means++ on g: each next item with a probability proportional to its squared distance to those chosen

Paper    Ash et al. 2020, arXiv:1906.03671, algorithm 1.
Differs  as in the authors' code the first item is the one of largest gradient. The outer products are never formed:
         <a x f, b x h> = <a, b> <f, h>.
Letters  p probabilities (K,), f features of the last hidden layer (d,)
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from deepen.queries import Pool


class Badge:
    """Items whose gradients are large and point different ways: uncertain and unlike each other at once."""

    needs: ClassVar[tuple[str, ...]] = ("probabilities", "features")

    def order(self, pool: Pool, count: int, seed: int) -> np.ndarray:
        assert pool.probabilities is not None
        assert pool.features is not None
        a, f = pool.probabilities.astype(np.float64), pool.features.astype(np.float64)
        a[np.arange(len(a)), a.argmax(1)] -= 1  # (n, K)
        squared = (a**2).sum(1) * (f**2).sum(1)  # (n,), of the gradients
        rng = np.random.default_rng(seed)
        far, chosen = squared.copy(), [int(squared.argmax())]
        while len(chosen) < min(count, len(a)):
            last = chosen[-1]
            distance = squared + squared[last] - 2 * (a @ a[last]) * (f @ f[last])
            far = np.maximum(np.minimum(far, distance) if len(chosen) > 1 else distance, 0)
            far[chosen] = 0
            if far.sum() > 0:
                chosen.append(int(rng.choice(len(far), p=far / far.sum())))
            else:  # nothing but copies of what is chosen
                chosen.append(int(np.setdiff1d(np.arange(len(a)), chosen)[0]))
        return np.array(chosen[:count], int)
