"""How fast the kit is here, as ratios from one run: ``python -m bench``."""
