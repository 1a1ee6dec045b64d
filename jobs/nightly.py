"""All jobs of the night in one Spark application: a laptop, a small shop.

spark-submit jobs/nightly.py --config conf/prod.yaml --run-date 2026-01-31
"""

import sys

from nightrank.cli import run_job

if __name__ == "__main__":
    sys.exit(run_job("nightly", sys.argv[1:]))
