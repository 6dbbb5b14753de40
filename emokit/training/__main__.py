"""One run of a recipe, alone or under torchrun; the paper's ablation; cross-validation by person; speed."""

import argparse
import json

import yaml

from emokit.models import load_emofan, load_resnet18
from emokit.training.ablation import ablation
from emokit.training.config import RECIPES, read_config
from emokit.training.folds import cross_validate
from emokit.training.run import evaluate, fit, read
from emokit.training.speed import epoch_speed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emokit.training", description=__doc__)
    parser.add_argument("recipe", help=f"a YAML file, or one of {', '.join(RECIPES)}")
    parser.add_argument("changes", nargs="*", metavar="name=value", help="such as epochs=3 or train.options.n=64")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--ablation", action="store_true", help="train every row of Tables 5 and 6")
    kind.add_argument("--folds", type=int, metavar="K", help="K-fold cross-validation by person (5 in the paper)")
    kind.add_argument("--evaluate", metavar="WEIGHTS", help="measure a network on the recipe's validation faces")
    kind.add_argument("--speed", action="store_true", help="time an epoch against the same network trained naively")
    parser.add_argument("--seeds", type=int, nargs="+", default=[], help="of the ablation, instead of seed=…")
    args = parser.parse_intermixed_args()
    if args.seeds and not args.ablation:
        parser.error("--seeds belongs to --ablation; one run has seed=…")
    changes = {}
    for pair in args.changes:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"{pair!r} is no name=value")
        changes[name] = yaml.safe_load(value)
    config = read_config(args.recipe, **changes)
    if args.ablation:
        wide = ablation(config, args.seeds).pivot_table(
            "value", ["table", "data", "system", "setting"], ["target", "metric"], sort=False
        )
        print(wide.round(2).to_string(), f"\nevery figure of every seed: {config.out / 'ablation.csv'}", sep="\n")
    elif args.folds:
        print(cross_validate(config, read(config.train), args.folds).round(3).to_string())
    elif args.evaluate:
        load = load_resnet18 if config.network == "resnet18" else load_emofan
        print(json.dumps(evaluate(load(args.evaluate), read(config.validation)), indent=2))
    elif args.speed:
        print(epoch_speed(config, read(config.train)).round(2).to_string())
    else:
        print(json.dumps(fit(config), indent=2))


if __name__ == "__main__":
    main()
