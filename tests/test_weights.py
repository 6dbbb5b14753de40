import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file

from emokit.models import (
    EmoFAN,
    ResNet18,
    WeightsError,
    load_emofan,
    load_resnet18,
    save_emofan,
    save_resnet18,
    weights,
)

SMALL = {"width": 16, "depth": 3, "input_size": 64}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return EmoFAN(**SMALL).eval()


@pytest.fixture
def server():
    """A web server on this machine: path -> (status, body, announced length)."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, length = pages.get(self.path, (404, b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/", pages
        httpd.shutdown()


@pytest.fixture
def published(model, tmp_path, server, monkeypatch):
    """A small network published as 'emonet-8', in the state that torch.save gives it."""
    file = tmp_path / "published.pth"
    torch.save({f"module.{k}": v for k, v in EmoFAN(width=16).state_dict().items()}, file)
    body = file.read_bytes()
    url, pages = server
    pages["/emonet_8.pth"] = (200, body, len(body))
    monkeypatch.setitem(weights.PUBLISHED, "emonet-8", ("emonet_8.pth", hashlib.sha256(body).hexdigest()))
    monkeypatch.delenv(weights.LICENCE_VARIABLE, raising=False)
    return {"name_or_path": "emonet-8", "base_url": url, "cache": tmp_path / "cache"}, pages, body


def test_downloads_once_when_the_licence_is_accepted(published, capsys):
    arguments, pages, _ = published
    with pytest.raises(WeightsError, match="CC BY-NC-ND 4.0.*accept_licence=True"):
        load_emofan(**arguments)
    assert load_emofan(**arguments, accept_licence=True).width == 16
    assert "CC BY-NC-ND 4.0" in capsys.readouterr().out
    pages.clear()
    load_emofan(**arguments)  # accepted once, from the cache
    assert "CC BY-NC-ND 4.0" in capsys.readouterr().out


def test_the_environment_accepts_the_licence(published, monkeypatch):
    arguments, _, _ = published
    monkeypatch.setenv(weights.LICENCE_VARIABLE, "1")
    assert not load_emofan(**arguments).training


def test_a_damaged_cache_is_downloaded_again(published):
    arguments, _, body = published
    cached = arguments["cache"] / "emonet_8.pth"
    cached.parent.mkdir()
    cached.write_bytes(body[:1000])
    load_emofan(**arguments, accept_licence=True)
    assert cached.read_bytes() == body


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (lambda body: (200, body[:5000], len(body)), "could not download"),  # the connection breaks
        (lambda body: (200, body[:5000], 5000), "sha256 differs"),  # a proxy cuts it
        (lambda body: (200, body[:-1] + b"x", len(body)), "sha256 differs"),
        (lambda body: (404, b"", 0), "404"),
    ],
)
def test_a_bad_download_is_named_and_leaves_nothing(published, page, message):
    arguments, pages, body = published
    pages["/emonet_8.pth"] = page(body)
    with pytest.raises(WeightsError, match=message):
        load_emofan(**arguments, accept_licence=True)
    assert not list(arguments["cache"].glob("*"))


def test_no_network_is_named(published):
    arguments, _, _ = published
    arguments["base_url"] = "http://127.0.0.1:9/"
    with pytest.raises(WeightsError, match="check the network.*put it at"):
        load_emofan(**arguments, accept_licence=True)


@pytest.mark.parametrize("half", [False, True])
def test_saved_networks_come_back(model, tmp_path, half):
    path = tmp_path / "model.safetensors"
    save_emofan(model, path, half=half)
    loaded = load_emofan(path)
    assert loaded.config == model.config
    image = torch.rand(1, 3, 64, 64)
    for a, b in zip(loaded(image), model(image), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=5e-3 if half else 0)


def test_a_bare_state_dict_tells_its_own_shape(tmp_path):
    path = tmp_path / "model.pth"
    wide = EmoFAN(n_expressions=5, attention=False, width=16, depth=3)
    torch.save({"state_dict": wide.state_dict()}, path)
    assert load_emofan(path).config == wide.config
    assert load_emofan(path, n_expressions=5).expressions[4] == "anger"
    with pytest.raises(WeightsError, match="5 expression classes, not 8"):
        load_emofan(path, n_expressions=8)


def test_tensors_that_do_not_fit_are_named(model, tmp_path):
    path = tmp_path / "model.pth"

    def load_changed(change):
        state = EmoFAN(width=16).state_dict()
        change(state)
        torch.save(state, path)
        load_emofan(path)

    with pytest.raises(WeightsError, match=r"1 tensors missing \(bn1.weight\)"):
        load_changed(lambda s: s.pop("bn1.weight"))
    with pytest.raises(WeightsError, match=r"misshapen \(bn1.weight is \(7,\), not \(4,\)\)"):
        load_changed(lambda s: s.update({"bn1.weight": torch.ones(7)}))
    with pytest.raises(WeightsError, match=r"unknown \(extra\)"):
        load_changed(lambda s: s.update(extra=torch.ones(1)))
    with pytest.raises(WeightsError, match="not an EmoFAN checkpoint: it lacks 'l1.weight'"):
        load_changed(lambda s: s.pop("l1.weight"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n" * 50, b"PK\x03\x04" + b"\0" * 99]
)
def test_files_that_are_no_weights_are_named(tmp_path, suffix, content):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"model{suffix} .*give a .safetensors file"):
        load_emofan(path)


def test_weights_of_something_else_are_named(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="no state dict of tensors"):
        load_emofan(tmp_path / "list.pth")
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors", metadata={"config": '{"width": 7}'})
    with pytest.raises(WeightsError, match="multiple of 16"):
        load_emofan(tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="'demo', 'emonet-8', 'emonet-5'"):
        load_emofan("emonet-9")
    with pytest.raises(WeightsError, match="no weights at"):
        load_emofan(tmp_path)


class Malicious:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_malicious_pickle_does_not_run(tmp_path):
    victim, path = tmp_path / "ran", tmp_path / "model.pth"
    torch.save({"state_dict": Malicious(victim)}, path)
    with pytest.raises(WeightsError, match="was not run"):
        load_emofan(path)
    assert not victim.exists()
    torch.load(path, weights_only=False)
    assert victim.exists()  # the attack is a real one


def test_resnet_weights_go_round_and_others_are_named(tmp_path):
    torch.manual_seed(0)
    model, path = ResNet18(n_expressions=5, width=16).eval(), tmp_path / "model.pth"
    torch.save(model.state_dict(), path)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(load_resnet18(path)(images)[1:], model(images)[1:])
    model.input_size = 96
    save_resnet18(model, path.with_suffix(".safetensors"))
    again = load_resnet18(path.with_suffix(".safetensors"))
    assert again.config == {"n_expressions": 5, "width": 16, "input_size": 96}
    torch.testing.assert_close(again(images)[1:], model(images)[1:])
    torch.save({k: v for k, v in model.state_dict().items() if "layer4" not in k}, path)
    with pytest.raises(WeightsError, match=r"model.pth does not fit ResNet18: 30 tensors missing \(layer4"):
        load_resnet18(path)
    torch.save(EmoFAN(width=16).state_dict(), path)
    with pytest.raises(WeightsError, match="model.pth is not a ResNet-18 of emokit"):
        load_resnet18(path)
    with pytest.raises(WeightsError, match="no weights at .*nowhere.pth"):
        load_resnet18(tmp_path / "nowhere.pth")
