"""A feature's values to arrays, by its encoder: on all cores, from the cache where they lie there. Torch-free.

A value that cannot be encoded is left empty and named by its row, with the reason: the others go on.
"""

from __future__ import annotations

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from deepen.data import cache
from deepen.data.items import Items
from deepen.errors import Invalid
from deepen.machine import cores
from deepen.tensors import Arrays, Columns, Windows, pack

CHUNK = 256  # items encoded in one call


def of_feature(items: Items, name: str, encoder: Any) -> tuple[Columns, dict[int, str]]:
    """A feature's columns, and the rows that cannot be encoded with the reason."""
    values = items.inputs[name]
    if any(tensor.along is not None for tensor in encoder.tensors):
        return encode_each(encoder, values)
    arrays, failures = cache.through(items, name, encoder, functools.partial(encode_all, encoder, values))
    return {**arrays}, failures


def encode_each(encoder: Any, values: Any) -> tuple[Columns, dict[int, str]]:
    """Values whose items differ in size, one by one; what cannot be encoded is left empty and named by row."""
    done: list[Arrays] = []
    failures: dict[int, str] = {}
    for row in range(len(values)):
        try:
            done.append(encoder.encode(taken(values, np.array([row]))))
        except Invalid as problem:
            failures[row] = problem.reason
            done.append({})
    result: Columns = {}
    for tensor in encoder.tensors:
        parts = [arrays.get(tensor.name) for arrays in done]
        if tensor.along is not None:
            result[tensor.name] = pack(tensor, parts)
        else:
            blank = np.zeros((1, *(size for size in tensor.shape[1:] if isinstance(size, int))), tensor.dtype)
            result[tensor.name] = np.concatenate([blank if part is None else part for part in parts])
    return result, failures


def encode_all(encoder: Any, values: Any, place: cache.Allocate = cache.in_memory) -> tuple[Arrays, dict[int, str]]:
    """All values, on all cores; what cannot be encoded is left zero and named by row."""
    if not isinstance(values, list):  # in memory already: one vectorised call, unless something is wrong
        with contextlib.suppress(Invalid):
            return encoder.encode(values), {}
    starts = range(0, len(values), CHUNK)
    arrays: Arrays = {}
    failures: dict[int, str] = {}
    with ThreadPoolExecutor(cores()) as pool:
        chunks = (taken(values, np.arange(start, min(start + CHUNK, len(values)))) for start in starts)
        try:
            for start, (part, wrong) in zip(starts, pool.map(functools.partial(_encode_chunk, encoder), chunks)):
                for name, array in part.items():
                    if name not in arrays:
                        arrays[name] = place(name, (len(values), *array.shape[1:]), str(array.dtype))
                    arrays[name][start : start + len(array)] = array
                failures.update({start + row: reason for row, reason in wrong.items()})
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C: do not wait for the chunks that have not begun
            raise
    return arrays, failures


def _encode_chunk(encoder: Any, values: Any) -> tuple[Arrays, dict[int, str]]:
    """The encoded values. Around each item that is Invalid the rest is tried again, so each is read twice at most."""
    wrong: dict[int, str] = {}
    done: list[tuple[int, Arrays]] = []
    spans = [(0, len(values))]
    while spans:
        low, high = spans.pop()
        try:
            whole = high - low == len(values)
            done.append((low, encoder.encode(values if whole else taken(values, np.arange(low, high)))))
        except Invalid as problem:
            row = low + problem.row
            wrong[row] = problem.reason
            spans += [span for span in ((low, row), (row + 1, high)) if span[0] < span[1]]
    if not wrong:
        return done[0][1], wrong
    result = {t.name: np.zeros((len(values), *t.shape[1:]), t.dtype) for t in encoder.tensors}
    for low, arrays in done:
        for name, array in arrays.items():
            result[name][low : low + len(array)] = array
    return result, wrong


def taken(values: Any, rows: np.ndarray) -> Any:
    """Some of a feature's values, whatever holds them."""
    if isinstance(values, Windows):
        return values.only(rows)
    return [values[int(i)] for i in rows] if isinstance(values, list) else values[rows]
