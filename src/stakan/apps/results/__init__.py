"""Results of runs: recorded from steps, kept as JSON, read by the report."""

from stakan.apps.results.assemble import assemble
from stakan.apps.results.files import read_run, write_run
from stakan.apps.results.fingerprint import Fingerprint
from stakan.apps.results.model import DataIdentity, Labelled, RunIdentity, RunResult, Sample
from stakan.apps.results.recorder import RunRecorder

__all__ = [
    "DataIdentity",
    "Fingerprint",
    "Labelled",
    "RunIdentity",
    "RunRecorder",
    "RunResult",
    "Sample",
    "assemble",
    "read_run",
    "write_run",
]
