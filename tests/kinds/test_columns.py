"""A Bayesian network without labels: queries against all combinations and by hand, samples, figures, the whole way."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

import deepen
from deepen.errors import DeepenError
from deepen.kinds.columns import Columns
from deepen.models.bayes_net import BayesNet
from deepen.nn import forest
from deepen.preprocess.row import Row
from deepen.signature import Signature
from deepen.stages.predict import predict

KIND = Columns(borders={"n": (0.5, 2.0)}, categories={"c": ("x", "y"), "d": ("u",), "e": ("p", "q", "r")})


def net(kind: Columns = KIND, **settings) -> BayesNet:
    row = Row(tuple(kind.borders), {}, kind.categories, tuple(kind.borders))
    return BayesNet(Signature({"row": row}, {"item": kind}), bins=3, **settings)


def inputs_of(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network gets for states (n, 4): a number of each bin with its flag, and codes with 0 missing."""
    number = torch.tensor([0.0, 1.0, 3.0])[codes[:, 0].clamp(min=0)]
    flag = (codes[:, 0] < 0).float()
    return torch.stack([torch.where(flag > 0, 0.0, number), flag], 1), codes[:, 1:] + 1


def fitted(n: int = 3000, gaps: float = 0.1) -> tuple[BayesNet, torch.Tensor]:
    """Columns each mostly as the one before it; some are missing."""
    rng = np.random.default_rng(0)
    columns = [rng.integers(3, size=n)]
    for size in (3, 2, 4):
        columns.append(np.where(rng.random(n) < 0.7, columns[-1] % size, rng.integers(size, size=n)))
    codes = np.stack(columns, 1)
    codes[rng.random(codes.shape) < gaps] = -1
    found = net()
    given = torch.from_numpy(codes)
    found.fit(inputs_of(given), given)
    return found, given


def rows() -> torch.Tensor:
    """All rows of known and unknown columns."""
    return torch.tensor([*itertools.product(*(range(-1, size) for size in KIND.sizes))])


def test_queries_are_sums_over_all_combinations():
    found, _ = fitted()
    assert (found.parents >= 0).sum() == 3
    asked, whole = rows(), rows()[(rows() >= 0).all(1)]
    joint = found(*inputs_of(whole))[0].exp()
    assert float(joint.sum()) == pytest.approx(1, abs=1e-5)
    told, chances = found(*inputs_of(asked))
    fits = ((asked[:, None] == whole) | (asked[:, None] < 0)).all(2).float()  # (asked, whole)
    torch.testing.assert_close(told.exp(), fits @ joint, atol=1e-6, rtol=1e-4)
    one_hot = torch.cat([torch.eye(size)[whole[:, v]] for v, size in enumerate(KIND.sizes)], 1)
    torch.testing.assert_close(chances, (fits * joint) @ one_hot / (fits @ joint)[:, None], atol=1e-5, rtol=1e-4)


def test_messages_say_what_summing_out_does():
    """By the other way of the same network, with one class."""
    found, _ = fitted()
    for given in ({}, {0: 2}, {1: 0, 3: 2}, {0: 1, 1: 2, 2: 0}):
        row = torch.tensor([[given.get(v, -1) for v in range(4)]])
        chances = found(*inputs_of(row))[1][0].split(KIND.sizes)
        for v in {*range(4)} - given.keys():
            torch.testing.assert_close(chances[v].double(), found.query([v], given), atol=1e-5, rtol=1e-4)


def test_two_columns_by_hand():
    """P(a) = 0.25, P(b | a) = 0.8, P(b | not a) = 0.4: P(b) = 0.5, P(a | b) = 0.4."""
    tables = {0: torch.tensor([0.75, 0.25]), 1: torch.tensor([[0.6, 0.4], [0.2, 0.8]])}
    b = [torch.ones(1, 2), torch.tensor([[0.0, 1.0]])]
    told, (first, second) = forest.beliefs([(0, -1), (1, 0)], tables, b)
    assert float(told.exp()) == pytest.approx(0.5)
    torch.testing.assert_close(first, torch.tensor([[0.6, 0.4]]))
    torch.testing.assert_close(second, torch.tensor([[0.0, 1.0]]))


def test_a_parent_of_a_thousand_columns():
    tables = {0: torch.full((5,), 0.2)} | {v: torch.full((5, 9), 1 / 9) for v in range(1, 1001)}
    evidence = [torch.ones(2, 5), *(torch.eye(9)[[v % 9, 0]] for v in range(1, 1001))]
    told, found = forest.beliefs(forest.ordered([-1] + [0] * 1000), tables, evidence)
    torch.testing.assert_close(told, torch.full((2,), -1000 * float(np.log(9))), rtol=1e-4, atol=0)
    torch.testing.assert_close(found[0], torch.full((2, 5), 0.2))
    assert forest.ordered([2, -1, 1]) == [(1, -1), (2, 1), (0, 2)]


def test_what_is_missing_counts_for_nothing():
    """Tables by hand: two of three known 'x' with smoothing 3 over 3 states; pairs only where both are known."""
    found = net(structure="naive", smoothing=3.0)
    codes = torch.tensor([[0, 1, -1, 3], [-1, 1, 0, 3], [2, 2, -1, -1], [1, -1, 1, 0]])
    found.fit(inputs_of(codes), codes)
    tables = found._tables()
    torch.testing.assert_close(tables[1], torch.tensor([1 / 6, 3 / 6, 2 / 6]))
    torch.testing.assert_close(tables[3], torch.tensor([1.75, 0.75, 0.75, 2.75]) / 6)
    assert found._pair(codes, 1, 2).tolist() == [-1, 2, -1, -1]


def test_numbers_get_the_states_that_the_kind_gave_them():
    """Also where they have fewer bins than there might be, and where they are outside all that was seen."""
    found = net(Columns(borders={"n": (0.5,)}, categories={"c": ("x", "y")}))
    codes = torch.tensor([[0, 1], [1, 2], [-1, 0], [0, 0]])
    values = torch.tensor([[-1.2, 0.0], [2.0, 0.0], [0.0, 1.0], [-0.7, 0.0]])
    found.fit((values, codes[:, 1:] + 1), codes)
    assert torch.equal(found.codes(values, codes[:, 1:] + 1), codes)
    assert found.codes(torch.tensor([[-9.0, 0.0], [9.0, 0.0]]), torch.zeros(2, 1, dtype=torch.int64))[
        :, 0
    ].tolist() == [0, 1]


def test_made_rows_are_as_likely_as_the_network_has_them():
    found, _ = fitted()
    torch.manual_seed(0)
    made = found.sample(20_000)
    chances = found(*inputs_of(torch.full((1, 4), -1)))[1][0].split(KIND.sizes)
    for v, size in enumerate(KIND.sizes):
        shares = torch.bincount(made[:, v], minlength=size) / len(made)
        torch.testing.assert_close(shares, chances[v], atol=0.015, rtol=0)
    given = made[made[:, 0] == 2]
    asked = found(*inputs_of(torch.tensor([[2, -1, -1, -1]])))[1][0].split(KIND.sizes)
    torch.testing.assert_close(torch.bincount(given[:, 3], minlength=4) / len(given), asked[3], atol=0.03, rtol=0)
    tables = KIND.beside(made.numpy()[:50], KIND.own(made.numpy().astype(np.float32)))
    assert tables[0].columns == ("n", "c", "d", "e")
    assert tables[0].rows[0][0] in {"up to 0.5", "0.5 to 2", "above 2"}


def test_bins_are_of_the_training_rows_and_borders_belong_below():
    values = np.array([[1.0], [2.0], [3.0], [4.0], [np.nan], [400.0]], np.float32)
    row = Row(("n",), {}, {}, ("n",))
    columns = {"numbers": np.concatenate([values, np.isnan(values)], 1).astype(np.float32)}
    kind = Columns.of({"row": row}, columns, np.arange(5), bins=2)
    assert kind.borders == {"n": (2.5,)}
    assert kind.column({"row": row}, columns)[:, 0].tolist() == [0, 0, 1, 1, -1, 1]
    same = Columns.of({"row": row}, {"numbers": np.full((5, 2), 7, np.float32)}, np.arange(5))
    assert same.states == {"n": ("any",)}
    name, loss = kind.baseline(np.array([[0], [0], [1], [-1]]), np.array([[0], [-1]]))
    assert (name, loss) == ("every column on its own", pytest.approx(-np.log(2.5 / 4) / 2))


def test_answers_come_back_as_the_arrays_they_were():
    found, given = fitted()
    outputs = dict(zip(("log_probability", "chances"), (t.numpy() for t in found(*inputs_of(given[:9])))))
    answers = KIND.decode(outputs)
    assert answers[0]["chances"].keys() == {"n", "c", "d", "e"}
    back = KIND.outputs(json.loads(json.dumps(answers)))
    assert KIND.difference(outputs, back) == 0
    assert KIND.agreement(outputs, back) == 1
    assert KIND.metrics(given.numpy(), outputs)["loss"] == pytest.approx(-outputs["log_probability"].mean())
    double = {**outputs, "chances": outputs["chances"] * 0.9}
    assert KIND.agreement(outputs, double) == 0
    assert KIND.gap(answers, KIND.decode(double)) > 0.05


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Of towns and their temperatures, from a table with a hole and no target."""
    place, rng = tmp_path_factory.mktemp("towns"), np.random.default_rng(0)
    town = rng.integers(2, size=400)
    warm = np.where(rng.random(400) < 0.9, town, 1 - town)
    names = np.array(["oslo", "rome"])
    lines = [f"{names[t]},{20 * w + rng.random():.2f},{i % 4}" for i, (t, w) in enumerate(zip(town, warm))]
    lines[7] = ",12,1"
    (place / "t.csv").write_text("\n".join(["town,degrees,turn", *lines]))
    return deepen.train(str(place / "t.csv"), output=str(place), model="bayes_net", bins=2, threads=1)


def test_rows_that_are_not_whole_are_answered(run, tmp_path):
    (tmp_path / "asked.csv").write_text("degrees,turn\n21,\n0.5,\n")
    warm, cold = predict(str(run.path), str(tmp_path / "asked.csv"))
    assert warm["chances"]["town"]["rome"] > 0.8
    assert cold["chances"]["town"]["oslo"] > 0.8
    both, one = deepen.load(str(run.path))([{"town": "rome", "degrees": 21}, {"town": "rome"}])
    share = np.exp(both["log_probability"] - one["log_probability"])
    above = [*one["chances"]["degrees"].values()][1]
    assert share == pytest.approx(above, rel=1e-4), "P(a, b) = P(b) P(a | b)"


def test_dates_and_folds_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "d.csv").write_text("day,a\n" + "\n".join(f"2026-01-{i % 28 + 1:02},{i % 3}" for i in range(80)))
    with pytest.raises(DeepenError, match=r"rows of numbers and categories.*data\.drop"):
        deepen.train(str(tmp_path / "d.csv"), model="bayes_net", output=str(tmp_path))
    with pytest.raises(DeepenError, match=r"split\.folds: answers whose bins .* One held-out part"):
        deepen.train(str(tmp_path / "d.csv"), model="bayes_net", folds=2, output=str(tmp_path))


@pytest.mark.slow
def test_from_a_report_to_a_bundle(run):
    document = deepen.evaluate(str(run.path))
    assert document["metrics"]["loss"][0] < document["baseline"]["loss"] - 0.2
    assert "Held out and made" in (run.path / "evaluation" / "report.html").read_text()
    bundle, own = deepen.load(deepen.export(str(run.path))["bundle"]), deepen.load(str(run.path))
    rows = [{"town": "rome"}, {"degrees": 3}, {"town": "paris", "degrees": None, "turn": 2}]
    assert own.gap(own(rows), bundle(rows)) < 1e-5
    assert deepen.verify(str(run.path), steps=2)["resume"]["identical"]
