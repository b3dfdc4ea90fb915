"""Exact answers from a forest of columns, each of which depends on at most one other.

    P(x) = product over columns v of P(x_v | x_parent(v))
    up      b_v(s) = e_v(s) product over children c of m_c(s),   m_v(t) = sum over s of P(x_v = s | x_parent = t) b_v(s)
    down    P(x_v | known) ~ b_v(s) sum over t of P(x_v = s | t) P(x_parent = t | known) / m_v(t)
    P(known) = product over columns without a parent of sum over s of P(s) b_v(s)

Paper    Pearl 1982, "Reverend Bayes on inference engines: a distributed hierarchical approach".
Letters  B rows, V columns, S states of a column, T of its parent; e_v(s): 1 where x_v may be s, 0 where it is known not to
"""

from __future__ import annotations

import torch
from torch import Tensor

Link = tuple[int, int]  # a column and its parent, -1: none; parents stand before their children
Tables = dict[int, Tensor]  # P(x_v | x_parent) of each column, (T, S), or (S,) where it has no parent


def ordered(parents: list[int]) -> list[Link]:
    """Every column behind its parent."""
    found: list[Link] = []
    placed = {-1}
    while len(found) < len(parents):
        ready = [(v, u) for v, u in enumerate(parents) if v not in placed and u in placed]
        found += ready
        placed |= {v for v, _ in ready}
    return found


def beliefs(links: list[Link], tables: Tables, evidence: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """log P(known) (B,), and P(x_v | known) of each column (B, S); evidence (B, S) of each."""
    below, messages = [*evidence], dict[int, Tensor]()
    told = torch.zeros_like(evidence[0][:, 0])
    for v, parent in reversed(links):
        message = (below[v] * tables[v]).sum(1, keepdim=True) if parent < 0 else below[v] @ tables[v].T
        messages[v], told = _scaled(message, told)
        if parent >= 0:
            below[parent], told = _scaled(below[parent] * messages[v], told)
    found: list[Tensor] = [*evidence]
    for v, parent in links:
        above = tables[v] if parent < 0 else (found[parent] / messages[v]) @ tables[v]
        raw = below[v] * above
        found[v] = raw / raw.sum(1, keepdim=True)
    return told, found


def _scaled(values: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """Values with 1 as their largest, which products of many would leave float32 without; what was taken out is told."""
    most = values.amax(1, keepdim=True)
    return values / most, told + most[:, 0].log()


def drawn(links: list[Link], tables: Tables, count: int) -> Tensor:
    """Rows made up, int64 (count, V): each column given its parent's state (ancestral sampling)."""
    found = torch.zeros(count, len(links), dtype=torch.int64, device=tables[links[0][0]].device)
    for v, parent in links:
        chances = tables[v].expand(count, -1) if parent < 0 else tables[v][found[:, parent]]
        found[:, v] = torch.multinomial(chances, 1)[:, 0]
    return found
