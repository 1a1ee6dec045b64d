"""The job 'rerank': tokens, gates, evaluation, promotion and the rows that the shop serves.

spark-submit jobs/rerank.py --config conf/prod.yaml --run-date 2026-01-31
"""

import sys

from nightrank.cli import run_job

if __name__ == "__main__":
    sys.exit(run_job("rerank", sys.argv[1:]))
