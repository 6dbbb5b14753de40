"""ONNX files, in a process of their own: OpenVINO and PyTorch's bfloat16 in one process have ended it at times."""

import subprocess
import sys
from pathlib import Path


def test_onnx_files():
    checks = Path(__file__).with_name("onnx_checks.py")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", checks]
    result = subprocess.run(run, cwd=checks.parents[1], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
