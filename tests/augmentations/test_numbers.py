"""What is drawn for every number of an item from the item's key: noise, scaling, hidden words."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from deepen.augmentations import keys, normals, numbers
from deepen.augmentations.noise import Noise
from deepen.augmentations.scaling import Scaling
from deepen.augmentations.word_dropout import WordDropout
from deepen.content.given import Rules
from deepen.data.augment import Augment
from deepen.errors import DeepenError
from deepen.preprocess.array import Array
from deepen.preprocess.audio import OUTSIDE, Audio
from deepen.preprocess.row import Row
from deepen.preprocess.series import Series
from deepen.preprocess.text import Text
from deepen.signature import Signature
from tests.augmentations.batches import generator

SPLITMIX = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821)


def test_numbers_are_those_of_splitmix64():
    found = numbers(torch.tensor([1234567, -5]), 5)
    assert found[0].tolist() == [(number >> 40) / 2**24 for number in SPLITMIX]
    assert found[1].tolist() == [(z >> 40) / 2**24 for z in python_splitmix(2**64 - 5, 5)]


def python_splitmix(seed: int, count: int) -> list[int]:
    found = []
    for i in range(1, count + 1):
        z = (seed + i * 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        found.append(z ^ (z >> 31))
    return found


def test_normals_are_normal_and_independent_within_and_between_items():
    found = normals(keys(50, generator())[0], 1001)
    assert found.shape == (50, 1001)
    assert stats.kstest(found.flatten().numpy(), "norm").pvalue > 0.01
    bound = 4 / found.numel() ** 0.5
    for other in (found.roll(1, 0), found.roll(1, 1), found.roll(501, 1)):
        assert abs(float((found * other).mean())) < bound


def test_an_items_noise_depends_on_its_key_alone():
    key = keys(9, generator())[0]
    assert torch.equal(normals(key, 7)[3:5], normals(key[3:5], 7))
    assert torch.equal(numbers(key, 4), numbers(key, 9)[:, :4])
    assert torch.equal(normals(key, 5), normals(key, 9)[:, :5]), "and on its place, whatever comes behind"


def test_noise_is_added_with_the_deviation_asked_for():
    items = torch.randn(40, 3, 8, 8, generator=generator())
    step = Noise(0.3)
    added = step.apply(items, step.draw(40, generator())) - items
    assert float(added.std()) == pytest.approx(0.3, rel=0.03)
    assert abs(float(added.mean())) < 0.01


def test_scaling_multiplies_a_channel_by_one_number():
    items = torch.rand(400, 3, 20, generator=generator()) + 1
    step = Scaling(Signature({"array": Array((3, 20))}, {}), 0.2)
    factor = step.apply(items, step.draw(400, generator())) / items
    torch.testing.assert_close(factor, factor[:, :, :1].expand_as(factor))
    assert float(factor.mean()) == pytest.approx(1, abs=0.02)
    assert float(factor[:, :, 0].std()) == pytest.approx(0.2, rel=0.1)
    assert not torch.allclose(factor[:, 0], factor[:, 1])
    vectors = items[:, :, 0]
    factor = step.apply(vectors, step.draw(400, generator())) / vectors
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))


def test_words_are_hidden_but_not_marks_nor_what_fills_up():
    words = ("[CLS]", "[SEP]", "[UNK]", *map(str, range(50)))
    text = Text(words, pieces="wordpiece")
    step = WordDropout(Signature({"text": text}, {}), 0.3)
    tokens = torch.randint(5, 55, (200, 30), generator=generator())
    tokens[:, 0], tokens[:, 20], tokens[:, 21:] = 2, 3, 0
    drawn = step.draw(200, generator())
    found = step.apply(tokens, drawn)
    hidden = found != tokens
    assert (found[hidden] == text.unknown).all()
    assert text.unknown == 4
    assert not hidden[:, [0, *range(20, 30)]].any()
    assert float(hidden[:, 1:20].float().mean()) == pytest.approx(0.3, abs=0.03)
    assert torch.equal(step.apply(tokens[:, :25], drawn), found[:, :25]), "however long its neighbours are"
    plain = WordDropout(Signature({"text": Text(("a", "b", "c", "d"))}, {}), 0.3)
    assert {*plain.apply(tokens.clamp(max=5), drawn)[:, 1:20].flatten().tolist()} == {1, 5}
    rules = Rules(before=(2,), after=(3,), unknown=4, scores=(0.0,) * len(words))  # as of another tokenizer's names
    given = Text(("<s>", "</s>", "<unk>", *words[3:]), pieces="unigram", rules=rules)
    assert torch.equal(WordDropout(Signature({"text": given}, {}), 0.3).apply(tokens, drawn), found)


SERIES = Signature({"series": Series(("a", "b"), 12, (0.0, 0.1), (1.0, 2.0))}, {})
SOUND = Signature({"sound": Audio(8000, 12, 4)}, {})


def sounds(lengths: list[int]) -> torch.Tensor:
    """(n, longest, 4), filled up behind their ends."""
    loud = torch.randn(len(lengths), max(lengths), 4, generator=generator())
    there = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.where(there[..., None], loud, OUTSIDE)


@pytest.mark.parametrize("name", ["noise", "jitter", "scaling"])
def test_sounds_are_changed_one_by_one_and_what_fills_up_is_not(name):
    """A sound alone, without what fills it up to its neighbours, becomes what it becomes among them."""
    lengths = [5, 9, 1, 7]
    augment, batch = Augment(({"name": name, "sd": 0.3},), SOUND), sounds(lengths)
    drawn = augment.draw(4, generator())
    (found,) = augment.scaled([batch], drawn)
    for i, length in enumerate(lengths):
        (alone,) = augment.scaled([batch[i : i + 1, :length]], drawn, slice(i, i + 1))
        torch.testing.assert_close(found[i : i + 1, :length], alone)
        assert (found[i, length:] == OUTSIDE).all()
        assert not torch.equal(alone, batch[i : i + 1, :length])
    factor = found[1] / batch[1]
    assert torch.allclose(factor, factor[:1, :1]) == (name == "scaling")


def test_series_are_changed_as_each_alone():
    batch = torch.randn(3, 2, 12, generator=generator())
    drawn = {"key": keys(3, generator())}
    (noisy,) = Augment(({"name": "noise", "sd": 0.5},), SERIES).scaled([batch], [drawn])
    (scaled,) = Augment(({"name": "scaling", "sd": 0.5},), SERIES).scaled([batch], [drawn])
    for i, key in enumerate(drawn["key"][0]):
        alone = normals(key[None], 24).view(2, 12)
        torch.testing.assert_close(noisy[i], batch[i] + 0.5 * alone)
        factors = normals(key[None], 2)[0]
        for channel in range(2):
            torch.testing.assert_close(scaled[i, channel], batch[i, channel] * (1 + 0.5 * factors[channel]))


def test_a_table_is_not_made_stronger_nor_a_text_louder():
    row, text = Signature({"row": Row(("x", "y"))}, {}), Signature({"text": Text(("a", "b"))}, {})
    with pytest.raises(
        DeepenError, match=r"scaling cannot change rows of .*array or series or audio.* there is .*noise"
    ):
        Augment(({"name": "scaling"},), row)
    with pytest.raises(DeepenError, match=r"noise cannot change .*series or audio"):
        Augment(({"name": "noise"},), text)
