"""The job 'encode': BERT vectors of new items and queries. Faster with a GPU.

spark-submit jobs/encode.py --config conf/prod.yaml --run-date 2026-01-31
"""

import sys

from nightrank.cli import run_job

if __name__ == "__main__":
    sys.exit(run_job("encode", sys.argv[1:]))
