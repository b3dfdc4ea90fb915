"""Defaults by what goes in; what the user says stays."""

from __future__ import annotations

import numpy as np
import pytest

from deepen import config as configs
from deepen import registry
from deepen.data.items import Items
from deepen.data.prepare import Prepared
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.preprocess.array import Array
from deepen.preprocess.graph import Graph
from deepen.preprocess.image import Image
from deepen.preprocess.nodes import Nodes
from deepen.preprocess.row import Row
from deepen.preprocess.series import Series
from deepen.preprocess.text import Text
from deepen.signature import Signature
from deepen.training import plan


def prepared(count: int, **inputs: object) -> Prepared:
    signature = Signature(inputs, {"label": Classes(("a", "b"))})
    parts = {"train": np.arange(count), "val": np.arange(2), "test": np.arange(2)}
    return Prepared(Items([], {}, {}, [], "classes"), signature, {}, np.zeros(count, int), parts, np.zeros(0, int))


def planned(found: Prepared, **document: object) -> configs.Config:
    return plan.complete(configs.parse({"data": {"name": "blobs"}, **document}), found)


@pytest.mark.parametrize(
    ("encoder", "model", "augments"),
    [
        (Row(("x",)), "tab_mlp", []),
        (Image(8, 8, 1), "mlp", []),
        (Image(28, 28, 1), "lenet", ["crop"]),
        (Image(32, 32, 3), "cnn", ["crop"]),
        (Image(96, 96, 3), "cnn", ["zoom", "flip"]),
        (Image(96, 96, 1), "cnn", ["zoom", "flip"]),
        (Array((5,)), "mlp", []),
        (Array((4, 9)), "mlp", []),
        (Array((3, 8, 8)), "cnn", []),
        (Text(("a",)), "rnn", []),
        (Series(("load",), 12), "mlp", []),
    ],
)
def test_network_and_augmentation_by_what_goes_in(encoder, model, augments):
    config = planned(prepared(1000, thing=encoder))
    assert config.model["name"] == model
    assert [spec["name"] for spec in config.train.augment] == augments
    assert planned(prepared(1000, thing=encoder), model={"name": "mlp"}).model["name"] == "mlp"


def test_several_inputs_are_put_side_by_side():
    assert planned(prepared(1000, photo=Image(96, 96, 3), row=Row(("x",)))).model["name"] == "multimodal"


@pytest.mark.parametrize(
    ("count", "batch", "epochs"), [(100, 16, 60), (1000, 32, 60), (15_000, 128, 25), (50_000, 256, 15), (10**6, 256, 5)]
)
def test_length_by_the_number_of_items(count, batch, epochs):
    train = planned(prepared(count, row=Row(("x",)))).train
    assert (train.batch_size, train.epochs) == (batch, epochs)


@pytest.mark.parametrize(("count", "batch", "epochs"), [(400, 16, 24), (5883, 128, 13), (21_246, 256, 7)])
def test_texts_are_learnt_by_heart_sooner(count, batch, epochs):
    train = planned(prepared(count, text=Text(("a",)))).train
    assert (train.batch_size, train.epochs) == (batch, epochs)


def test_a_checkpoint_of_texts_is_tuned_gently():
    found = prepared(400, text=Text(("a",)))
    assert planned(found, model={"name": "bert", "checkpoint": "x"}).train.lr == 5e-5
    assert planned(found, model={"name": "bert"}).train.lr == 1e-3
    assert planned(found, model={"name": "bert", "checkpoint": "x"}, train={"lr": 0.5}).train.lr == 0.5


def test_nothing_is_left_open_and_planning_again_changes_nothing():
    found = prepared(1000, image=Image(28, 28, 1))
    config = planned(found)
    assert None not in (config.train.batch_size, config.train.lr, config.train.epochs, config.train.monitor)
    again = configs.parse(configs.read_yaml(configs.write(config), "config.yaml"))
    assert plan.complete(again, found).document() == config.document()


def test_what_the_user_says_stays():
    train = planned(prepared(1000, image=Image(28, 28, 1)), train={"augment": [], "lr": 0.5, "steps": 7}).train
    assert (train.augment, train.lr, train.epochs, train.steps) == ((), 0.5, None, 7)


def test_nodes_of_one_graph_are_answered_in_one_pass():
    nodes = Nodes(("a", "b"), 1, 3)
    found = planned(prepared(700, node=nodes))
    assert (found.model["name"], found.train.batch_size, found.train.epochs, found.train.lr) == ("gcn", 700, 200, 1e-2)
    said = planned(prepared(700, node=nodes), train={"batch_size": 7, "epochs": 3, "lr": 0.5})
    assert (said.train.batch_size, said.train.epochs, said.train.lr) == (7, 3, 0.5)
    assert planned(prepared(700, node=nodes), train={"steps": 9}).train.epochs is None
    assert planned(prepared(700, graph=Graph(3))).model["name"] == "sage"


def test_what_is_fitted_in_one_go_takes_one_step():
    found = planned(prepared(700, row=Row(("x",))), model="bayes_net", train={"epochs": 9})
    assert (found.train.epochs, found.train.steps) == (None, 1)


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_every_figure_of_an_epoch_can_be_monitored(tmp_path, kind):
    from tests.training.engines import engine, new_run, prepared_for

    settings = {"data.kind": kind, "epochs": 1}
    run = new_run(tmp_path, **settings)
    engine(run, **settings).fit()
    (row,) = run.rows()
    for name in row:
        if name not in {"step", "epoch", "lr"}:
            assert prepared_for(**settings, monitor=name)[0].train.monitor == name


def test_a_method_with_figures_of_its_own_is_asked_later(monkeypatch):
    config = configs.parse({"data": {"name": "blobs"}, "train": {"monitor": "own"}})
    found = prepared(100, row=Row(("x",)))
    with pytest.raises(DeepenError, match="unknown figure 'own'"):
        plan.complete(config, found)
    monkeypatch.setattr("deepen.registry.defines", lambda *_: True)
    assert plan.complete(config, found).train.monitor == "own"
    config.method = {"name": "mine:Method"}
    monkeypatch.undo()
    assert plan.complete(config, found).train.monitor == "own"


def test_what_a_class_defines_is_read_without_importing_it():
    assert registry.defines("methods", "supervised", "loss")
    assert registry.defines("models", "mlp", "tiny", "not there")
    assert not registry.defines("methods", "supervised", "metrics", "players")


@pytest.mark.parametrize("kind", registry.names("kinds"))
def test_the_network_of_an_answer_is_one_by_its_name(kind):
    """`deepen train street/` without a word about the model."""
    own = registry.constant("kinds", kind, "model", None)
    assert own is None or own in registry.names("models")
