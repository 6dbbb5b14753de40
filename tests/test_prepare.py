import copy
import sys
import warnings

import numpy as np
import pandas as pd
import parity_fill
import pytest
import torch
from test_shipped_data import DATA

from emokit.data import sample_faces
from emokit.inference import drift, predict, predict_video, prepare
from emokit.inference.prepare import has_bfloat16
from emokit.models import EmoFAN, ResNet18
from emokit.models.cores import share
from emokit.models.lean import lean, with_winograd

preparing = sys.modules["emokit.inference.prepare"]  # the package's attribute is the function
CALL = DATA / "clip" / "call.mp4"


def filled(model):
    """``model`` with weights and statistics that leave no branch idle."""
    return parity_fill.fill(model)


def small(**options):
    return filled(EmoFAN(**{"width": 32, "depth": 2, "input_size": 64} | options))


@pytest.fixture
def images():
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def assert_equal(found, expected, atol=1e-5):
    for name, tensor in expected._asdict().items():
        if tensor is None:
            assert getattr(found, name) is None
        else:
            torch.testing.assert_close(getattr(found, name), tensor, atol=atol, rtol=1e-4)


@pytest.mark.parametrize(
    "make", [small, lambda: small(attention=False, n_expressions=5), lambda: filled(ResNet18(width=16, input_size=64))]
)
def test_outputs_stay_those_of_the_network(make, images):
    model = make().eval()
    before = copy.deepcopy(model.state_dict())
    prepared = prepare(model)
    with torch.no_grad():
        expected = model(images)
    assert_equal(prepared(images), expected)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert prepared.expressions == model.expressions and prepared.input_size == model.input_size


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_wide_networks_go_by_winograd_and_stay_equal(threads):
    model = filled(EmoFAN(width=128, depth=1, input_size=128))
    images = parity_fill.images(4, 128)
    prepared = prepare(model)
    prepared.faces_at_once = 1
    assert any("Winograd" in type(m).__name__ for m in prepared.crowd.modules())
    assert not any("Winograd" in type(m).__name__ for m in prepared.network.modules())
    used = []
    for name in ("network", "crowd"):
        module = getattr(prepared, name)
        module.conv1.register_forward_hook(lambda *_, name=name: used.append(name))
    with torch.no_grad():
        expected = model(images)
    assert_equal(prepared(images), expected, atol=1e-4)
    assert used == ["crowd"] * 4  # a face for every core
    found = prepared(images[:2])
    assert_equal(found, type(expected)(*(None if t is None else t[:2] for t in expected)), atol=1e-4)
    assert used[4:] == ["crowd" if threads == 1 else "network"] * 2


def test_winograd_itself_is_exact_enough(threads):
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(48, 32, 3, padding=1).requires_grad_(False)
    quick = with_winograd(lean(plain))
    for shape in ((1, 48, 32, 48), (3, 48, 64, 32), (1, 48, 100, 40), (2, 48, 8, 8)):
        x = torch.randn(shape)
        (found,) = share(quick, [x], threads)
        torch.testing.assert_close(found, plain(x), atol=1e-4, rtol=0)
    assert torch.get_num_threads() == threads


def test_batches_of_any_length_are_joined():
    model = small()
    prepared = prepare(model)
    prepared.faces_at_once = 2
    images = parity_fill.images(5, 64)
    with torch.no_grad():
        assert_equal(prepared(images), model(images))
        features, expected = prepared.features(images), model.features(images)
    for found, known in zip(features.heatmaps, expected.heatmaps, strict=True):
        torch.testing.assert_close(found, known, atol=1e-5, rtol=1e-4)
    assert not hasattr(prepare(ResNet18(width=16)), "features")


def test_bigger_maps_mean_fewer_faces_at_once():
    sizes = [
        prepare(EmoFAN(width=w, depth=1, input_size=s)).faces_at_once for w, s in ((16, 64), (16, 256), (256, 256))
    ]
    assert sizes[0] > sizes[1] > sizes[2] == 1


def test_drift_is_nothing_in_float32_and_small_in_bfloat16(images):
    model = small()
    table = drift(model, {"float32": prepare(model), "bfloat16": prepare(model, precision="bfloat16")}, images)
    assert (table.loc["float32", ["valence", "arousal", "largest"]] < 1e-5).all()
    assert table.loc["float32", "same expression"] == 1
    assert table.loc["bfloat16", "largest"] < 0.05
    if has_bfloat16():
        assert table.loc["bfloat16", "largest"] > 1e-5


def test_bfloat16_falls_back_where_the_processor_lacks_it(images, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    model = small()
    with pytest.warns(UserWarning, match="float32 is used"):
        prepared = prepare(model, precision="bfloat16")
    with torch.no_grad():
        assert_equal(prepared(images), model(images))


def test_compile_falls_back_where_no_compiler_exists(images, monkeypatch):
    def fail(graph, inputs, **options):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda call, **_: real(call, backend=fail))
    model = small()
    prepared = prepare(model, compile=True)
    with torch.no_grad(), pytest.warns(UserWarning, match="left out"):
        assert_equal(prepared(images), model(images))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared(images)


real = torch.compile


def test_precisions_are_named():
    with pytest.raises(ValueError, match="bfloat16"):
        prepare(small(), precision="float16")


def test_predict_takes_what_prepare_gives():
    faces = sample_faces().head(4)
    model = small()
    expected = predict(faces, model)
    for precision, atol in (("float32", 1e-5), ("bfloat16", 0.05)):
        found = predict(faces, prepare(model, precision=precision))
        np.testing.assert_allclose(found["valence"], expected["valence"], atol=atol)
    pd.testing.assert_series_equal(found["id"], expected["id"])


def test_a_prepared_network_stays_as_it_is_after_every_use(images, tmp_path):
    prepared, network = prepare(small()), small().train()
    network.l1.eval()
    before = prepared(images)
    for model in (prepared, network):
        predict(sample_faces().head(2), model)
        predict_video(CALL, model, tmp_path / f"{type(model).__name__}.parquet", limit=8, progress=False)
    drift(network, {"prepared": prepared.train()}, images)
    assert_equal(prepared(images), before, atol=0)
    assert not any(module.training for module in prepared.modules())
    assert network.training and network.bn1.training and not network.l1.training


def test_batches_are_as_long_as_the_device_can_hold(monkeypatch):
    def together(device, **options):
        return preparing._sizes(EmoFAN(depth=1, **options), torch.device(device))[1]

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (4 * 2**30, None))
    small, wide = {"width": 16, "input_size": 64}, {"width": 256, "input_size": 256}
    assert together("cpu", **small) == 32 and together("cpu", **wide) == min(32, 4 * torch.get_num_threads())
    assert together("cuda", **small) == 256 and 8 < together("cuda", **wide) < 32
    assert prepare(EmoFAN(depth=1, **small)).batch_size == 32


def test_predict_takes_batches_of_that_length_and_its_answer_does_not_change(monkeypatch):
    faces, model, lengths = sample_faces().head(7), prepare(small()), []
    expected = predict(faces, model, batch_size=7)
    monkeypatch.setattr(model, "batch_size", 3)
    monkeypatch.setattr(model, "network", Watched(model.network, lengths))
    found = predict(faces, model)
    assert lengths == [3, 3, 1]
    np.testing.assert_allclose(found["valence"], expected["valence"], atol=1e-6)
    with pytest.raises(ValueError, match="batch_size is at least 1, and whole; got 2.5"):
        predict(faces, model, batch_size=2.5)


class Watched(torch.nn.Module):
    """A network that notes how many faces come at once."""

    def __init__(self, network, lengths):
        super().__init__()
        self.network, self.lengths = network, lengths
        self.expressions, self.input_size = network.expressions, network.input_size

    def forward(self, images):
        self.lengths.append(len(images))
        return self.network(images)


def test_what_cannot_be_prepared_is_named():
    with pytest.raises(ValueError, match="prepare takes the network itself"):
        prepare(prepare(small()))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="there is no cuda: this machine has no GPU.*pass 'cpu'"):
            prepare(small(), "cuda")


def test_prepared_networks_are_copied_with_their_methods(images):
    prepared = prepare(small())
    again = copy.deepcopy(prepared)
    prepared.network.l1.bias.add_(1)
    assert not torch.equal(again.features(images).heatmaps[1], prepared.features(images).heatmaps[1])
