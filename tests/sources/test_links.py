"""Links of one graph: what is held out is held out, what is asked about, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepen import config as configs
from deepen.data.prepare import prepare
from deepen.errors import DeepenError, Invalid
from deepen.preprocess.link import Link
from deepen.sources.links import Links, unlinked

NODES = 60


def graph(place, **changes):
    """60 nodes; edges with loops, one twice, one to nowhere."""
    rng = np.random.default_rng(0)
    edges = np.concatenate([rng.integers(NODES, size=(2, 200)), [[3, 3, 999], [3, 4, 1]], [[3], [4]]], 1)
    arrays = {"x": rng.normal(size=(NODES, 4)).astype(np.float32), "edge_index": edges, **changes}
    np.savez(place / "g.npz", **{name: value for name, value in arrays.items() if value is not None})
    return str(place / "g.npz")


def keys(pairs):
    pairs = np.sort(np.asarray(pairs), 1)
    return set(map(tuple, pairs.tolist()))


def test_links_held_out_stand_nowhere_else(tmp_path):
    items = Links(graph(tmp_path), val=0.1, held=0.2).read()
    split, target = np.array(items.split), np.array(items.target)
    pairs = np.array([[int(a), int(b)] for a, b in items.inputs["link"]])
    shared = items.shared["link"]["edges"]
    given = np.load(tmp_path / "g.npz")["edge_index"]
    inside = given[:, (given < NODES).all(0) & (given[0] != given[1])].T
    assert keys(pairs[target]) == keys(inside), "every link is an item, once"
    assert len(pairs) == len(keys(pairs))
    assert keys(shared.T) == keys(pairs[split == "train"])
    assert not keys(shared.T) & keys(pairs[split != "train"])
    assert keys(shared.T) == keys(shared[::-1].T)
    assert shared.shape[1] == 2 * (split == "train").sum(), "both ways"
    assert target[split == "train"].all()
    links = target.sum()
    for part, share in (("val", 0.1), ("test", 0.2)):
        asked = target[split == part]
        assert asked.sum() == round(share * links) == (~asked).sum()
    assert not keys(pairs[~target]) & keys(inside)


def test_a_pair_without_a_link_is_drawn_alike_from_all_there_are():
    links = np.array([[0, 1], [1, 2]])
    assert keys(unlinked(links, 4, 99, np.random.default_rng(0))) == {(0, 2), (0, 3), (1, 3), (2, 3)}
    counts = np.zeros((40, 40))
    for seed in range(300):
        pairs = unlinked(np.array([[0, 1]]), 40, 20, np.random.default_rng(seed))
        assert len(keys(pairs)) == 20
        counts[pairs[:, 0], pairs[:, 1]] += 1
    assert counts[0, 1] == 0
    free = counts[np.triu_indices(40, 1)][1:]
    expected = 300 * 20 / 779
    assert abs(free[:39].mean() - expected) < 1.0
    assert abs(free[-39:].mean() - expected) < 1.0


def test_another_seed_holds_out_others_and_the_same_the_same(tmp_path):
    place = graph(tmp_path)
    one, again, other = (Links(place, seed=seed).read() for seed in (1, 1, 2))
    assert (one.split, one.ids) == (again.split, again.ids)
    assert one.split != other.split


def test_no_labels_are_needed_in_an_npz_or_a_folder(tmp_path):
    (tmp_path / "nodes.csv").write_text("id,a,b,group\n" + "".join(f"n{i},{i},{i % 3},x\n" for i in range(30)))
    (tmp_path / "edges.csv").write_text("from,to\n" + "".join(f"n{i},n{(i + 1) % 30}\n" for i in range(30)))
    items = Links(str(tmp_path), target="group", held=0.2).read()
    assert len(items.ids) == 30 + 2 + 6
    assert items.encoders["link"][1]["width"] == 2
    assert items.ids[0] == "n0 -- n1"
    assert Links(graph(tmp_path)).read().notes[0] == "1 edge to unknown nodes left out"


def test_what_cannot_be_learnt_from_is_told(tmp_path):
    with pytest.raises(DeepenError, match=r"3 links, of them 0 to validate and 0 to test"):
        Links(graph(tmp_path, edge_index=np.array([[0, 1, 2], [1, 2, 3]]))).read()
    with pytest.raises(DeepenError, match=r"1 graph\. Expected one graph whose links are learnt"):
        Links(graph(tmp_path, node_offset=np.array([0, NODES]), edge_index=np.array([[0], [1]]))).read()

    (tmp_path / "nodes.csv").write_text("id,size,kind\n" + "".join(f"{i},1,red\n" for i in range(9)))
    (tmp_path / "edges.csv").write_text(
        "from,to\n" + "".join(f"{i},{(i + 1) % 9}\n{i},{(i + 2) % 9}\n" for i in range(9))
    )
    with pytest.raises(DeepenError, match=r"column 'kind': holds 'red'\. .*data.target=kind leaves that column out"):
        Links(str(tmp_path)).read()
    assert len(Links(str(tmp_path), target="kind", val=0.2, held=0.2).read()) > 18
    full = np.stack(np.triu_indices(8, 1))
    with pytest.raises(DeepenError, match=r"0 pairs of nodes without a link\. Expected pairs with and without"):
        Links(graph(tmp_path, x=np.arange(24.0).reshape(8, 3), edge_index=full), held=0.3).read()


def test_few_pairs_without_a_link_stand_in_both_parts(tmp_path):
    nearly = np.stack(np.triu_indices(8, 1))[:, 3:]
    items = Links(graph(tmp_path, x=np.arange(24.0).reshape(8, 3), edge_index=nearly), val=0.1, held=0.3).read()
    parts = [part for part, linked in zip(items.split, items.target) if not linked]
    assert sorted(parts) == ["test", "test", "val"]
    assert "only 3 pairs of nodes without a link" in " ".join(items.notes)


@pytest.mark.parametrize("changes", [{"x": None}, {"x": np.ones((NODES, 3))}])
def test_nodes_of_which_nothing_is_known_are_told_apart(tmp_path, changes):
    items = Links(graph(tmp_path, edge_index=np.random.default_rng(0).integers(NODES, size=(2, 200)), **changes)).read()
    features = items.shared["link"]["features"]
    assert features.shape == (NODES, NODES)
    assert np.linalg.matrix_rank(features) == NODES
    assert "no number tells nodes apart" in " ".join(items.notes)
    x = np.random.default_rng(0).normal(size=(NODES, 3))
    x[4] = np.nan
    assert "1 node without numbers" in " ".join(Links(graph(tmp_path, x=x)).read().notes)


@pytest.mark.parametrize(
    ("settings", "source", "method"),
    [
        ({"model": "graph_autoencoder"}, "links", "elbo"),
        ({"data.held": 0.3}, "links", "elbo"),
        ({"data.name": "links"}, "links", "elbo"),
        ({"seed": 3}, "graphs", "supervised"),
        ({"model": "graph_autoencoder", "method": "supervised"}, "graphs", "supervised"),
    ],
)
def test_which_source_one_graph_is_for(tmp_path, settings, source, method):
    config = configs.from_target(graph(tmp_path, y=np.arange(NODES) % 2), settings)
    assert (config.data["name"], config.method["name"]) == (source, method)


def test_the_answer_is_known_without_a_labeller(tmp_path):
    config = configs.from_target(graph(tmp_path), {"data.name": "links"})
    prepared = prepare(Links(config.data["path"]).read(), config)
    assert prepared.signature.answer.metric == "auc"
    assert prepared.target[prepared.parts["train"]].all()
    assert len(prepared.unlabelled) == 0


ENCODER = Link(("a", "7", "c"), 4, 2)


def test_a_pair_through_json():
    assert ENCODER.parse({"nodes": ["c", 7]}) == ("c", "7")
    assert ENCODER.encode([("c", "7"), ["a", 7]])["pair"].tolist() == [[2, 1], [0, 1]]
    assert ENCODER.parse(json.loads(json.dumps(ENCODER.dump(("a", "7"))))) == ("a", "7")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"nodes": ["a", "nobody"]}, r"node 'nobody' is not in the graph"),
        ({"nodes": ["a"]}, "no pair of ids"),
        ({"nodes": "ac"}, "no pair of ids"),
        ({"nodes": [["a"], "c"]}, "is not in the graph"),
        ({"nodes": [True, "c"]}, "is not in the graph"),
        (["a", "c"], "got"),
        ({"nodes": ["a", "c"], "more": 1}, "got"),
        (None, "got"),
    ],
)
def test_what_is_no_pair_is_refused(value, said):
    with pytest.raises(Invalid, match=said):
        ENCODER.parse(value)
