"""The picture path: exact where it can be, against a simple reference where it cannot."""

from __future__ import annotations

import base64
import contextlib
import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from deepen.errors import Invalid
from deepen.preprocess.image import LARGEST, Image, flatten, header, open_picture
from tests import dirty


def decode(content: bytes, height: int, width: int, channels: int = 3, resize: str = "crop") -> np.ndarray:
    return Image(height, width, channels, resize).one(content)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation):
    image = dirty.picture(1, (24, 16))
    content = dirty.encoded(image, "PNG", exif=dirty.exif(orientation))
    upright = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(content))))
    assert header(content)[0] == upright.shape[:2]
    np.testing.assert_array_equal(decode(content, *upright.shape[:2]), upright)


def test_a_turned_jpeg_is_drafted_by_its_own_sides():
    content = dirty.encoded(dirty.picture(2, (640, 160)), "JPEG", exif=dirty.exif(6), quality=95)
    expected = ImageOps.exif_transpose(Pillow.open(io.BytesIO(content))).resize((40, 160), Pillow.Resampling.BOX)
    assert flatten(open_picture(content), (80, 320)).size == (80, 320)
    got = decode(content, 160, 40).astype(int)
    assert np.abs(got - np.asarray(expected, int)).mean() < 3


def test_a_jpeg_is_decoded_no_larger_than_its_frame():
    content = dirty.encoded(dirty.picture(2, (640, 160)), "JPEG", quality=95)
    drafted = Pillow.open(io.BytesIO(content))
    drafted.draft(None, (160, 40))
    assert drafted.size == (160, 40)
    np.testing.assert_array_equal(decode(content, 40, 160), np.asarray(drafted))
    larger = ImageOps.fit(Pillow.open(io.BytesIO(content)), (180, 45), Pillow.Resampling.BILINEAR)
    assert flatten(open_picture(content), (180, 45)).size == (320, 80)
    assert np.abs(decode(content, 45, 180).astype(int) - np.asarray(larger, int)).mean() < 3


def test_alpha_lies_on_white():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[0, 0, 3], rgba[0, 1, 3], rgba[1, 0, 3] = 255, 128, 51
    got = decode(dirty.encoded(Pillow.fromarray(rgba)), 2, 2)
    alpha = rgba[..., 3:] / 255
    np.testing.assert_allclose(got, rgba[..., :3] * alpha + 255 * (1 - alpha), atol=1)
    assert got[1, 1].tolist() == [255, 255, 255]


def test_a_clear_palette_entry_is_white():
    image = Pillow.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    got = decode(dirty.encoded(image, transparency=1), 1, 2)
    assert got[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_sixteen_bits_become_eight():
    values = np.array([[0, 128, 129, 257, 32896, 65279, 65535]], np.uint16)
    got = decode(dirty.encoded(Pillow.fromarray(values)), 1, 7, 1)
    assert got[0, :, 0].tolist() == [round(v / 257) for v in values[0].tolist()]


def test_cmyk_is_converted():
    image = Pillow.new("CMYK", (8, 8), (0, 255, 255, 0))  # red ink
    red = decode(dirty.encoded(image, "JPEG", quality=100), 8, 8)[4, 4]
    assert red[0] > 240
    assert red[1:].max() < 15


def test_grey_among_colour_is_grey_in_three_channels():
    got = decode(dirty.encoded(dirty.picture(3, (9, 9), "L")), 9, 9)
    assert (got[..., 0] == got[..., 1]).all()
    assert (got[..., 0] == got[..., 2]).all()


@pytest.mark.parametrize("content", [dirty.JPEG, dirty.PNG, dirty.WEBP])
def test_decoding_gives_the_same_each_time(content):
    first = decode(content, 33, 21)
    assert all((decode(content, 33, 21) == first).all() for _ in range(3))
    from_base64 = Image(33, 21, 3).parse(base64.b64encode(content).decode())
    np.testing.assert_array_equal(decode(from_base64, 33, 21), first)


def test_one_picture_is_encoded_as_many_are():
    contents = [*dirty.good_pictures().values()]
    encoder = Image(20, 20, 3)
    many = encoder.encode(contents)["image"]
    for row, content in enumerate(contents):
        np.testing.assert_array_equal(encoder.encode([content])["image"][0], many[row])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_middle_is_cut_out(height, width, times, more):
    """A picture `times` as large with `more` on both sides: the box averages of its middle part."""
    rng = np.random.default_rng(height * 100 + width)
    middle = rng.integers(0, 256, (height * times, width * times), dtype=np.uint8)
    picture = np.pad(middle, ((0, 0), (more, more)), constant_values=0)  # wider: cut left and right
    if picture.shape[1] * height < picture.shape[0] * width:
        return
    flat = np.repeat(np.repeat(rng.integers(0, 256, (height, width), dtype=np.uint8), times, 0), times, 1)
    picture[:, more : more + width * times] = (
        flat  # constant blocks: any sensible filter gives the block's value inside
    )
    got = decode(dirty.encoded(Pillow.fromarray(picture)), height, width, 1)
    assert got.shape == (height, width, 1)
    if times == 1:
        np.testing.assert_array_equal(got[..., 0], flat)


def test_a_gradient_is_cut_where_it_should_be():
    ramp = np.tile(np.linspace(0, 250, 251).astype(np.uint8), (50, 1))  # 50 high, 251 wide, value = x
    got = decode(dirty.encoded(Pillow.fromarray(ramp)), 25, 25, 1)[12, :, 0].astype(float)
    centres = (251 - 50) / 2 + (np.arange(25) + 0.5) * 2 - 0.5  # of the cut-out's pixels, in x
    np.testing.assert_allclose(got, centres, atol=1.0)
    stretched = decode(dirty.encoded(Pillow.fromarray(ramp)), 25, 25, 1, "stretch")[12, :, 0].astype(float)
    np.testing.assert_allclose(stretched, (np.arange(25) + 0.5) * 251 / 25 - 0.5, atol=1.5)


def test_a_bomb_is_refused_before_it_is_decoded():
    header_only = dirty.png(60_000, 60_000, 8, 2, zlib.compress(b"x"))
    with pytest.raises(Invalid, match="too many|far too many"):
        decode(header_only, 8, 8)
    side = int(LARGEST**0.5) + 1
    with pytest.raises(Invalid, match=f"{side} x {side} pixels are too many. Expected at most 50,000,000 pixels"):
        open_picture(dirty.png(side, side, 8, 0, zlib.compress(b"x")))


def test_a_text_chunk_that_inflates_is_refused():
    bloated = dirty.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20), 9))
    with pytest.raises(Invalid):
        decode(dirty.png(2, 2, 8, 0, zlib.compress(bytes(6)), bloated), 2, 2, 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("not base64!", "text that is not base64"),
        (7, "got a number"),
        (None, "got null"),
        ([[1, 2], [3]], "nested lists of unequal length"),
        ([[0, 256]], "not a picture"),
        ([[0.5]], "not a picture"),
        ([[float("nan")]], "not a picture"),
        ([], "not a picture"),
        ([1, 2, 3], "not a picture"),
        ([["a"]], "not a picture"),
    ],
)
def test_what_a_client_may_not_send(value, reason):
    with pytest.raises(Invalid) as problem:
        Image(4, 4, 3).parse(value)
    assert problem.value.reason == reason


def test_arrays_go_round_through_json():
    picture = np.asarray(dirty.picture(5, (6, 4)))
    encoder = Image(4, 6, 3)
    np.testing.assert_array_equal(encoder.one(encoder.parse(encoder.dump(picture))), picture)
    np.testing.assert_array_equal(encoder.one(encoder.parse(picture.tolist())), picture)


@given(st.binary(max_size=200), st.sampled_from([dirty.JPEG, dirty.PNG, dirty.WEBP]), st.integers(0, 2000))
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_is_a_picture_or_invalid(noise, content, at):
    """Never another exception, whatever the bytes."""
    at %= len(content)
    with contextlib.suppress(Invalid):
        decode(content[:at] + noise + content[at + len(noise) :], 8, 8)


def test_size_and_colour_come_from_the_pictures():
    small = [dirty.encoded(dirty.picture(i, (28, 28), "L")) for i in range(3)]
    assert (Image.fit(small).height, Image.fit(small).width, Image.fit(small).channels) == (28, 28, 1)
    mixed = [*small, dirty.encoded(dirty.picture(9, (30, 28)))]
    assert (Image.fit(mixed).height, Image.fit(mixed).channels) == (96, 3)
    assert Image.fit(mixed, size=40).width == 40
    with pytest.raises(Invalid, match="no readable picture"):
        Image.fit([b"text"])
