"""A folder of sounds, one folder per class: sounds/dog/1.wav, or sounds/train/dog/1.wav beside sounds/test/."""

from __future__ import annotations

import re

from deepen.data.folders import Sort, read
from deepen.data.items import Items
from deepen.preprocess.audio import ENDINGS
from deepen.schema import Count, Positive

OTHER = frozenset({".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".au", ".amr", ".webm"})
SOUNDS = Sort(
    "sound",
    ENDINGS,
    re.compile(rb"RIFF....WAVE", re.DOTALL),
    OTHER,
    "convert it to WAV",
    "a folder per class with .wav in it",
    "sounds/dog/1.wav, sounds/bell/2.wav, ...",
)


class Audio:
    """Class names are the folders' names; sounds under `unlabeled/` and in no folder have none; hidden files are passed over.

    A split can go by the columns `folder` (the innermost) and `series` (a file's name without the number at its end).

    rate     samples a second that are listened to; none: the commonest, 16,000 at most
    seconds  of each sound that are heard, from its beginning; none: what holds 99 of 100 to their end
    pitches  bands of frequencies that are told apart
    """

    def __init__(
        self, path: str, rate: Count | None = None, seconds: Positive | None = None, pitches: Count = 40
    ) -> None:
        self.path = path
        self.options = {"rate": rate, "seconds": seconds, "pitches": pitches}

    def read(self) -> Items:
        return read(self.path, SOUNDS, "sound", ("audio", self.options))
