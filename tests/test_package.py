"""The package as its users get it: a light import, a wheel, environments in step."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_importing_emokit_is_light():
    heavy = "{'torch', 'pandas', 'matplotlib', 'cv2', 'skimage', 'IPython'}"
    code = f"import sys, emokit; print(sorted({heavy} & set(sys.modules))); emokit.data.crop_face"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_unknown_attributes_are_named():
    import emokit

    with pytest.raises(AttributeError, match="nothing_there"):
        _ = emokit.nothing_there
    assert {"data", "evaluation", "inference", "models", "plots", "training"} <= set(dir(emokit))


def test_the_conda_environment_is_in_step():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    listed = {line.replace("pytorch", "torch") for line in [*conda, *pip["pip"]]} - {"pip", "-e ."}
    project = PYPROJECT["project"]
    assert listed == {*project["dependencies"], "python" + project["requires-python"]}


def test_every_dependency_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().lower().split()
    pins = dict(line.split("==") for line in lines if "==" in line)
    names = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["dev"]]
    assert {name.split(">")[0] for name in names} <= set(pins)
    assert pins["torch"] == "2.13.0"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Python of a new environment that has emokit's wheel, and this one's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    run = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(run, check=True)
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    )
    wheel = next(folder.glob("emokit-*.whl"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, site.stdout.strip()], check=True)
    # On PYTHONPATH, .pth files are not read: the checkout's editable emokit stays out of sight.
    environment = os.environ | {"PYTHONPATH": sysconfig.get_paths()["purelib"], "XDG_CACHE_HOME": str(folder / "cache")}
    return lambda code: subprocess.run(
        [python, "-W", "error::ImportWarning", "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_wheel_works_outside_the_repository(installed):
    code = """
import emokit, pathlib
assert 'wheel' in emokit.__file__, emokit.__file__
faces = emokit.data.sample_faces().head(4)
assert 'cache' in faces.image[0], faces.image[0]
model = emokit.models.load_emofan('demo')
print(len(emokit.inference.predict(faces, model)), len(emokit.evaluation.published()))
"""
    result = installed(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "4 254"
