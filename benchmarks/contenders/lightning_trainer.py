"""Lightning's Trainer over the textbook data, as its documentation shows; progress bar, logger and checkpoints off."""

import logging
import warnings

from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks import work
from benchmarks.contenders.pictures_one_by_one import Digits, torchvision
from benchmarks.turns import Turns

torchvision()  # lightning imports it where it is installed
import lightning as L  # noqa: E402


class Lit(L.LightningModule):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net = work.network(seed)

    def training_step(self, batch, index):
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return work.optimizer(self.net)


class Watch(L.Callback):
    """Gives the turn away between steps."""

    def __init__(self, block: int) -> None:
        self.block = block

    def on_train_start(self, trainer, module) -> None:
        self.turns = Turns(self.block)

    def on_train_batch_end(self, *_) -> None:
        self.turns.step()


def main() -> None:
    task = work.task()
    data = work.pictures(task.batch * task.steps)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    watch, model = Watch(task.block), Lit(task.seed)
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[watch],
    )  # fmt: skip
    trainer.fit(model, DataLoader(Digits(data), task.batch, shuffle=True))
    watch.turns.finish(work.accuracy(model.net, data))


main()
