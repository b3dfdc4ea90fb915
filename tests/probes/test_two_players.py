"""Does the engine hold two players, with accumulation, mixed precision and several processes?"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.probes import gan


def test_players_take_turns_and_only_their_own_weights_move():
    engine = gan.engine(rounds=3)
    before = gan.weights(engine)
    engine.players["generator"].optimizer.step = lambda lr: None
    engine.fit()
    after = gan.weights(engine)
    assert engine.method.turns[:4] == ["critic", "critic", "critic", "generator"]
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("generator"))
    assert all(not torch.equal(before[k], after[k]) for k in before if k.startswith("critic"))


def test_a_batch_is_passed_on_until_a_player_has_seen_it():
    engine = gan.engine(rounds=2)
    seen = []
    whole = engine.feed.batch
    engine.feed.batch = lambda epoch, k, *part: seen.append((epoch, k)) or whole(epoch, k, *part)
    engine._round()
    assert seen == [(0, 0), (0, 1), (0, 1)]  # the generator answers the critic's last batch
    assert engine.batches == 2
    engine.state.step, second = 1, seen[:]
    engine._round()
    assert seen[3:] == [divmod(epoch * len(engine.feed) + k + 2, len(engine.feed)) for epoch, k in second]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_parts_of_a_batch_give_the_whole_batch_s_gradient(precision):
    """The noise is drawn per part, so the loss here is made deterministic by a generator without noise."""
    states = []
    for accumulate in (1, 4):
        engine = gan.engine(accumulate=accumulate, precision=precision)
        engine.method.generator[0].weight.data.zero_()  # the noise no longer matters: only the bias speaks
        engine.players["generator"].optimizer.step = lambda lr: None
        engine.fit()
        states.append(gan.weights(engine))
    tolerance = {"fp32": 1e-6, "bf16": 2e-2, "fp16": 2e-2}[precision]
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name], rtol=tolerance, atol=tolerance)


def test_two_processes_equal_one_with_as_many_parts(tmp_path: Path):
    alone = gan.engine(accumulate=2)
    alone.fit()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "src"), os.environ.get("PYTHONPATH", "")])
    shared = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "PYTHONPATH": paths,
    }
    command = [sys.executable, "-m", "tests.probes.gan", str(tmp_path / "weights.safetensors")]
    both = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"}) for rank in range(2)
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    together = load_file(tmp_path / "weights.safetensors")
    for name, tensor in gan.weights(alone).items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-5, atol=1e-6)


def test_the_generator_learns():
    """Samples come to lie where the points lie: their mean distance to the nearest point falls."""
    engine = gan.engine(steps=1500, lr=2e-3, schedule={"name": "constant"})
    points = engine.data.inputs(engine.data.parts["train"])[0]

    def distance() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(torch.cdist(engine.method.generator(torch.randn(200, 4)), points).min(1).values.mean())

    before = distance()
    engine.fit()
    assert distance() < 0.6 * before
