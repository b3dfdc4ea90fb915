"""Answer requests for bundles over HTTP and gRPC, without torch."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepen.console import announce, say
from deepen.errors import DeepenError

if TYPE_CHECKING:
    from deepen.serving.options import Options


def serve(
    what: tuple[str, ...],
    host: str = "127.0.0.1",
    port: int = 8000,
    grpc: int | None = None,
    name: str = "",
    live: str | None = None,
    share: float = 1.0,
    threads: int | None = None,
    token: str | None = None,
    token_file: str | None = None,
    admin_token_file: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    max_batch_size: int = 32,
    max_wait: float = 0.0,
    queue: int = 2048,
    timeout: float = 60.0,
    watch: float = 10.0,
    slower: float = 3.0,
    sample: float = 0.01,
    keep: float | None = None,
    pulse: float = 10.0,
    supervise: bool = True,
) -> dict[str, Any] | None:
    """Serve bundles until SIGTERM, Ctrl-C or a closed terminal; ready once their golden items get their stored answers.

    what            bundles, runs with one, or live directories; bundles of one run are versions of one model
    host            any other address than this machine's own needs a token
    port            0 takes a free one
    grpc            a port for gRPC too; 0 takes a free one
    name            the name of the model (default: the run's id, or the live directory's name)
    live            a directory that keeps versions, who answers, samples: the bundle is put in there and served from it
    share           the share of requests the bundle put in gets, beside those that answer there already
    threads         cores for a model (default: one for a small model, else all)
    token           what clients must send as `Authorization: Bearer TOKEN`; better in $DEEPEN_TOKEN or a file
    token_file      a file that holds the token
    admin_token_file  a file with the token of those who change what is served (routes, rollback, load, unload); without
                    it the token serves for that too
    cert            a certificate in PEM, for TLS
    key             its private key in PEM
    max_batch_size  items of several requests that are answered together, at the most
    max_wait        seconds a batch that is not full waits for more requests; 0 never delays a request
    queue           items that may wait for a model, and bodies for a thread that reads them; more are answered with 429
    timeout         seconds a request may take; a client may ask for less in its header `timeout`
    watch           seconds between two golden requests to what is in service; 0: never
    slower          times as slow as the version before it (95th percentile, seconds an item) for one that shares the
                    traffic to go; 0: never
    sample          the share of items a live directory records
    keep            days that they stay there (default: as said before, else 30); deepen erase takes them out sooner
    pulse           seconds between two records of how the service does in a live directory
    supervise       replace a worker process that died or hangs
    """
    from deepen.serving.options import Options

    token = _token(token, token_file)
    admin = None if admin_token_file is None else _checked(_read_token(admin_token_file))
    _check(host, port, token, cert, key)
    if grpc is not None and not 0 <= grpc < 65536:
        raise DeepenError("serve.port", "serve --grpc", str(grpc), "0 to 65535")
    options = Options(
        token, threads, max_batch_size, max_wait, queue, timeout, watch, sample, pulse, admin, slower
    ).check()
    places = [find(one) for one in ([what] if isinstance(what, str) else what)]
    if live is not None:
        places = [_put_in(places, Path(live), share)]
    with contextlib.ExitStack() as ours:
        follows = [_occupied(place, live is not None, ours) for place in places]
        _settle(places, keep)
        if any(follows):
            return {"live": str(places[0])}
        from deepen.serving.sockets import listen

        sockets = [ours.enter_context(listen(host, port))]
        if grpc is not None:
            sockets.append(ours.enter_context(listen(host, grpc, reserve=True)))
        _answer([str(place.resolve()) for place in places], name, options, sockets, cert, key, supervise)
    announce("stopped")
    return None


def _answer(
    places: list[str], name: str, options: Options, sockets: list[socket.socket], cert: str | None, key: str | None,
    supervise: bool,
) -> None:  # fmt: skip
    import msgspec

    for place in places:
        say(f"serving  {place}")

    schemes = ("https" if cert else "http", "grpc")
    addresses = [_address(one, scheme) for one, scheme in zip(sockets, schemes)]

    def ready() -> None:
        for word, address in zip(("ready", "grpc"), addresses):
            say(f"{word:<8} {address}")

    if not supervise:
        from deepen.serving.service import Setup, serve

        serve(Setup(places, options, [one.detach() for one in sockets], name, cert, key), ready)
        return
    from deepen.serving.supervisor import Supervisor

    setup = {"places": places, "options": msgspec.to_builtins(options), "name": name, "cert": cert, "key": key}
    Supervisor(setup, sockets, ready).run()


def _address(bound: socket.socket, scheme: str) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _token(token: str | None, file: str | None) -> str | None:
    """The token, from wherever it is said."""
    token = token if file is None else _read_token(file)
    token = os.environ.get("DEEPEN_TOKEN") if token is None else token
    return None if token is None else _checked(token)


def _read_token(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise DeepenError("serve.token", f"token file {file}", str(problem), "a readable file") from None


def _checked(token: str) -> str:
    if token == "":  # a secret that did not arrive must not open the service
        raise DeepenError("serve.token", "serve", "an empty token", "a token, or none of token, file and $DEEPEN_TOKEN")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise DeepenError("serve.token", "serve", "a token with characters a header cannot carry", "letters and digits")
    return token


def _check(host: str, port: int, token: str | None, cert: str | None, key: str | None) -> None:
    from deepen.serving.access import loopback

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
    if (cert is None) != (key is None):
        raise DeepenError("serve.tls", "serve", "one of cert and key", "both, or none")
    if cert is not None and key is not None:
        from deepen.serving import tls

        tls.check(cert, key)


def _put_in(places: list[Path], live: Path, share: float) -> Path:
    """Put a bundle into a live directory and let it answer a share; returns the directory."""
    from deepen.store.live import Live

    if len(places) != 1 or (places[0] / "live.json").is_file():
        raise DeepenError("serve.live", "serve --live", f"{len(places)} places", "one bundle, or a run with one")
    if not 0 < share <= 1:
        raise DeepenError("serve.share", "serve --share", f"got {share:g}", "above 0, at most 1")
    home = Live.create(live)
    version = home.add(places[0], run_of(places[0]))
    others = {v: s for v, s in home.state().route.shares.items() if v != version}
    rest = sum(others.values())
    if not others or share == 1:
        home.route({version: 1.0}, why="serve")
    else:
        home.route({**{v: s / rest * (1 - share) for v, s in others.items()}, version: share}, why="serve")
    say(f"version  {version} in {live}")
    return live


def _settle(places: list[Path], keep: float | None) -> None:
    """Say how long live directories keep samples."""
    if keep is None:
        return
    from deepen.store.live import Live

    for place in places:
        if not (place / "live.json").is_file():
            raise DeepenError(
                "serve.keep", "serve --keep", f"{place} keeps no samples", "a live directory", "--live DIR"
            )
        Live.open(place).settle(keep)


def run_of(bundle: Path) -> str:
    """The run a bundle is of. Whether it is whole the server finds out, and NumPy stays out of the supervisor."""
    try:
        return str(json.loads((bundle / "manifest.json").read_bytes())["run"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DeepenError("bundle.damaged", str(bundle), str(problem), "a bundle as deepen export made it") from None


def _occupied(place: Path, put_in: bool, ours: contextlib.ExitStack) -> bool:
    """Be the only server of a live directory as long as `ours`; whether there is one, which has seen what was put in."""
    if not (place / "live.json").is_file():
        return False
    from deepen.store.live import Live

    handle = Live.open(place).occupy()
    if handle is not None:
        ours.callback(os.close, handle)
        return False
    if not put_in:
        raise DeepenError("serve.live", str(place), "another server serves from it", "one server", "stop it first")
    say("a server that runs on it follows")
    return True


def find(what: str) -> Path:
    """The bundle or live directory at a path, or the newest bundle of a run."""
    path = Path(what)
    if (path / "manifest.json").is_file() or (path / "live.json").is_file():
        return path
    from deepen.store.run import Run

    run = Run.open(what).single()
    found = sorted(run.path.glob("exports/*/manifest.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        way = run.hint() or f"deepen export {run.path}"
        raise DeepenError("serve.bundle", str(run.path), "nothing is exported", "a bundle", way)
    return found[-1].parent
