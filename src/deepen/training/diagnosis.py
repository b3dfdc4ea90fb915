"""What went wrong in a training, in words, with what to try. A sound training gets none.

Each rule looks at one thing that is wide apart in a sound and in a faulty training; what lies between gets no word.

    dead        most units of a layer give the same for every item
    vanishing   the first layer is pulled at by far less than the last, at the start and still at the end
    exploding   gradients are far larger than the weights, or the loss had to be brought back
    bouncing    the mean of the last epochs' weights has a far lower loss than the last weights: they go round what they look
                for. Whether the rate or the size of the batch does it, the gradients' noise says
    cut short   the loss still falls steeply at the end of few steps
    overfit     items that were trained on are answered far better than others
    underfit    even those are answered hardly better than without a look
    noisy labels  the answers the network is surest of are wrong nearly as often as all: that is the labels' doing, unless
                it is overfit, which makes it sure of the wrong
    scaling     a column's numbers are pressed together by a few huge ones, or lie elsewhere in validation
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from deepen.errors import counted
from deepen.nn.inputs import Fitted
from deepen.panels import digits
from deepen.training.validate import outputs_of

if TYPE_CHECKING:
    from deepen.training.state import Training

FILE = "diagnosis.json"
DEAD = 0.8  # share of a layer's units
FAINT = 1e-5  # pull of the first layer, of the last one's
HUGE = 30.0  # gradient, of the weight
DROP = 0.7  # of the loss that is left when weights are averaged
NOISY = 5.0  # variance of the gradient, of its square
LARGE = 64  # a batch whose noise is not the reason
FEW = 300  # steps
MOST = 2000  # training items that are asked
WIDE = 0.2  # between shares of right answers; with few labels sound trainings come near it
SURE = 0.6  # errors of the surer half, of all errors


class Finding(NamedTuple):
    """`name` for programs; `says` and `advice` for a person."""

    name: str
    says: str
    advice: str


def diagnose(training: Training, history: list[dict[str, Any]]) -> list[Finding]:
    """All that was found; the kept weights are in the method's product. history: a row per epoch."""
    found = inside(training, history)
    told = all(hasattr(training.kind, name) for name in ("per_item", "baseline"))
    if not found and training.method.labelled and told:
        found = answers(training)
    return [*found, *scaling(training)]


# ---------------------------------------------------------------- the inside


def inside(training: Training, history: list[dict[str, Any]]) -> list[Finding]:
    """From what the probes saw and how the loss went."""
    probes, train = training.state.probes, training.train
    if not probes:
        return []
    found, first, last = [], probes[0], probes[-1]
    faint = [probe["first"] / max(probe["last"], 1e-30) for probe in (first, last)]
    if max(faint) < FAINT:
        found.append(Finding(
            "vanishing_gradients",
            f"The first layer's gradient is {faint[0]:.0e} of the last one's at the start and {faint[1]:.0e} at the end: it hardly learns.",
            "relu in place of sigmoid or tanh, normalisation or residual blocks, train.init=he, fewer layers",
        ))  # fmt: skip
    elif last["dead"] > DEAD:
        found.append(Finding(
            "dead_units", f"In a layer {last['dead']:.0%} of the units give the same for every item: they learn nothing any more.",
            f"train.lr={training.lr / 10:g}, train.init=he, or another activation (leaky_relu, gelu)",
        ))  # fmt: skip
    largest = max(max(probe["first"], probe["last"]) for probe in probes)
    if largest > HUGE:
        found.append(Finding(
            "exploding_gradients", f"Gradients were up to {largest:.0e} times as large as the weights.",
            "train.clip=1, train.init=he or xavier, normalisation, a lower train.lr",
        ))  # fmt: skip
    found += [] if found else _unsteady(training, history)
    if not found and _cut_short(training, history):
        size = max(8, (train.batch_size or 8) // 8)
        found.append(Finding(
            "cut_short", f"The loss still fell steeply after {counted(training.state.step, 'step')}, "
            f"{training.epoch_steps} an epoch.",
            f"train.batch_size={size}" if training.epoch_steps <= 8 and size < (train.batch_size or 0) else
            f"train.epochs={4 * -(-training.total // training.epoch_steps)}",
        ))  # fmt: skip
    return found


def _unsteady(training: Training, history: list[dict[str, Any]]) -> list[Finding]:
    """The weights go round their mean, or the loss up and down or away: by noise, or by too large steps."""
    says = _unrest(training, [row["train_loss"] for row in history if "train_loss" in row])
    if not says:
        return []
    noise, size = float(np.median([probe["noise"] for probe in training.state.probes])), training.train.batch_size or 1
    if noise > NOISY and size < LARGE:
        others = [f"train.batch_size={4 * size}"]
        others += ["train.schedule=cosine"] * (training.train.schedule.get("name") != "cosine")
        others += ["train.average=ema"] * (training.train.average == "none")
        return [Finding(
            "noisy_gradient", f"{says} Gradients of batches of {size} are {digits(noise)} parts noise to one part signal.",
            " or ".join(others),
        )]  # fmt: skip
    return [Finding("rate_too_high", says, f"train.lr={training.lr / 10:g}")]


def _unrest(training: Training, losses: list[float]) -> str:
    """What shows it; empty where nothing does."""
    if training.state.rate < 1:
        return f"The loss ran away, and the rate was brought down to {digits(training.state.rate)} of what was set."
    if len(losses) < 4:
        return ""
    now, mean = (training.state.probes[-1].get(which, 0.0) for which in ("now", "mean"))
    if mean < DROP * now and now - mean > 0.05 * (max(losses) - min(losses)):
        return f"Under the mean of the last epochs' weights the loss is {digits(mean)}, under the last ones {digits(now)}: they go round the minimum."
    steps = [b - a for a, b in pairwise(losses)]
    rises, falls = sum(max(step, 0) for step in steps), sum(max(-step, 0) for step in steps)
    return "The training loss goes up nearly as often as down." if rises > max(0.4 * falls, losses[0] / 2) else ""


def _cut_short(training: Training, history: list[dict[str, Any]]) -> bool:
    """Few steps, and the last third of them brought a good part of all that the loss fell."""
    losses = [row["train_loss"] for row in history if "train_loss" in row]
    if training.state.step > FEW or training.state.settled or len(losses) < 3 or losses[0] <= losses[-1]:
        return False
    late = losses[-1 - len(losses) // 3]
    return late - losses[-1] > 0.15 * (losses[0] - losses[-1]) and 0.2 < losses[-1] / losses[0] < 0.9


# ---------------------------------------------------------------- the answers


def answers(training: Training) -> list[Finding]:
    """From the answers to training and validation items."""
    kind: Any = training.kind
    data, fitted = training.data, isinstance(training.method.product(), Fitted)
    rows = {part: some[:: max(1, len(some) // MOST)] for part, some in data.parts.items() if part != "test"}
    training.method.eval()
    outputs = {part: outputs_of(training.packaged, data, some) for part, some in rows.items()}
    target = {part: data.truth[some.numpy()] for part, some in rows.items()}
    each = {part: kind.per_item(target[part], outputs[part]) for part in rows}
    share = each["val"].higher
    wrong = {part: 1 - one.values if share else one.values for part, one in each.items()}
    train, val = float(wrong["train"].mean()), float(wrong["val"].mean())
    found: list[Finding] = []
    _, base = kind.baseline(target["train"], target["train"])
    figure = kind.metrics(target["train"], outputs["train"])[kind.metric]
    way = (1 - base) if share else base
    if way > 0 and ((figure - base) if share else (base - figure)) < (0.25 if share else 0.1) * way:
        found.append(Finding(
            "underfit", f"Even on the items it was trained on, {kind.metric} is {digits(figure)}; {digits(base)} needs no look at them.",
            "other settings of the model, a network that learns step by step, inputs that say more" if fitted else
            f"a larger network, more epochs, train.lr={training.lr * 3:g} or train.find=lr, inputs that say more; less regularisation",
        ))  # fmt: skip
    doubt = float(np.hypot(*(one.std() / max(len(one), 1) ** 0.5 for one in wrong.values())))
    if val - train > max(3 * doubt, WIDE if share else 0.5 * train) and len(wrong["val"]) > 20:
        found.append(Finding(
            "overfit", f"{each['val'].name}: {digits(each['train'].values.mean())} on items it was trained on, {digits(each['val'].values.mean())} on others.",
            "more items, a simpler model" if fitted else
            "more items, train.augment, more train.weight_decay, dropout, a smaller network, train.patience=5",
        ))  # fmt: skip
    if share and not any(one.name == "overfit" for one in found):  # what was learnt by heart is sure of all it says
        found += _labels(kind, outputs["val"], wrong["val"], 1 - base)
    return found


def _labels(kind: Any, outputs: Any, wrong: np.ndarray, blind: float) -> list[Finding]:
    """Noise in the labels: being sure does not help."""
    order = np.argsort(kind.uncertainty(outputs), kind="stable")
    surer, all_ = float(wrong[order[: len(order) // 2]].mean()), float(wrong.mean())
    if len(wrong) < 100 or all_ > 0.5 * blind or surer < 0.05 or surer < SURE * all_:
        return []
    return [Finding(
        "noisy_labels", f"Of the validation items whose answer it is surest of, {surer:.0%} have another label, of all {all_:.0%}.",
        "look at the items named by deepen evaluate, deepen label to mend them; method.label_smoothing=0.1",
    )]  # fmt: skip


# ---------------------------------------------------------------- the inputs


def scaling(training: Training) -> list[Finding]:
    """Columns that normalisation could not make comparable."""
    data = training.data
    rows = {part: data.parts[part][:: max(1, len(data.parts[part]) // MOST)] for part in ("train", "val")}
    found: list[Finding] = []
    if data.ragged:
        return found
    raw = data.take(rows["train"])
    for place, (given, train, val) in enumerate(zip(raw, data.inputs(rows["train"]), data.inputs(rows["val"]))):
        if train.is_floating_point() and train.ndim == 2 and given.shape == train.shape:
            found += _columns(training, place, given.cpu(), train.cpu(), val.cpu())
    return found[:3]


def _columns(
    training: Training, place: int, given: torch.Tensor, train: torch.Tensor, val: torch.Tensor
) -> list[Finding]:
    n = len(train)
    bulk = slice(n // 20, n - n // 20)
    varied = (given.sort(0).values[bulk].diff(dim=0) > 0).sum(0) > n // 10
    pressed = varied & (train.sort(0).values[bulk].std(0) < 0.02) & (train.abs().amax(0) > 5)
    away = val.median(0).values.abs() > 4
    signature = training.data.signature
    encoder = next(iter(signature.inputs.values()))
    named = len(signature.inputs) == 1 and hasattr(encoder, "place")
    return [
        Finding(
            "scaling",
            f"{encoder.place([j]) if named else f'number {j} of {signature.tensors[place].name}'} " + ("is pressed together by a few huge values." if pressed[j] else
            f"lies elsewhere in validation: {digits(float(val[:, j].median()))} deviations from where it is in training."),
            "its logarithm, or the huge values mended" if pressed[j] else "the same unit in all items, or split.how=random",
        )
        for j in (pressed | away).nonzero()[:, 0].tolist()
    ]  # fmt: skip
