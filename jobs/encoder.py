"""The weekly job 'encoder': the encoder tuned on the shop's own searches, after a night's prepare. Faster with a GPU.

spark-submit jobs/encoder.py --config conf/prod.yaml --run-date 2026-01-31
"""

import sys

from nightrank.cli import run_job

if __name__ == "__main__":
    sys.exit(run_job("encoder", sys.argv[1:]))
