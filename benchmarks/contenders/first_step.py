"""`deepen.train` up to the end of its first step; fails if one of the named modules was loaded on the way."""

import sys

import deepen
from deepen.training.engine import Engine

file, folder, *heavy = sys.argv[1:]


class FirstStep(Exception):
    """Enough."""


def advance(engine: Engine) -> None:
    whole(engine)
    raise FirstStep


whole, Engine._advance = Engine._advance, advance
try:
    deepen.train(file, output=folder, threads=1)
except FirstStep:
    loaded = [name for name in heavy if name in sys.modules]
    assert not loaded, loaded
