"""One player's optimizer: a rule of optimizers/ over its parameters, and what is done to weights after each step.

Same trajectories as torch.optim where it has the rule (tests hold them equal). Our own because torch.optim loads the
compiler's front end at its first step: more than a second before training can begin.

    L1        w' = sign(w) max(|w| - lr l1, 0): the proximal step of l1 |w|, so that weights become 0 and not only small
    max-norm  w' = w min(1, c / |w|) for all that leads into a unit; Srivastava et al. 2014, JMLR 15, section 5.1

Biases and the scales of norms (parameters of one dimension, and whatever is called a bias) are neither decayed nor bounded.
Rules and bounds see a weight as units by what leads into each; a transposed convolution keeps its own the other way round.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen import registry
from deepen.config import Train
from deepen.nn.layout import turned
from deepen.optimizers import Rule


class Optimizer:
    """Parameters in two groups, those that penalties are for and the others; state is plain tensors by name.

    net  what the parameters are of, which tells biases and transposed convolutions
    """

    def __init__(self, parameters: list[nn.Parameter], train: Train, net: nn.Module | None = None) -> None:
        self.rule: Rule = registry.build("optimizers", train.optimizer)
        net = net or nn.Module()
        free = {id(p) for name, p in net.named_parameters() if "bias" in name.rpartition(".")[2]}
        self.turned = turned(net)
        weights = [p for p in parameters if p.ndim > 1 and id(p) not in free]
        held = {id(p) for p in weights}
        groups: list[list[Tensor]] = [[*weights], [p for p in parameters if id(p) not in held]]
        self.groups = [(group, weights) for group, weights in zip(groups, (True, False)) if group]
        self.decay, self.l1, self.max_norm = train.weight_decay, train.l1, train.max_norm
        self.state = [
            {name: [torch.zeros_like(p) for p in group] for name in self.rule.wants(weights)}
            for group, weights in self.groups
        ]
        self.steps = [0] * len(self.parameters)  # of each parameter: one without a gradient does not age

    @property
    def parameters(self) -> list[Tensor]:
        return [p for group, _ in self.groups for p in group]

    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]

    @property
    def settled(self) -> bool:
        """Whether the gradient is as short as the rule wants it at the end."""
        if not self.rule.tolerance:
            return False
        gradients = self.gradients()
        length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))) if gradients else 0.0
        return float(length) <= self.rule.tolerance

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update with this learning rate; parameters without a gradient stay."""
        first = 0
        for (group, weights), state in zip(self.groups, self.state):
            live = [i for i, p in enumerate(group) if p.grad is not None]
            for i in live:
                self.steps[first + i] += 1
            if live:
                params, steps = [group[i] for i in live], [self.steps[first + i] for i in live]
                part = {name: [tensors[i] for i in live] for name, tensors in state.items()}
                grads: list[Tensor] = [p.grad for p in params]  # type: ignore[misc]
                whole = params
                if weights and self.rule.by_units:
                    steps = [step for p, step in zip(whole, steps) for _ in self._units([p], [p])]
                    part = {name: self._units(whole, tensors) for name, tensors in part.items()}
                    params, grads = self._units(whole, whole), self._units(whole, grads)
                self.rule.update(params, grads, part, lr, self.decay * weights, steps)
                if weights:
                    self._bound(whole, lr)
            first += len(group)

    def _units(self, params: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
        """What has the shapes of these parameters, as views with units first."""
        return [view for p, t in zip(params, tensors) for view in self.turned.get(id(p), lambda t: [t])(t)]

    def _bound(self, weights: list[Tensor], lr: float) -> None:
        if self.l1:
            for w in weights:
                w.copy_(nn.functional.softshrink(w, lr * self.l1))
        if self.max_norm is not None:
            for w in self._units(weights, weights):
                length = w.flatten(1).norm(dim=1).clamp(min=1e-12)
                w.mul_((self.max_norm / length).clamp(max=1).view(-1, *(1 for _ in w.shape[1:])))

    def zero_grad(self) -> None:
        for group, _ in self.groups:
            for p in group:
                p.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """All state by name, for the checkpoint."""
        return {
            f"{g}.{name}.{i}": tensor
            for g, state in enumerate(self.state)
            for name, tensors in state.items()
            for i, tensor in enumerate(tensors)
        }
