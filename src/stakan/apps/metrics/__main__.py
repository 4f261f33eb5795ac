"""`python -m stakan.apps.metrics`: the tables of docs/metrics.md."""

import sys

from stakan.apps.metrics.families import page

sys.stdout.write(page())
