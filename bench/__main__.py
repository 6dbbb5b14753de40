"""``python -m bench``: measure, and write results.json and README.md into bench/ as they come."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from bench.machine import load, machine
from bench.page import page
from bench.steps import FULL, QUICK, Size, steps
from emokit.whole import whole


def run(size: Size, out: Path, quick: bool = False) -> dict[str, Any]:
    """Measure every step that an unfinished run on the same machine has left; write after each."""
    path = out / "results.json"
    results = {"machine": machine(), "quick": quick, "load": load(), "finished": False, "steps": {}}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        same = all(before[name] == results[name] for name in ("machine", "quick", "finished"))
        results = before if same else results
    with tqdm(list(steps(size)), "bench", leave=False) as bar:
        for name, measure in bar:
            bar.set_postfix_str(name)
            if name not in results["steps"]:
                start = time.perf_counter()
                results["steps"][name] = measure() | {"took": round(time.perf_counter() - start, 1)}
                _write(results, out)
    results["finished"] = True
    _write(results, out)
    return results


def _write(results: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("results.json", json.dumps(results, indent=1) + "\n"), ("README.md", page(results))):
        with whole(out / name) as beside:
            beside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds and small batches: two minutes, into out/bench"
    )
    parser.add_argument("--out", type=Path, help="another folder for the results")
    given = parser.parse_args()
    out = given.out or (Path("out/bench") if given.quick else Path(__file__).parent)
    run(QUICK if given.quick else FULL, out, given.quick)
    print((out / "README.md").read_text(encoding="utf-8"))
