"""The list of checks of the Open Inference Protocol, asked of our own server; and that all its ways give the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from deepen import bundle
from tests.serving.conformance import CHECKS
from tests.serving.conformance.client import HEADER, Target, Told, same
from tests.serving.test_http import Server

pytest.importorskip("grpc")


@pytest.fixture(scope="module")
def target(digits_bundle):
    server = Server(digits_bundle, "grpc=0", "name=digits", "threads=1")
    found = Target(server.address, server.grpc)
    yield found
    found.channel.close()
    found.link.close()
    assert server.stop()[0] == 0


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_our_server_does_as_the_protocol_says(target, check):
    assert check.found(target) == "ok"


def test_the_list_is_long_and_each_line_says_something_else():
    assert len(CHECKS) >= 120
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.where for check in CHECKS)


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_tensors_are_equal_bit_for_bit_over_every_way(target, digits_bundle, count):
    predictor, rng = bundle.predictor(digits_bundle, 1), np.random.default_rng(0)
    for number in range(count):
        x = rng.integers(0, 17, (1 + number % 5, 8, 8, 1), np.uint8)
        one = {"name": "image", "shape": x.shape, "datatype": "UINT8"}
        framed = {"inputs": [{**one, "parameters": {"binary_data_size": x.nbytes}}]}
        request = target.message()
        request.inputs[0].shape[:] = x.shape
        request.raw_input_contents[0] = x.tobytes()
        found = [
            target.outputs(target.infer({"inputs": [{**one, "data": x.ravel().tolist()}]})),
            target.outputs(target.infer({**framed, "parameters": {"binary_data_output": True}}, x.tobytes())),
            target.raw(target.rpc("ModelInfer", request)),
        ]
        right = {"probabilities": predictor.run({"image": x})["probabilities"]}
        assert all(same(each, right) for each in found)


def test_a_server_that_does_otherwise_is_found_out(target):
    """The list is no use where it passes whatever comes."""
    other = Target.__new__(Target)
    vars(other).update(vars(target))
    other.call = lambda *given, **headers: Told(200, {"content-type": "text/plain"}, b"{}")
    other.rpc = lambda *given, **fields: "UNKNOWN"
    fine = {check.name for check in CHECKS if check.found(other) == "ok" and not check.name.endswith("-> 200")}
    fair = {"versions: texts, if any", "model_version: text, if any", "no id, as none was sent", f"no {HEADER}"}
    assert {name.partition(" -> ")[2] for name in fine} == fair
