# `make lab`, `make tour` and `make test` each prepare .venv first; nothing else is needed than Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: lab tour test demo
lab: .venv/kit
	$(BIN)/jupyter lab notebooks/00_tour.ipynb

tour: .venv/kit
	mkdir -p out
	$(BIN)/jupyter nbconvert --execute --to html notebooks/00_tour.ipynb --output-dir out --output 00_tour

test: .venv/dev
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax tests notebooks

# Train both stages on rendered faces (about half an hour on two cores); see the recipe's own words.
demo: .venv/kit
	$(BIN)/python -m emokit.training demo

.venv/kit: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/dev: .venv/kit
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@
