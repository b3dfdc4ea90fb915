"""What is looked at of the inside of a training, at its start and at the ends of some epochs: never within a step.

    noise  (mean of |g_k|^2 - |mean of g_k|^2) K / (K - 1) / |G|^2     of gradients g_k on K batches
    dead   share of a layer's units that give the same for everything they see
    pull   |g| / |w| of the first and of the last layer

Paper    noise: McCandlish et al. 2018, arXiv:1812.06162, eq. 2.4 and appendix A.1: batches as large as `noise` times this
         one have gradients as long as their own noise.
Letters  G the true gradient: |G|^2 = mean of |g_k|^2 - the variance above

A probe leaves everything as it was: gradients apart, running statistics and queues put back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deepen.machine import out_of_memory
from deepen.nn.layers import ACTIVATIONS

if TYPE_CHECKING:
    from deepen.training.state import Training

BATCHES, ITEMS = 4, 64  # looked at in a probe: so many batches, more where they hold fewer items than that
PROBES = 8  # in a training, about
SAME = 1e-3  # outputs that differ by less are the same
LAST = 2 / 3  # of the training, from where weights are averaged
SHORT = 0.1  # length of a unit's weights below which a layer began at 0: what pulls at it is no multiple of that


class Probe:
    """The eye on one training. Methods of several players are not looked into: their losses may go anywhere."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.weights = [(n, p) for n, p in training.method.named_parameters() if p.ndim > 1 and p.requires_grad]
        self.able = len(training.players) == 1 and bool(self.weights) and training.processes.first
        self.mean: list[Tensor] = []  # of the weights at the ends of the last epochs
        self.count = 0

    def after_epoch(self) -> None:
        """A look at the end of some epochs; the weights of the last ones are averaged."""
        state, steps = self.training.state, self.training.epoch_steps
        epochs = -(-self.training.total // steps)
        epoch = -(-state.step // steps)
        if self.able and state.step >= LAST * self.training.total:
            self.count += 1
            current = [p.detach() for p in self.training.method.parameters()]
            self.mean = self.mean or [torch.zeros_like(p) for p in current]
            torch._foreach_lerp_(self.mean, current, 1 / self.count)
        if epoch % -(-epochs // PROBES) == 0 or epoch == epochs:
            self.look()
        if epoch == epochs and self.count >= 3 and state.probes:
            state.probes[-1].update(self._bouncing())

    def look(self) -> None:
        """Add a record to the state; none where memory does not suffice for it."""
        if not self.able:
            return
        outputs, hooks = self._listen()
        try:
            with self._undisturbed():
                rows = [self._gradients(loss) for loss in self._losses()]
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem):
                raise
            return
        finally:
            for hook in hooks:
                hook.remove()
        self.training.state.probes.append(
            {**self._summed(rows), "dead": max(map(_dead, outputs.values()), default=0.0)}
        )

    def _summed(self, rows: list[list[Tensor]]) -> dict[str, float]:
        """What the gradients of all layers say, batch by batch."""
        gradients = [torch.stack(layer) for layer in zip(*rows)]  # of each layer (K, ...)
        squares = sum(float(g.flatten(1).square().sum(1).mean()) for g in gradients)
        mean = sum(float(g.mean(0).square().sum()) for g in gradients)
        variance = (squares - mean) * len(rows) / max(len(rows) - 1, 1)
        pulls = [
            float(g.mean(0).norm() / p.detach().norm().clamp(min=SHORT * len(p) ** 0.5))
            for g, (_, p) in zip(gradients, self.weights)
        ]
        return {
            "step": self.training.state.step,
            "noise": variance / max(squares - variance, 1e-3 * squares, 1e-30),
            "first": pulls[0],
            "last": pulls[-1],
        }

    def _bouncing(self) -> dict[str, float]:
        """The mean loss of some batches, under the weights as they are and under the mean of the last epochs'."""
        with self._undisturbed(), torch.no_grad():
            now = [float(loss) for loss in self._losses()]
            for p, mean in zip(self.training.method.parameters(), self.mean):
                p.copy_(mean)
            then = [float(loss) for loss in self._losses()]
        return {"now": sum(now) / len(now), "mean": sum(then) / len(then)}

    def _losses(self) -> Iterator[Tensor]:
        """Of the first batches of an epoch; of a single batch its quarters."""
        engine: Any = self.training
        count, split = len(engine.feed), engine.train.accumulate * engine.state.parts
        wanted = max(BATCHES, min(16, ITEMS // engine.train.batch_size))
        for k in range(min(count, wanted)):
            parts = BATCHES if count == 1 and engine.method.separable and engine.feed.items(0, 0) >= BATCHES else 1
            pieces = min(parts * split, engine.feed.items(0, k))
            for part in range(parts):
                torch.default_generator.manual_seed(k * BATCHES + part)
                yield engine.loss(engine.feed.batch(0, k, part, pieces), engine.method.players[0])

    def _gradients(self, loss: Tensor) -> list[Tensor]:
        found = torch.autograd.grad(loss, [p for _, p in self.weights], allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for g, (_, p) in zip(found, self.weights)]

    def _listen(self) -> tuple[dict[nn.Module, list[Tensor]], list[Any]]:
        """What the activations give, layer by layer, as the smallest and largest of each unit."""
        seen: dict[nn.Module, list[Tensor]] = {}
        kinds = tuple({*ACTIVATIONS.values()} - {nn.Softmax})

        def hear(module: nn.Module, _: Any, output: Tensor) -> None:
            axis = 1 if output.ndim in (2, 4, 5) else -1
            units = output.detach().movedim(axis, 0).flatten(1)  # (units, ...)
            seen.setdefault(module, []).append(torch.stack([units.amin(1), units.amax(1)]))

        found = [m for m in self.training.method.modules() if isinstance(m, kinds)]  # type: ignore[arg-type]
        return seen, [m.register_forward_hook(hear) for m in found]

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Within it the method is in training mode; afterwards all it holds is what it was."""
        method = self.training.method
        kept = {name: value.clone() for name, value in method.state_dict().items()}
        mode, state = method.training, torch.get_rng_state()
        method.train()
        try:
            yield
        finally:
            method.load_state_dict(kept)
            method.train(mode)
            torch.set_rng_state(state)


def _dead(seen: list[Tensor]) -> float:
    """Share of a layer's units whose largest and smallest output are the same over all batches."""
    if len({units.shape for units in seen}) > 1:
        return 0.0
    low, high = torch.stack(seen)[:, 0].amin(0), torch.stack(seen)[:, 1].amax(0)
    return float((high - low < SAME).float().mean())
