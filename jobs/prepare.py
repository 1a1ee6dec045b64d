"""The job 'prepare': raw logs to events, items, searches, profiles and neighbours. Needs CPUs only.

spark-submit jobs/prepare.py --config conf/prod.yaml --run-date 2026-01-31
"""

import sys

from nightrank.cli import run_job

if __name__ == "__main__":
    sys.exit(run_job("prepare", sys.argv[1:]))
