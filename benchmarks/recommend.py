"""What a recommender is held against, on the same events in the same order of time: frequency, and factors of a matrix.

frequency   how often a thing came in training; what somebody has had is left out
factors     min sum c_ui (p_ui - x_u . y_i)^2 + penalty (|x_u|^2 + |y_i|^2), c = 1 + weight p, by turns (Hu, Koren and
            Volinsky 2008, eq. 3-5); somebody at a moment is the x that fits what they have had by then
"""

from __future__ import annotations

from typing import Any

import numpy as np

FEW = 5  # events up to which somebody is new


def against(run: Any) -> dict[str, float]:
    """ndcg_10 and hit_rate_10 of frequency and of factors over the test events; ndcg_10 of all three for new ones.

    And how far up things stand that training never saw, where they were the truth.
    """
    from deepen.training.finished import data_of, predictor_of

    data = data_of(run)
    kind, rows = data.signature.answer, data.parts["test"]
    code = {item: i for i, item in enumerate(kind.items)}
    histories = [np.array([code[e] for e in data.items.inputs["events"][r]], np.int64) for r in rows]
    predictor = predictor_of(run)
    raw = data.items.raw(rows)
    ranks = {"model": np.concatenate([kind.ranks(data.target[rows[i : i + 512]], predictor.run(predictor.encode(raw[i : i + 512])))
                                      for i in range(0, len(rows), 512)])}  # fmt: skip
    frequent = np.array(kind.counts, np.float64)
    train = data.parts["train"]
    learnt = [
        np.array([code[e] for e in data.items.inputs["events"][r]] + [data.target[r]], np.int64)
        for r in _last(data, train)
    ]
    things = factors(learnt, len(kind.items))
    ranks["frequency"] = _ranks(kind, data.target[rows], histories, lambda history: frequent)
    ranks["factors"] = _ranks(kind, data.target[rows], histories, lambda history: things @ somebody(things, history))
    new = np.array([len(history) <= FEW for history in histories])
    gains = {name: np.where(own <= 10, 1 / np.log2(1 + own), 0) for name, own in ranks.items()}
    result = {f"{name} ndcg_10": float(gains[name].mean()) for name in ("frequency", "factors")}
    result |= {f"{name} hit_rate_10": float((own <= 10).mean()) for name, own in ranks.items()}
    result |= {f"{name} ndcg_10 of the {int(new.sum())} new": float(own[new].mean()) for name, own in gains.items()}
    unseen = frequent[data.target[rows]] == 0
    if unseen.any():
        result[f"median place of the {int(unseen.sum())} never seen"] = float(np.median(ranks["model"][unseen]))
    return result


def _last(data: Any, train: np.ndarray) -> list[int]:
    """The training row of each user with the longest history: rows are in the order of time."""
    last: dict[str, int] = {}
    for row in train.tolist():
        last[data.items.columns.columns["user"][row]] = row
    return list(last.values())


def _ranks(kind: Any, target: np.ndarray, histories: list[np.ndarray], score: Any) -> np.ndarray:
    result = np.empty(len(target), np.int64)
    for i, history in enumerate(histories):
        scores = np.array(score(history), np.float64)
        scores[history] = -np.inf
        result[i] = kind.ranks(target[i : i + 1], {"chances": scores[None]})[0]
    return result


def factors(users: list[np.ndarray], count: int, width: int = 32, times: int = 15, seed: int = 0) -> np.ndarray:
    """Vectors of all things (N, width)."""
    y = np.random.default_rng(seed).normal(0, 0.1, (count, width))
    had_by: list[list[int]] = [[] for _ in range(count)]
    for u, history in enumerate(users):
        for i in np.unique(history):
            had_by[i].append(u)
    for _ in range(times):
        x = np.stack([somebody(y, np.unique(history)) for history in users])
        gram = x.T @ x
        y = np.stack([_fit(x, np.array(had, np.int64), gram) for had in had_by])
    return y


def somebody(things: np.ndarray, history: np.ndarray) -> np.ndarray:
    """The vector that fits what somebody has had."""
    return _fit(things, history, things.T @ things)


def _fit(
    vectors: np.ndarray, chosen: np.ndarray, gram: np.ndarray, weight: float = 10.0, penalty: float = 10.0
) -> np.ndarray:
    own = vectors[chosen]
    return np.linalg.solve(gram + weight * own.T @ own + penalty * np.eye(vectors.shape[1]), (1 + weight) * own.sum(0))
