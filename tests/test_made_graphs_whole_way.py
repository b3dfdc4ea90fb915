"""Graphs that are made, from the file to the service and back into a file that can be trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import communities

import deepen
from deepen.errors import DeepenError
from deepen.training.finished import config_of, data_of, predictor_of
from tests.test_graphs_whole_way import ask


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("communities")
    path = communities.made(Path(), place, 0)["data.path"]
    settings = {"method": "elbo", "epochs": 12, "lr": 1e-2, "threads": 1}
    return deepen.train(path, output=str(place / "runs"), **settings)


def test_graphs_from_the_file_to_the_service_and_back(run, tmp_path):
    assert config_of(run).model["name"] == "graph_autoencoder"
    figures = deepen.evaluate(str(run.path))
    assert figures["metrics"]["degree_mmd"][0] < 0.3
    assert {"clustering_mmd", "node_mmd"} < figures["metrics"].keys()
    assert "<svg" in (run.path / "evaluation" / "report.html").read_text()
    bundle = Path(deepen.export(str(run.path))["bundle"])
    network, answers = predictor_of(run), deepen.load(str(bundle))
    seeds = [{"seed": seed} for seed in range(12)]
    made = network(seeds)
    assert network.gap(answers(seeds), made) < 1e-3
    assert network.gap(ask(bundle, seeds[:2]), made[:2]) < 1e-3
    assert ask(bundle, [{"seed": -1}])[0][0] == 422
    assert made[0] != made[1]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in seeds))
    deepen.predict(str(run.path), str(tmp_path / "seeds.jsonl"), output=str(tmp_path / "made.jsonl"))
    again = deepen.train(
        str(tmp_path / "made.jsonl"), output=str(tmp_path / "runs"), parent=str(run.path), steps=2, threads=1
    )
    assert len(data_of(again).target) == 12


def test_the_nodes_of_what_is_made_are_tags_and_its_size_one_of_training(run):
    predictor, prepared = predictor_of(run), data_of(run)
    sizes = prepared.signature.answer.sizes
    for answer in predictor([{"seed": seed} for seed in range(20)]):
        nodes = np.array(answer["nodes"])
        assert (nodes.sum(1) == 1).all()
        assert sizes[len(nodes)] > 0
        assert all(0 <= a < b < len(nodes) for a, b in answer["edges"])


def test_without_labels_only_what_needs_none_is_learnt(run, tmp_path):
    path = config_of(run).data["path"]
    with pytest.raises(DeepenError, match=r"no label at all.*method=elbo"):
        deepen.train(path, output=str(tmp_path / "runs"))
    with pytest.raises(DeepenError, match=r"model vae.*graph_autoencoder"):
        deepen.train(path, method="elbo", model="vae", output=str(tmp_path / "runs"))
