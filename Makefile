# make demo · make test · make test-long · make check · make bench-<name> · make notebooks · make package · make package-env · make clean
# Each sets up what is missing, once: Java, a virtual environment with the pinned packages, Delta's jars.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export PYTHONHASHSEED := 0
# This checkout's code runs, also where VENV is shared by several checkouts.
export PYTHONPATH := $(CURDIR)/lib

.PHONY: demo test test-long check notebooks package package-env clean java

demo: $(INSTALLED)
	$(PYTHON) -m nightrank demo --config conf/demo.yaml

# Two workers, each with a Spark of its own: one small night keeps little more than one core at work. The small shop and
# its lake are made once, by whichever needs it first.
PYTEST = rm -rf $(NIGHTRANK_TEST_WORLD) && $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder
test test-long: export NIGHTRANK_TEST_WORLD := build/test_world
test: $(INSTALLED)
	$(PYTEST) -m "not long" tests

# Some minutes each, or what a quick test has a smaller form of: the README's spark-submit lines in a clean shell, the
# night by its four jobs, two executors one of which is killed, full disks, kills at random times, ten thousand odd lines
# a convention, a whole night in a process of its own whose every word is searched for names.
test-long: $(INSTALLED)
	$(PYTEST) -m long tests

check: $(INSTALLED)
	$(PYTHON) -m ruff check lib jobs tests notebooks
	$(PYTHON) -m ruff format --check lib jobs tests notebooks
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports

# Runs the notebooks on the lake that `make demo` left, and writes them with what they show.
notebooks: $(INSTALLED)
	$(PYTHON) tests/notebook_runs.py

bench-%: $(INSTALLED)
	$(PYTHON) tests/benchmarks/bench_$(subst -,_,$*).py

# What a cluster is given: the wheel, the same as a zip for --py-files, the jobs, the configs.
# The wheel holds the same bytes whenever and wherever it is built from the same files.
PACKAGE ?= build/package
package: $(INSTALLED)
	rm -rf $(PACKAGE) build/lib build/bdist.*
	mkdir -p $(PACKAGE)/jobs
	SOURCE_DATE_EPOCH=1767225600 $(PYTHON) -m pip wheel --quiet --disable-pip-version-check \
	    --no-deps --no-build-isolation --wheel-dir $(PACKAGE) .
	cp $(PACKAGE)/nightrank-*.whl $(PACKAGE)/nightrank.zip
	cp jobs/*.py $(PACKAGE)/jobs
	cp -R conf constraints.txt $(PACKAGE)
	cp conf/databricks.yml $(PACKAGE)

# The environment for --archives: all that the jobs import except Spark, Delta and nightrank itself, which come from the
# runtime and from --py-files. EXTRAS: model, the default encoder; s3, a lake on S3.
EXTRAS ?= model,s3
ENVIRONMENT = build/environment
ITS_PYTHON = env -u PYTHONPATH $(ENVIRONMENT)/bin/python
ITS_PIP = $(ITS_PYTHON) -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
package-env: package
	rm -rf $(ENVIRONMENT)
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(ITS_PIP) "$$(ls $(PACKAGE)/nightrank-*.whl)[$(EXTRAS)]"
	$(ITS_PIP) --no-deps petastorm
	$(ITS_PYTHON) -m pip uninstall --quiet --yes nightrank
	@# Some packages hold templates that are no Python: they stay as they are.
	$(ITS_PYTHON) -m compileall -qq -j 0 --invalidation-mode unchecked-hash $(ENVIRONMENT)/lib || true
	$(PACK) >$(PACKAGE)/environment.tar.gz

# A virtual environment can be moved as long as only bin/python of it is called and the Python that it was made with
# stands at the same path on every machine. It is compiled, and not by time stamps: else every task would compile torch.
PACK = tar --sort=name --mtime=@1767225600 --owner=0 --group=0 --numeric-owner -C $(ENVIRONMENT) -cf - . | gzip -n1

# What runs and tests leave behind; not the lake and not the virtual environment.
clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis spark-warehouse metastore_db derby.log

FITS := import ensurepip, sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})
JARS := from nightrank.sections import SparkConfig; from nightrank.session import build_session; \
	build_session(SparkConfig(master="local[1]", local_settings=True)).stop()

$(INSTALLED): constraints.txt pyproject.toml
	@$(MAKE) --no-print-directory java
	@found=; for name in $(PYTHON) python3.11 python3.12 python3; do \
	    if $$name -c '$(FITS)' >/dev/null 2>&1; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "Install Python 3.11 or 3.12 with its venv module, then call make again."; exit 1; fi; \
	[ -x $(PYTHON) ] || $$found -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV): 6 GB, about 6 minutes the first time."
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,model,local]"
	@echo "Fetching Delta's jars: 170 MB the first time."
	@$(PYTHON) -c '$(JARS)' >$(VENV)/jars.log 2>&1 || { tail -n 20 $(VENV)/jars.log; exit 1; }
	@touch $@

# Spark takes JAVA_HOME's java, else the one on the PATH.
HAS_JAVA = "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | grep -Eq 'version "(17|21)[."]'
NEEDS_JAVA := Java 17 is missing: install it (on Debian: apt-get install openjdk-17-jre-headless), then call make again.

java:
	@if $(HAS_JAVA); then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Java 17."; \
	    apt-get update -qq; \
	    for version in 17 21; do \
	        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	            openjdk-$$version-jre-headless >/dev/null && break; \
	    done; \
	fi; \
	$(HAS_JAVA) || { echo "$(NEEDS_JAVA)"; exit 1; }
