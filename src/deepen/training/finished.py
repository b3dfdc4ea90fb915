"""From a run on disk back to its network, its data and a Predictor. Every verb after training starts here."""

from __future__ import annotations

from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from deepen import registry
from deepen.config import Config, parse, read_file
from deepen.data import labels
from deepen.data.prepare import Prepared, restore
from deepen.errors import DeepenError
from deepen.nn.heads import head
from deepen.nn.inputs import network
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged, TorchRuntime
from deepen.predictor import Predictor
from deepen.program import Program
from deepen.schema import shortened
from deepen.signature import Signature
from deepen.store import durable
from deepen.store.run import Run

MODEL = "model.safetensors"
MAY_MOVE = {"data.path", "data.test"}  # where the data lies; the fingerprint says whether it is the same


def config_of(run: Run) -> Config:
    """The run's complete configuration; what was edited since it began is told by name."""
    place = str(run.path / "config.yaml")
    config = parse(read_file(run.path / "config.yaml"), where=place)
    if "config" in run.info:
        before = _flat(parse(run.info["config"], where=str(run.path / "run.json")))
        now = _flat(config)
        edited = [k for k in {**before, **now} if k not in MAY_MOVE and before.get(k) != now.get(k)]
        if edited:
            changes = ", ".join(f"{k} is {shortened(now.get(k))} (was {shortened(before.get(k))})" for k in edited)
            raise DeepenError(
                "run.edited", place, changes, "the configuration the run began with",
                f"put it back, or train the edited one as a new run: deepen train {place}",
            )  # fmt: skip
    return config


def _flat(config: Config) -> dict[str, Any]:
    """`section.key` to value."""
    sections = {name: section or {} for name, section in config.document().items()}
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}


def signature_of(run: Run) -> Signature:
    return Signature.from_json(run.read("signature.json"), str(run.path / "signature.json"))


def assemble(config: Config, signature: Signature) -> Packaged:
    """The network of a configuration with fresh weights, packaged."""
    assert config.model
    net = network(config.model, signature)
    output = signature.answer if signature.outputs else None
    method = registry.build("methods", config.method, model=net, output=output, signature=signature)
    return Packaged(Normalise(signature), method.product(), head(output) if output else nn.Identity())


def save_model(run: Run, packaged: Packaged) -> None:
    """Keep the trained weights; run.json gets their hash."""
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in packaged.state_dict().items()}
    run.update(model=run.write(MODEL, save(tensors)))


def whole(run: Run) -> bool:
    """Whether the run's weights are there and as training wrote them."""
    file = run.path / MODEL
    return file.is_file() and durable.digest_file(file) == run.info.get("model")


def load_model(run: Run) -> Packaged:
    """The trained network, its weights checked against the run's record."""
    if "model" not in run.single().info:
        raise DeepenError(
            "run.incomplete",
            str(run.path),
            f"run {run.id} has no weights (state: {run.info['state']})",
            "a run whose training finished",
            run.hint(),
        )
    run.check()
    file = run.path / MODEL
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise DeepenError(
            "run.damaged",
            str(file),
            problem.strerror or "not readable",
            "the run's weights",
            "restore the file, or resume the run to write it again",
        ) from problem
    if durable.digest(data) != run.info["model"]:
        raise DeepenError(
            "run.damaged",
            str(file),
            "its content is not what training wrote",
            "the run's weights",
            "restore the file, or resume the run to write it again",
        )
    packaged = assemble(config_of(run), signature_of(run))
    surgery = run.path / "surgery.json"
    try:
        tensors = load(data)
        if surgery.is_file():
            from deepen.nn.surgery import replay

            replay(packaged, run.read_json("surgery.json"))
        packaged.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as problem:
        raise DeepenError(
            "run.damaged", str(file), str(problem).split("\n")[0], "weights that fit config.yaml"
        ) from problem
    return packaged.eval()


def predictor_of(run: Run, device: str = "cpu") -> Predictor:
    """Raw items in, answers out, by the trained network itself."""
    return answering(load_model(run), signature_of(run), device)


def answering(network: Packaged, signature: Signature, device: str = "cpu") -> Predictor:
    """The same for a network in memory."""
    runtime = TorchRuntime(network, signature, device)
    program = [{"do": "run", "graph": "torch"}, *(step for kind in signature.outputs.values() for step in kind.steps)]
    return Predictor(signature, Program(program, {"torch": runtime}))


def data_of(run: Run, config: Config | None = None) -> Prepared:
    """The run's data with its own split and its own fitted signature."""
    config = config or config_of(run)
    items = labels.read(config)
    prepared = restore(items, signature_of(run), run.read_json("split.json"), config)
    if items.fingerprint() != run.info.get("fingerprint"):
        prepared.notes.append("the data has changed since this run was trained")
    return prepared
