# Two commands matter: `make book` builds the book, `make test` proves it. Both set everything up.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000

.PHONY: env book serve notebooks quick test bench clean

env: .venv/.ready  ## the project-local environment

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[book,train,test]' && touch $@

notebooks: env  ## notebooks/*.ipynb from book/*.md
	$(BIN)/python tools/build/build_notebooks.py

book: notebooks  ## _build/html
	$(BIN)/python tools/build/build_book.py

serve: book  ## read it at http://127.0.0.1:8000
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

quick: env  ## the core's tests in half a minute, without the book
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" tests/test_*.py tests/equations

test: book  ## lint, unit, notebook and browser tests
	$(BIN)/python tools/build/chromium.py && $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python tools/build/javascript.py
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not times" && $(BIN)/python -m pytest -m times

bench: env  ## speed against other libraries, into reports/
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]' && $(BIN)/python tools/bench/bench.py

clean:  ## everything that was built
	rm -rf .venv _build reports
