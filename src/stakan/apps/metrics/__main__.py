"""`python -m stakan.apps.metrics`: the tables of docs/metrics.md."""

import sys

from stakan.apps.metrics.families import page

if __name__ == "__main__":
    sys.stdout.write(page())
