"""What was sampled goes when somebody says so, from the files too."""

import pytest

import deepen
from deepen.cli import main
from deepen.store.live import Live, Sample


@pytest.fixture
def live(tmp_path):
    made = Live.create(tmp_path / "shop")
    made.keep([Sample(1e9 + i, f"id-{i}", "1", "run", {}, [f"secret {i}"], [0.5], 0.01, 0.5) for i in range(4)])
    return made


def ids(live):
    return [sample.id for sample in live.samples()]


def test_by_request(live, capsys):
    assert main(["erase", str(live.path), "request=[id-1, id-9]"]) == 0
    out = capsys.readouterr().out
    assert "1 sample in" in out
    assert "no sample of request id-9" in out
    assert ids(live) == ["id-0", "id-2", "id-3"]
    assert main(["erase", str(live.path), "request=4711"]) == 0  # digits alone are a name too
    assert "no sample of request 4711" in capsys.readouterr().out
    assert not any(b"secret 1" in file.read_bytes() for file in live.path.rglob("*.jsonl"))


def test_by_age(live):
    import datetime

    day = datetime.datetime.fromtimestamp(1e9 + 2, datetime.UTC)
    assert deepen.erase(str(live.path), before=day.isoformat()) == {"live": str(live.path), "erased": 2}
    assert ids(live) == ["id-2", "id-3"]


@pytest.mark.parametrize(
    ("given", "text"), [([], "neither request nor before"), (["before=yesterday"], "a day or a time: 2026-11-20")]
)
def test_nothing_goes_by_mistake(live, capsys, given, text):
    assert main(["erase", str(live.path), *given]) == 2
    assert text in capsys.readouterr().err
    assert len(ids(live)) == 4
