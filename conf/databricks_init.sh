#!/bin/bash
# petastorm asks for PyPI's pyspark; a runtime has its own, so petastorm comes without what it asks for.
set -euo pipefail
/databricks/python/bin/pip install --no-deps petastorm==0.12.1
