"""Predictions of a samples table of any length; the same command goes on after a stop. For several
GPUs or processes: torchrun --nproc-per-node=N -m emokit.inference …"""

import argparse

from emokit.inference.stream import predict_table
from emokit.models import load_emofan


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emokit.inference", description=__doc__)
    parser.add_argument("samples", help="a .csv or .parquet file with columns id and image")
    parser.add_argument("--weights", default="demo", help="of an EmoFAN: a file, demo, emonet-8 or emonet-5")
    parser.add_argument("--out", default="predictions.parquet", help="a folder that is read as one table")
    parser.add_argument("--chunk", type=int, default=2048, metavar="ROWS", help="of one file in it")
    parser.add_argument("--batch-size", type=int, help="faces read together; by default as memory allows")
    parser.add_argument("--workers", type=int, default=0, help="processes that open pictures beside the network")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed is faster on most GPUs")
    parser.add_argument("--flip", action="store_true", help="average valence and arousal over face and mirror image")
    parser.add_argument(
        "--on-error", choices=["raise", "skip"], default="raise", help="for pictures that cannot be read"
    )
    args = vars(parser.parse_args())
    samples, weights, out = (args.pop(name) for name in ("samples", "weights", "out"))
    predict_table(samples, load_emofan(weights), out, **args)


if __name__ == "__main__":
    main()
