"""The job 'train': propensities, examples and tonight's ranker. Faster with a GPU.

spark-submit jobs/train.py --config conf/prod.yaml --run-date 2026-01-31
"""

import sys

from nightrank.cli import run_job

if __name__ == "__main__":
    sys.exit(run_job("train", sys.argv[1:]))
