"""The results as Markdown."""

from __future__ import annotations

from typing import Any

_TITLE = """# How fast

Written by `python -m bench`. Ways take turns in every round; seconds and ratios are medians over rounds, and a ratio
is the plain network's seconds over a way's, within a round (quartiles in brackets).

- **plain**: float32, contiguous, without autograd, as public code runs the network.
- **default**: what `emokit.inference.prepare` gives, and `predict` uses.
- **channels last**: the same without Winograd's convolutions and without parts that fit the cache.
- **bfloat16**: `prepare(model, precision="bfloat16")`. **compiled**: `prepare(model, compile=True)`, on
  a processor of the demo network only: the full-size one had not compiled in eight minutes on two cores.
- **ONNX file**: `export_onnx`, then `load_onnx`, run by OpenVINO.

GFLOP/s count a face's operations as plain convolutions do, so that Winograd's may pass what the matrix product
reaches. Drift, in columns valence, arousal and largest, is the absolute difference from the plain network on
rendered faces: 32 of them, or those that the step times.
"""


def page(results: dict[str, Any]) -> str:
    """Markdown of what ``results`` hold so far."""
    parts = [_TITLE]
    if results["quick"]:
        parts.append("**A quick run: few rounds, rough figures.**\n")
    if not results["finished"]:
        parts.append("**Not finished yet.**\n")
    about = results["machine"] | {"load before the first step": results["load"]}
    parts.append(
        "## Machine\n\n" + "\n".join(f"- {k}: {_shown(k, v)}" for k, v in about.items() if v is not None) + "\n"
    )
    for name, step in results["steps"].items():
        parts.append(f"## {name[0].upper()}{name[1:]}\n")
        about = "; ".join(f"{k}: {_shown(k, v)}" for k, v in step.items() if k not in ("rows", "skipped", "took"))
        if about:
            parts.append(f"{about}.\n")
        parts.append(f"Left out: {step['skipped']}.\n" if "skipped" in step else _table(step["rows"]))
    return "\n".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    rows = [{k: v for k, v in _with_range(row).items()} for row in rows]
    names = list(rows[0])
    lines = [names, [":--"] + ["--:"] * (len(names) - 1), *([_shown(k, row[k]) for k in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _with_range(row: dict[str, Any]) -> dict[str, Any]:
    """The quartiles in the ratio's cell."""
    row = dict(row)
    low, high = row.pop("low", None), row.pop("high", None)
    if low is not None and row["way"] != "plain":
        row["ratio"] = f"{row['ratio']:.2f} ({low:.2f}–{high:.2f})"
    return row


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if name in ("valence", "arousal", "largest"):
        return f"{value:.1e}"
    if name in ("same expression", "outside the network", "of the product"):
        return f"{100 * value:.0f} %"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
