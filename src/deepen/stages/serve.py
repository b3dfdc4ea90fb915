"""Answer requests for a bundle over HTTP, without torch."""

from __future__ import annotations

import os
from pathlib import Path

from deepen.console import say
from deepen.errors import DeepenError


def serve(
    what: str, host: str = "127.0.0.1", port: int = 8000, threads: int | None = None, token: str | None = None
) -> None:
    """Serve a bundle until SIGTERM; it is ready once its golden items get their stored answers.

    what     a bundle, or a run with one
    host     any other address than this machine's own needs a token
    port     0 takes a free one
    threads  cores for the model (default: all)
    token    what clients must send as `Authorization: Bearer TOKEN`; better in $DEEPEN_TOKEN, where nobody else sees it
    """
    from deepen.serving.core import Core, loopback

    token = token or os.environ.get("DEEPEN_TOKEN")
    if not loopback(host) and not token:
        raise DeepenError(
            "serve.host",
            f"serve --host {host}",
            "no token",
            "a token for any address but this machine's own",
            "--token ..., or --host 127.0.0.1",
        )
    if not 0 <= port < 65536:
        raise DeepenError("serve.port", "serve --port", str(port), "0 to 65535")
    from deepen.serving import http

    path = find(what)
    bound = http.listen(host, port)
    core = Core(path, threads, token)
    core.start()
    address = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
    say(f"serving  {path}")
    picture = "image" in core.predictor.signature.inputs
    say(f"ready    {address}" + (f"   try: curl -F file=@picture.png {address}/predict" if picture else ""))
    http.run(core, bound)
    say("stopped")


def find(what: str) -> Path:
    """The bundle at a path, or the newest one of a run."""
    path = Path(what)
    if (path / "manifest.json").is_file():
        return path
    from deepen.store.run import Run

    run = Run.open(what)
    found = sorted(run.path.glob("exports/*/manifest.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise DeepenError("serve.bundle", str(run.path), "nothing is exported", "a bundle", f"deepen export {run.path}")
    return found[-1].parent
