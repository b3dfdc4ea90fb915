"""Keras on torch with its augmentation layers in the model, as its documentation shows; first weights as everyone's.

Each picture is moved on its own, as by everyone: that is RandomTranslation, to the nearest pixel. RandomCrop draws one
place for the whole batch (Keras 3.15) and costs next to nothing: less work, measured beside it as `keras_one_crop`.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers

from benchmarks import work
from benchmarks.turns import Turns


class Crop(layers.RandomCrop):
    """Keras 3.15 on torch leaves pictures uncropped outside training; here they are cut in the middle."""

    def call(self, images, training=False):
        p = work.PADDING
        return super().call(images, training=True) if training else images[:, p:-p, p:-p]


class Watch(keras.callbacks.Callback):
    """Gives the turn away between steps."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def on_train_begin(self, logs=None) -> None:
        self.turns = Turns(self.block)

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.turns.step()


def each_moved() -> list[layers.Layer]:
    most = work.PADDING / 28
    return [layers.RandomTranslation(most, most, fill_mode="constant", interpolation="nearest")]


def batch_cropped() -> list[layers.Layer]:
    return [layers.ZeroPadding2D(work.PADDING), Crop(28, 28)]


def network(data: work.Pictures, seed: int, moves: list[layers.Layer]) -> keras.Model:
    model = keras.Sequential([
        keras.Input((28, 28, 1)), *moves, layers.RandomFlip("horizontal"),
        layers.Normalization(mean=data.mean, variance=data.deviation**2),
        layers.Conv2D(6, 5, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(120, activation="relu"), layers.Dense(84, activation="relu"), layers.Dense(10),
    ])  # fmt: skip
    values = [p.detach().numpy() for p in work.network(seed).parameters()]
    first = values[4].reshape(120, 16, 5, 5).transpose(0, 2, 3, 1).reshape(120, 400)  # Keras flattens channels last
    weights = [values[0].transpose(2, 3, 1, 0), values[2].transpose(2, 3, 1, 0), first.T, values[6].T, values[8].T]
    for layer, weight, bias in zip((x for x in model.layers if x.trainable_weights), weights, values[1::2]):
        layer.set_weights([weight, bias])
    return model


def train(moves: list[layers.Layer]) -> None:
    task = work.task()
    data = work.pictures(task.batch * task.steps)
    model, watch = network(data, task.seed, moves), Watch(task.block)
    model.compile(
        keras.optimizers.SGD(work.LR, work.MOMENTUM, nesterov=True, weight_decay=work.DECAY),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"],
    )  # fmt: skip
    model.fit(data.x[..., None], data.y, task.batch, epochs=1, verbose=0, callbacks=[watch])
    answers = np.asarray(model.predict(data.test_x[..., None], batch_size=500, verbose=0)).argmax(1)
    watch.turns.finish(float((answers == data.test_y).mean()))


if __name__ == "__main__":
    train(each_moved())
