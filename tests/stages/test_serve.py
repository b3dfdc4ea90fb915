"""The serve verb: what it refuses before anything listens, and what it puts into a live directory."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

import pytest

from deepen.cli import main
from deepen.errors import DeepenError
from deepen.store.live import Live

stage = importlib.import_module("deepen.stages.serve")  # deepen.stages.serve the module, not the verb


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["max_batch_size=0"], "max_batch_size: got 0. Expected from 1 to 4096"),
        (["threads=-1"], "threads: got -1. Expected from 1 to 1024"),
        (["max_wait=-1"], "max_wait: got -1"),
        (["timeout=0"], "timeout: got 0"),
        (["sample=1.5"], "sample: got 1.5"),
        (["queue=0"], "queue: got 0"),
        (["watch=-1"], "watch: got -1"),
        (["grpc=70000"], "--grpc: 70000. Expected 0 to 65535"),
        (["token=a b"], "a token with characters a header cannot carry"),
        (["token_file=none"], "No such file"),
        (["admin_token_file=none"], "No such file"),
        (["admin_token_file=/dev/null"], "an empty token"),
        (["pulse=0"], "pulse: got 0"),
        (["live=here", "share=0"], "--share: got 0"),
        (["live=here", "share=2"], "--share: got 2"),
    ],
)
def test_settings_that_make_no_sense(digits_bundle, words, text, capsys):
    assert main(["serve", str(digits_bundle), "port=0", *words]) == 2
    assert text in capsys.readouterr().err
    assert not Path("here").exists()


def test_only_one_bundle_goes_into_a_live_directory(digits_bundle):
    with pytest.raises(DeepenError, match="one bundle"):
        stage._put_in([digits_bundle, digits_bundle], Path("live/a"), 1.0)
    stage._put_in([digits_bundle], Path("live/a"), 1.0)
    with pytest.raises(DeepenError, match="one bundle"):
        stage._put_in([Path("live/a")], Path("live/b"), 1.0)


def test_a_bundle_put_in_twice_is_one_version_and_a_share_is_taken_from_the_others(digits_bundle, tmp_path):
    live = Path("live/a")
    for _ in range(2):
        stage._put_in([digits_bundle], live, 1.0)
    assert list(Live.open(live).state().versions) == ["1"]
    for number, share in ((2, 0.5), (3, 0.2)):
        copy = shutil.copytree(digits_bundle, tmp_path / f"copy{number}")
        (copy / "manifest.json").write_text((copy / "manifest.json").read_text() + "\n" * number)
        stage._put_in([copy], live, share)
    assert Live.open(live).state().route.shares == pytest.approx({"1": 0.4, "2": 0.4, "3": 0.2})


def test_a_token_comes_from_wherever_it_is_said(monkeypatch):
    Path("token").write_text("from-file\n")
    monkeypatch.delenv("DEEPEN_TOKEN", raising=False)
    assert stage._token(None, None) is None
    monkeypatch.setenv("DEEPEN_TOKEN", "from-environment")
    assert stage._token(None, None) == "from-environment"
    assert stage._token("given", None) == "given"
    assert stage._token(None, "token") == "from-file"


def test_an_empty_token_never_opens_the_service(monkeypatch):
    Path("token").write_text("\n")
    monkeypatch.setenv("DEEPEN_TOKEN", "")
    for given in ((None, None), ("", None), (None, "token")):
        with pytest.raises(DeepenError, match="an empty token"):
            stage._token(*given)


def test_what_is_no_bundle_is_told():
    Path("empty").mkdir()
    Path("empty/manifest.json").write_text("{}")
    with pytest.raises(DeepenError, match="a bundle as deepen export made it"):
        stage.run_of(Path("empty"))


def test_who_may_not_serve_a_live_directory_changes_nothing_in_it(digits_bundle, capsys):
    stage._put_in([digits_bundle], Path("live/a"), 1.0)
    home = Live.open("live/a")
    before = home.state()
    handle = home.occupy()
    assert main(["serve", "live/a", "keep=7"]) == 2
    assert "another server serves from it" in capsys.readouterr().err
    assert home.state() == before
    os.close(handle)
    assert main(["serve", "live/a", "keep=-7"]) == 2
    assert home.occupy() is not None  # given back with the mistake


@pytest.mark.parametrize(("content", "found"), [("", "it is empty"), ("{", "not one whole line")])
def test_a_state_that_is_lost_is_told(content, found, capsys):
    Live.create(Path("live/a"))
    Path("live/a/live.json").write_text(content)
    assert main(["serve", "live/a"]) == 2
    assert f"live.json: {found}. Expected a live directory's state" in capsys.readouterr().err
