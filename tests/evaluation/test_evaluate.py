"""deepen evaluate on real runs: the files it leaves, what it counts, and the page in a browser."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import deepen
from deepen.cli import main
from deepen.errors import DeepenError
from deepen.evaluation import measure
from deepen.predictor import Predictor
from deepen.store import durable
from deepen.store.run import Run


def strict(path: Path):
    """A JSON file in which nothing but JSON stands."""

    def refuse(name):
        raise AssertionError(f"{name} in {path}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def copy(run: Run, place: Path) -> Run:
    shutil.copytree(run.path, place)
    return Run.open(place)


@pytest.fixture
def run(digits_run, tmp_path) -> Run:
    """The digits' run, to write in."""
    return copy(digits_run, tmp_path / "digits")


def test_it_leaves_figures_and_a_report(run, capsys):
    document = deepen.evaluate(str(run.path))
    written = strict(run.path / "evaluation" / "test.json")
    assert written == json.loads(json.dumps(document))
    assert written["items"] == written["check"]["test"]
    assert set(written["parts"]) == {"train", "val", "test"}
    value, low, high = written["metrics"]["accuracy"]
    assert low < value < high
    assert written["costs"]["multiply_adds"] == 64 * 256 + 256 * 128 + 128 * 10
    assert written["costs"]["parameters"] == written["costs"]["multiply_adds"] + 256 + 128 + 10
    assert written["costs"]["seconds"]["64"]["calls"] >= 3
    assert {p["type"] for p in written["panels"]} >= {"Curves", "Matrix", "Table", "Histogram"}
    assert (run.path / "evaluation" / "report.html").read_text(encoding="utf-8").endswith("</html>\n")
    assert "report.html" in capsys.readouterr().out


def test_it_measures_the_raw_path(run):
    """The figures are those of the Predictor on raw items: of the service, not of the training loop."""
    from deepen.training.finished import data_of, predictor_of

    predictor, prepared = predictor_of(run), data_of(run)
    rows = prepared.parts["test"]
    answers = predictor(prepared.items.raw(rows))
    right = np.mean([answer["label"] == str(prepared.items.target[r]) for answer, r in zip(answers, rows)])
    assert deepen.evaluate(str(run.path))["metrics"]["accuracy"][0] == pytest.approx(right)


def test_the_ledger_counts_looks_at_the_test_part(run):
    ledger = run.path / "evaluation" / "ledger.jsonl"
    assert deepen.evaluate(str(run.path), part="val")["test_reads"] == 0
    assert deepen.evaluate(str(run.path))["test_reads"] == 1
    assert "read once" in (run.path / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert deepen.evaluate(str(run.path))["test_reads"] == 2
    assert "read 2 times" in (run.path / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert [line["part"] for line in durable.lines(ledger)[0]] == ["val", "test", "test"]


def test_only_the_test_part_needs_the_test_items(run):
    document = deepen.evaluate(str(run.path), part="val")
    assert set(document["parts"]) == {"train", "val"}
    page = (run.path / "evaluation" / "report-val.html").read_text(encoding="utf-8")
    assert "biased" in page
    assert not (run.path / "evaluation" / "report.html").exists()
    deepen.evaluate(str(run.path), part="train")
    assert "memorised" in (run.path / "evaluation" / "report-train.html").read_text(encoding="utf-8")


def test_an_unknown_part_is_told(run, capsys):
    with pytest.raises(DeepenError, match="Did you mean 'test'. Known: test, train, val"):
        deepen.evaluate(str(run.path), part="tset")
    assert main(["evaluate", str(run.path), "part=all"]) == 2
    assert not (run.path / "evaluation" / "ledger.jsonl").exists()


def test_it_gives_one_document_with_json(run, capsys):
    assert main(["evaluate", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["part"] == "test"


def test_twice_the_same(run):
    """Figures and panels are a function of the run; times and counts of looks are not."""
    first, second = (deepen.evaluate(str(run.path)) for _ in range(2))
    for document in (first, second):
        del document["costs"]["seconds"], document["test_reads"]
    assert first == second


def test_large_parts_are_sampled_for_comparison(run, monkeypatch):
    monkeypatch.setattr(measure, "SAMPLE", 50)
    parts = deepen.evaluate(str(run.path))["parts"]
    assert (parts["train"]["items"], parts["val"]["items"]) == (50, 50)
    assert parts["test"]["items"] == parts["test"]["of"] > 50


def test_answers_that_are_not_finite_are_told(run, monkeypatch):
    monkeypatch.setattr(
        Predictor, "run", lambda self, arrays: {"probabilities": np.full((len(arrays["image"]), 10), math.nan)}
    )
    with pytest.raises(DeepenError, match="NaN or infinity"):
        deepen.evaluate(str(run.path))


def test_a_number(tmp_path):
    run = deepen.train("blobs", kind="number", output=str(tmp_path), epochs=2, threads=1)
    document = deepen.evaluate(str(run.path))
    assert document["metric"] == "rmse"
    assert strict(run.path / "evaluation" / "test.json")["verdict"]["word"] in {
        "overfit",
        "underfit",
        "agree",
        "unsure",
    }
    assert any(group["name"].startswith("x0 ") for group in document["slices"]["found"])


def test_labels(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, y=(x[:, :3] > 0.5).astype(int))
    run = deepen.train(str(tmp_path / "x.npz"), output=str(tmp_path / "runs"), epochs=2, threads=1)
    document = deepen.evaluate(str(run.path))
    assert document["metric"] == "f1_micro"
    assert "Labels" in [panel.get("title") for panel in document["panels"]]


def test_one_item_of_one_class(tmp_path):
    lines = ["a,y,part"] + [f"{i % 7},{'<script>alert(1)</script>' if i % 2 else 'b'}," for i in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    (tmp_path / "test.csv").write_text("a,y\n3,b\n")
    source = f"data: {{name: table, path: {tmp_path}/train.csv, target: y, test: {tmp_path}/test.csv}}\n"
    (tmp_path / "config.yaml").write_text(source)
    run = deepen.train(str(tmp_path / "config.yaml"), output=str(tmp_path / "runs"), epochs=2, threads=1)
    document = deepen.evaluate(str(run.path))
    assert document["items"] == 1
    assert document["metrics"]["auc"] == [None, None, None]
    strict(run.path / "evaluation" / "test.json")
    page = (run.path / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_pictures_of_long_names(tmp_path):
    from PIL import Image

    for label in ("<b>bold", "plain"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(20):
            shade = 60 if label == "plain" else 120 + i
            Image.new("RGB", (70, 50), (shade, 3 * i, 10)).save(tmp_path / "photos" / label / f"{'n' * 180}&{i}.png")
    run = deepen.train(str(tmp_path / "photos"), output=str(tmp_path / "runs"), model="lenet", epochs=1, threads=1)
    deepen.evaluate(str(run.path))
    page = (run.path / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "<b>bold" not in page


def test_a_network_without_answers_is_told(run, monkeypatch):
    from deepen.training import finished

    original = finished.predictor_of

    def silent(source):
        predictor = original(source)
        predictor.signature.outputs = {}
        return predictor

    monkeypatch.setattr(finished, "predictor_of", silent)
    with pytest.raises(DeepenError, match="features, no answers"):
        deepen.evaluate(str(run.path))


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(page: Path) -> tuple[str, str]:
    """The page as the browser read it, and what it logged to its console."""
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
                   "--disable-component-update", "--no-first-run", "--enable-logging=stderr",
                   f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]  # fmt: skip
        done = subprocess.run([str(CHROMIUM), *options], capture_output=True, text=True, timeout=60)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_opens_it_without_a_word(run, tmp_path):
    """Nothing is logged; its policy forbids every request and script, and the browser tells of each attempt."""
    deepen.evaluate(str(run.path))
    page = run.path / "evaluation" / "report.html"
    whole, console = browse(page)
    assert "Confusion matrix" in whole
    assert whole.rstrip().endswith("</html>")
    assert console == ""
    attack = '<img src="http://127.0.0.1:1/x.png"><script>document.body.id = "taken"</script><p style="color: red">'
    (tmp_path / "attacked.html").write_text(page.read_text(encoding="utf-8").replace("</body>", f"{attack}</body>"))
    whole, console = browse(tmp_path / "attacked.html")
    assert 'id="taken"' not in whole
    assert console.count("Content Security Policy") == 3


@pytest.mark.parametrize(("likelihood", "picture"), [("bernoulli", True), ("gaussian", False)])
def test_what_a_density_makes_is_shown_beside_held_out_items(likelihood, picture):
    """On the items' own scale, the same every time, and drawn from the network's own prior."""
    import torch

    from deepen.kinds.reconstruction import Reconstruction
    from deepen.likeness import decoded
    from deepen.models.vae import VAE
    from deepen.nn.heads import head
    from deepen.nn.normalise import Normalise
    from deepen.nn.packaged import Packaged
    from deepen.preprocess.array import Array
    from deepen.preprocess.image import Image
    from deepen.signature import Signature
    from deepen.training.finished import answering

    shape, places = ((4, 4, 1), 1) if picture else ((3,), 3)
    kind = Reconstruction(
        shape=shape, picture=picture, mean=(60.0,) * places, scale=(0.5,) * places, likelihood=likelihood
    )  # type: ignore[arg-type]
    signature = Signature({"x": Image(4, 4, 1) if picture else Array((3,))}, {"item": kind})
    net = VAE(signature, code=2, hidden=(4,), form="dense")
    for weight in net.back.parameters():
        torch.nn.init.zeros_(weight)
    net.back.layers[-1].bias.data.fill_(2.0)
    predictor = answering(Packaged(Normalise(signature), net, head(kind)), signature)
    target = np.zeros((50, *shape), np.uint8)
    before = torch.random.get_rng_state()
    first, *rest = measure._made(kind, predictor, target)
    assert torch.equal(before, torch.random.get_rng_state())
    if picture:
        assert first.title == "Made"
        assert rest[0].title == "Held out"
        assert decoded(first.rows[0][0], (4, 4))[0, 0] == round(255 / (1 + math.exp(-2.0)))
    else:
        assert first.title == "Held out and made"
        assert first.lines[1].x[0] == 64.0  # 2 / 0.5 + 60
    wild = np.full((3, *(net.usual.shape)), np.inf, np.float32)
    shown = measure._made(kind, SimpleNamespace(made=lambda count: wild), target)
    assert bool(shown) == picture  # levels have ends, numbers have none
    for weight in net.back.parameters():
        torch.nn.init.ones_(weight)
    torch.manual_seed(1)
    once = predictor.made(3)
    torch.manual_seed(2)
    np.testing.assert_array_equal(predictor.made(3), once)
    assert len(np.unique(once)) > 1
