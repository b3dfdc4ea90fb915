"""What can be set beside the techniques' own settings: one dataclass per section of the configuration."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from deepen.schema import Count, Natural, NonNegative, Positive, Several, Share, Spec

METHOD = {"name": "supervised"}  # where none is said


@dataclass
class Split:
    """How items are shared out where the data does not say it.

    val   share of the items that decides which weights are kept
    test  share that figures and the gate stand on
    how   stratified: every class in proportion; group: what is alike in `by` stays together; time: the newest are tested on
    by    the column of groups or times
    folds cross-validation: as many parts, each of which is tested on in turn, in place of `test`
    turn  the one of `folds` that is tested on, from 0; null: all of them, one run after the other
    seed  of the draw
    like  a run whose items keep their part, so that figures can be compared; what came since is shared out
    """

    val: Share = 0.15
    test: Share = 0.15
    how: Literal["stratified", "random", "group", "time"] = "stratified"
    by: str | None = None
    folds: Several | None = None
    turn: Natural | None = None
    seed: Natural = 0
    like: str | None = None


@dataclass
class Check:
    """What the data check lets pass.

    max_bad  share of items that may be set aside before it stops
    leaks    whether copies between the parts and columns that give the answer away stop it
    """

    max_bad: Share = 0.05
    leaks: Literal["stop", "warn"] = "warn"


@dataclass
class Labels:
    """Which labels people gave through deepen are used.

    acts  the first so many of the data's table; 0 none, null all
    """

    acts: Natural | None = None


@dataclass
class Train:
    """How the engine trains. What is null is computed from the data and the machine.

    epochs              passes over the training items
    steps               steps in all, in place of epochs
    batch_size          items in a step, over all processes
    optimizer           how a step follows from gradients (deepen list optimizers)
    lr                  the highest learning rate
    find                batch_size, lr or both, found by trying before it begins
    max_memory          GiB a step may take: before it begins the batch is cut into as many parts as that needs (accumulate)
    weight_decay        what pulls weights to 0, by the optimizer's own way; biases and scales of norms are left alone
    l1                  the same as a number taken off every step, so that weights become exactly 0
    max_norm            the longest that all weights leading into a unit may be together
    schedule            how the learning rate goes (deepen list schedules)
    warmup              share of the steps in which the rate rises from 0
    augment             random changes of training items, one after the other (deepen list augmentations)
    resample            0: items are drawn alike; 1: classes are; between: in between
    item_weights        a column of weights, or weights of classes ({cat: 3}): items are drawn in proportion to them
    new_share           with a parent: the least share of draws that go to items it did not know
    clip                the longest a gradient may be
    accumulate          parts a batch is cut into to save memory
    precision           of the arithmetic; weights stay fp32
    average             of the weights over training, which is what is kept: ema or swa
    average_decay       how long an ema remembers
    monitor             the figure that decides which weights are kept
    patience            epochs without a better figure before it ends
    min_delta           what counts as better
    checkpoint_seconds  between two checkpoints
    recoveries          mends of a step that went wrong before it gives up
    init                what weights begin as (deepen list initialisers)
    weight_noise        deviation of noise on weights within a step, where 1 is that of the layer's weights
    recompute           blocks of the network are computed a second time on the way back: less memory, a third more time
    joint_norms         under torchrun batch norm looks at the items of all processes
    seed                of everything random: same seed, same run
    device              cpu, cuda, or what there is
    threads             of the CPU
    """

    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count | None = None
    optimizer: Spec = field(default_factory=lambda: {"name": "adamw"})
    lr: Positive | None = None
    find: tuple[Literal["batch_size", "lr"], ...] = ()
    max_memory: Positive | None = None
    weight_decay: NonNegative = 1e-2
    l1: NonNegative = 0.0
    max_norm: Positive | None = None
    schedule: Spec = field(default_factory=lambda: {"name": "cosine"})
    warmup: Share = 0.05
    augment: tuple[Spec, ...] | None = None
    resample: NonNegative = 0.0
    item_weights: str | dict[str, Any] | None = None
    new_share: Share = 0.0
    clip: Positive | None = None
    accumulate: Count = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    average: Literal["none", "ema", "swa"] = "none"
    average_decay: Share = 0.999
    monitor: str | None = None
    patience: Count | None = None
    min_delta: NonNegative = 0.0
    checkpoint_seconds: NonNegative = 30.0
    recoveries: Natural = 10
    init: Spec | None = None
    weight_noise: NonNegative = 0.0
    recompute: bool = False
    joint_norms: bool = True
    seed: Natural = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count | None = None


@dataclass
class Config:
    """A whole run, as config.yaml has it."""

    data: Spec
    model: Spec | None = None
    method: Spec = field(default_factory=lambda: dict(METHOD))
    split: Split = field(default_factory=Split)
    check: Check = field(default_factory=Check)
    train: Train = field(default_factory=Train)
    labels: Labels = field(default_factory=Labels)

    def document(self) -> dict[str, Any]:
        """Plain mappings and lists, ready for YAML and JSON."""
        return plain(dataclasses.asdict(self))


def plain(value: Any) -> Any:
    """The value with mappings and lists in place of what is like them."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def write(config: Config) -> str:
    """The configuration as YAML text."""
    import yaml

    return yaml.safe_dump(config.document(), sort_keys=False, allow_unicode=True, default_flow_style=False)
