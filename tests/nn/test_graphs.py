"""Messages along edges: against dense formulas, by hand, and against torch-geometric where it is installed."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from deepen.kinds.classes import Classes
from deepen.models.gat import GAT
from deepen.nn.graphs import (
    Aggregate,
    GraphAttention,
    GraphConvolution,
    MessageNet,
    Readout,
    gather,
    softmax,
)
from deepen.preprocess.graph import Graph
from deepen.preprocess.nodes import Nodes
from deepen.signature import Signature

TWO = {"label": Classes(("a", "b"))}
EDGES = torch.tensor([[0, 1, 1, 2, 3, 0], [1, 0, 2, 1, 1, 3]])  # node 4 stands alone; 3 speaks to 1 and hears 0


def nodes(n: int = 5, width: int = 3) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(0))


def adjacency(n: int = 5) -> torch.Tensor:
    """Row: who hears; column: who speaks."""
    found = torch.zeros(n, n)
    found[EDGES[1], EDGES[0]] = 1
    return found


def test_convolution_is_the_dense_formula():
    layer = GraphConvolution(3, 4)
    torch.nn.init.normal_(layer.bias)
    x = nodes()
    own = adjacency() + torch.eye(5)
    root = own.sum(1).rsqrt()
    expected = root[:, None] * own * root @ x @ layer.linear.weight.T + layer.bias
    torch.testing.assert_close(layer(x, EDGES), expected)


def test_convolution_by_hand():
    """A path 0 - 1 - 2 with the numbers 1, 2, 3 and weight 1: degrees with themselves 2, 3, 2."""
    layer = GraphConvolution(1, 1)
    torch.nn.init.ones_(layer.linear.weight)
    found = layer(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    six = math.sqrt(6)
    expected = [1 / 2 + 2 / six, 1 / six + 2 / 3 + 3 / six, 2 / six + 3 / 2]
    torch.testing.assert_close(found[:, 0], torch.tensor(expected))


@pytest.mark.parametrize("mean", [False, True])
def test_attention_is_the_dense_formula(mean):
    layer = GraphAttention(3, 4, heads=2, mean=mean).eval()
    torch.nn.init.normal_(layer.bias)
    x = nodes()
    hears = adjacency() + torch.eye(5) > 0
    heads = []
    for head in range(2):
        values = x @ layer.linear.weight.T[:, 4 * head : 4 * head + 4]
        score = F.leaky_relu((values @ layer.hears[head])[:, None] + (values @ layer.speaks[head])[None], 0.2)
        share = torch.where(hears, score, -torch.inf).softmax(1)  # over those that are heard, not over all
        heads.append(share @ values)
    expected = torch.stack(heads).mean(0) if mean else torch.cat(heads, 1)
    torch.testing.assert_close(layer(x, EDGES), expected + layer.bias)


def test_attention_drops_shares_only_while_training():
    layer = GraphAttention(3, 4, heads=2, dropout=0.5)
    x = nodes()
    torch.manual_seed(0)
    assert not torch.equal(layer(x, EDGES), layer(x, EDGES))
    layer.eval()
    assert torch.equal(layer(x, EDGES), layer(x, EDGES))


@pytest.mark.parametrize("how", ["mean", "max", "sum"])
def test_aggregate_by_hand(how):
    layer = Aggregate(3, 2, how)
    x = nodes()
    heard = {0: [1], 1: [0, 2, 3], 2: [1], 3: [0], 4: []}
    pooled = {"mean": lambda r: r.mean(0), "max": lambda r: r.max(0).values, "sum": lambda r: r.sum(0)}[how]
    others = torch.stack([pooled(x[rows]) if rows else torch.zeros(3) for rows in heard.values()])
    expected = x @ layer.own.weight.T + layer.own.bias + others @ layer.others.weight.T
    torch.testing.assert_close(layer(x, EDGES), expected)


def test_shares_add_up_for_scores_of_any_size():
    score = torch.tensor([[1000.0], [1001.0], [-1000.0], [-1001.0], [5.0]])
    found = softmax(score, torch.tensor([0, 0, 1, 1, 3]), 4)
    a = 1 / (1 + math.e)
    torch.testing.assert_close(found[:, 0], torch.tensor([a, 1 - a, 1 - a, a, 1.0]))


@pytest.mark.parametrize(
    ("how", "expected"), [("mean", [[2, 3], [0, -4]]), ("sum", [[4, 6], [0, -4]]), ("max", [[3, 4], [0, -4]])]
)
def test_graphs_are_pooled_apart(how, expected):
    states = torch.tensor([[1.0, 2], [3, 4], [0, -4]])
    found = Readout(Signature({"graph": Graph(2)}, TWO), how)(states, torch.tensor([0, 0, 1]))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(gather(states, torch.tensor([0, 0, 1]), 3, how)[2], torch.zeros(2))


def test_nodes_are_read_not_pooled():
    states = torch.tensor([[1.0, 2], [3, 4], [0, -4]])
    readout = Readout(Signature({"node": Nodes(("a", "b"), 1, 2)}, TWO), "mean")
    torch.testing.assert_close(readout(states, torch.tensor([2, 0])), states[[2, 0]])


# ---------------------------------------------------------------- torch-geometric

pyg = pytest.importorskip


def big() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    edges = torch.randint(60, (2, 300), generator=generator)
    return torch.randn(60, 7, generator=generator), edges[:, edges[0] != edges[1]].unique(dim=1)


def test_parity_of_convolution_with_torch_geometric():
    theirs = pyg("torch_geometric.nn").GCNConv(7, 5)
    ours = GraphConvolution(7, 5)
    ours.load_state_dict({"linear.weight": theirs.lin.weight, "bias": torch.nn.init.normal_(theirs.bias)})
    torch.testing.assert_close(ours(*big()), theirs(*big()), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mean", [False, True])
def test_parity_of_attention_with_torch_geometric(mean):
    theirs = pyg("torch_geometric.nn").GATConv(7, 5, heads=3, concat=not mean)
    ours = GraphAttention(7, 5, heads=3, mean=mean)
    weights = {"speaks": theirs.att_src[0], "hears": theirs.att_dst[0], "linear.weight": theirs.lin.weight}
    ours.load_state_dict({**weights, "bias": torch.nn.init.normal_(theirs.bias)})
    torch.testing.assert_close(ours(*big()), theirs(*big()), atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", ["mean", "max", "sum"])
def test_parity_of_aggregate_with_torch_geometric(how):
    theirs = pyg("torch_geometric.nn").SAGEConv(7, 5, aggr=how)
    ours = Aggregate(7, 5, how)
    weights = {"own.weight": theirs.lin_r.weight, "own.bias": theirs.lin_l.bias, "others.weight": theirs.lin_l.weight}
    ours.load_state_dict(weights)
    torch.testing.assert_close(ours(*big()), theirs(*big()), atol=1e-5, rtol=0)


def test_dropout_is_of_the_input_and_of_every_attention():
    signature = Signature({"node": Nodes(tuple("abcde"), 6, 3)}, TWO)
    net = MessageNet(signature, [], [], torch.nn.Linear(3, 2), torch.nn.ReLU(), 0.5, "mean")
    assert net.states(torch.ones(50, 3), EDGES).unique().tolist() == [0, 2]
    net = GAT(signature, hidden=(4, 4), heads=2, dropout=0.5)
    x = nodes(width=3)
    for layer in (*net.body, net.last):
        once, again = (layer(x, EDGES) for _ in range(2))
        assert not torch.equal(once, again), "some of the attention is left out"
        x = net.eval().activate(layer(x, EDGES))
        net.train()
