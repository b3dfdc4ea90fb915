"""Networks of timm from a local folder: the features are that library's own, nothing is fetched."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepen import registry
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.models.timm import Timm
from deepen.preprocess.image import Image
from deepen.signature import Signature


def pictures(side: int, channels: int = 3) -> Signature:
    return Signature({"image": Image(side, side, channels)}, {"label": Classes(("a", "b", "c"))})


@pytest.fixture(scope="module")
def timm() -> Any:
    """The torchvision that it imports has no compiled operators beside the CPU's torch; nothing here needs them."""
    missing = "torchvision._meta_registrations"
    sys.modules.setdefault(missing, types.ModuleType(missing))
    return pytest.importorskip("timm")


def saved(timm: Any, folder: Path, name: str = "resnet10t", **options: Any) -> Any:
    """A network of timm with random weights, as its save_for_hf leaves it."""
    torch.manual_seed(0)
    net = timm.create_model(name, pretrained=False, num_classes=5, **options).eval()
    save_file(net.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": name, "model_args": options}))
    return net


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [("resnet10t", {}), ("vit_tiny_patch16_224", {"img_size": 32})])
def test_features_are_the_librarys(timm, tmp_path, name, options):
    other = saved(timm, tmp_path, name, **options)
    net = Timm(pictures(32), str(tmp_path)).eval()
    image = torch.randn(2, 3, 32, 32)
    expected = other.forward_head(other.forward_features(image), pre_logits=True)
    torch.testing.assert_close(net.features(image), expected)
    assert net(image).shape == (2, 3)
    grey = Timm(pictures(32, 1), str(tmp_path)).eval()
    torch.testing.assert_close(grey.features(image[:, :1]), net.features(image[:, :1].expand(-1, 3, -1, -1)))


@pytest.mark.slow
def test_a_network_made_for_grey_pictures_sees_them_once(timm, tmp_path):
    other = saved(timm, tmp_path, in_chans=1)
    image = torch.randn(2, 1, 32, 32)
    expected = other.forward_head(other.forward_features(image), pre_logits=True)
    torch.testing.assert_close(Timm(pictures(32, 1), str(tmp_path)).eval().features(image), expected)


@pytest.mark.slow
def test_what_the_folder_lacks_is_told(timm, tmp_path):
    saved(timm, tmp_path)
    with pytest.raises(DeepenError, match=r"pictures of 32 x 32 with 2 channels"):
        Timm(pictures(32, 2), str(tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if k != "layer1.0.conv1.weight"}, tmp_path / "model.safetensors")
    with pytest.raises(DeepenError, match=r"layer1.0.conv1.weight is missing"):
        Timm(pictures(32), str(tmp_path))
    save_file({**tensors, "strange": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(DeepenError, match=r"strange has no place"):
        Timm(pictures(32), str(tmp_path))
    for name in ("no_such_net", "hf-hub:someone/something"):
        (tmp_path / "config.json").write_text(json.dumps({"architecture": name}))
        with pytest.raises(DeepenError, match=rf"architecture '{name}'. Expected a network timm knows"):
            Timm(pictures(32), str(tmp_path))


def test_only_folders_are_read_and_nothing_is_fetched(tmp_path):
    for place in ("timm/resnet50", str(tmp_path)):
        with pytest.raises(DeepenError, match=r"no config.json in .*Nothing is fetched"):
            Timm(pictures(32), place)
    (tmp_path / "model.safetensors").write_bytes(b"")
    for text, found in (("{", "Expecting"), ("[]", "no architecture"), ("{}", "no architecture")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(DeepenError, match=found):
            Timm(pictures(32), str(tmp_path))


def test_without_the_library_the_way_to_install_it_is_told(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"architecture": "resnet50"}')
    (tmp_path / "model.safetensors").write_text("")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DeepenError, match=r"timm: not installed.*pip install 'deepen\[timm\]'"):
        registry.build("models", {"name": "timm", "checkpoint": str(tmp_path)}, signature=pictures(32))
