"""deepen on a folder of photos: decoded once into its cache, augmented from there."""

import os

import deepen  # noqa: F401  (sets how threads wait, before torch loads)
from benchmarks.turns import Turns


def main() -> None:
    import PIL.Image  # noqa: F401  (before the clock, as the textbook does)

    from deepen import config, registry
    from deepen.data.augment import Augment
    from deepen.data.data import Data
    from deepen.data.feeds import LabeledFeed
    from deepen.data.prepare import prepare
    from deepen.nn.normalise import Normalise

    turns = Turns(1)
    settings = config.from_target(os.environ["BENCHMARK_FOLDER"], {"size": 96})
    prepared = prepare(registry.build("sources", settings.data).read(), settings)
    normalise = Normalise(prepared.signature)
    normalise.fit(prepared.signature, prepared.columns, prepared.parts["train"])
    feed = LabeledFeed(
        Data(prepared, normalise, Augment(({"name": "zoom"}, {"name": "flip"}), prepared.signature)), 32, 0
    )
    for epoch in range(4):
        for k in range(len(feed)):
            feed.batch(epoch, k)
        turns.step()
    turns.finish(0.0, pictures=len(feed.order.rows), decoded=len(prepared.items))


main()
