"""The demo is the documentation: it runs to its end and shows what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_demo_runs_to_its_end(tmp_path):
    script = Path(__file__).parents[1] / "examples" / "demo.py"
    result = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert "refused (exit code 3)" in result.stdout
    assert result.stdout.count("sure: right") >= 4  # of 6
    assert "HTTP 422" in result.stdout
    rest, over_grpc = re.findall(r": answered (\d)", result.stdout), re.search(r"over gRPC: (.*)", result.stdout)
    assert over_grpc
    assert over_grpc[1] == ", ".join(rest)
    assert "has changed" in result.stdout  # the monitor
    assert "\nkept         version 2: " in result.stdout
    assert "; failed: 0; " in result.stdout
    assert "the server left with exit code 0" in result.stdout
