"""`stakan features fit`: a scaler of the training rows of built files."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stakan.adapters.parquet.features import FeatureFile
from stakan.adapters.scalers import save
from stakan.apps.cli.output import ns_text, out, parse_time, reports_errors, share_progress, write_json
from stakan.apps.feature_scaling import end_of_share, fitted, remark, rows_of, training_files
from stakan.core.domain.errors import ConfigError, DataError, StorageError
from stakan.core.features.catalogue import FEATURE_COUNT
from stakan.core.features.scaling import Scaler, Scaling

_SHARE = 0.7


class FittedFeature(msgspec.Struct, frozen=True, kw_only=True):
    """How one feature is scaled."""

    name: str
    center: float
    scale: float
    rows: int
    """Warm ones, that it was fitted on."""
    remark: str
    """Why it is 0 whatever happens: never warm, constant, or of equal quartiles; empty where it is not."""


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` says."""

    file: str
    scaling: Scaling
    feature_set: str
    schema_hash: str
    digest: str
    until: int
    """Exchange time that training rows lie before."""
    rows: int
    """Training rows, of `all_rows` in the files."""
    all_rows: int
    first_ts: int
    last_ts: int
    """Exchange times of the first and the last training row."""
    features: list[FittedFeature]


@reports_errors
def fit_command(
    files: Annotated[list[Path], typer.Argument(help="Files of `stakan features build`, in any order.")],
    *,
    path: Annotated[Path, typer.Option("--out", help="Scaler file to write.")],
    scaling: Annotated[Scaling, typer.Option(help="Mean and deviation, or median and quartiles.")] = Scaling.STANDARD,
    until: Annotated[
        str | None, typer.Option("--until", help="Exchange time, UTC, that training rows lie before.")
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", help=f"Instead: the first share of all vectors; default {_SHARE}.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable on stdout.")] = False,
) -> None:
    """Fit a scaler on the training rows of built files, in the order of exchange time; what comes later changes nothing.

    stakan features fit features/binance/linear/BTCUSDT/*.parquet --until 2024-07-19 --out scaler.json
    """
    share = _checked(until, share)
    if path.exists():
        raise StorageError(f"{path} exists already: choose another --out or remove it")
    training = training_files(files)
    stop = end_of_share(training, share) if until is None else min(parse_time(until), end_of_share(training, 1.0))
    _demand_rows(training, stop, until)
    with share_progress(f"{len(training)} files", len(training) * FEATURE_COUNT, quiet=as_json) as read:
        scaler = fitted(scaling, training, stop, read)
    save(scaler, path)
    found = _view(path, scaler, stop, rows_of(training))
    if as_json:
        write_json(found)
        return
    out().print(_table(found))
    out().print(f"{path} is of what lies before {ns_text(stop)}", soft_wrap=True, highlight=False)


def _checked(until: str | None, share: float | None) -> float:
    """The share that counts where no moment is named."""
    if until is not None and share is not None:
        raise ConfigError("--until and --share both say where training ends: name one of them")
    share = _SHARE if share is None else share
    if not 0 < share <= 1:
        raise ConfigError(f"--share {share:g}: should be above 0 and at most 1")
    return share


def _demand_rows(files: list[FeatureFile], stop: int, until: str | None) -> None:
    first = min(int(file.ts_event[0]) for file in files if len(file.ts_event))
    if stop <= first:
        wish = "a larger --share" if until is None else "a later --until"
        raise DataError(f"no vector lies before {ns_text(stop)}, the first is of {ns_text(first)}: name {wish}")


def _view(path: Path, scaler: Scaler, stop: int, all_rows: int) -> Fitted:
    return Fitted(
        file=str(path),
        scaling=scaler.scaling,
        feature_set=scaler.feature_set,
        schema_hash=scaler.schema_hash,
        digest=scaler.digest,
        until=stop,
        rows=scaler.rows,
        all_rows=all_rows,
        first_ts=scaler.first_ts,
        last_ts=scaler.last_ts,
        features=[
            FittedFeature(
                name=one.name, center=one.center, scale=one.scale, rows=one.rows, remark=remark(scaler.scaling, one)
            )
            for one in scaler.features
        ],
    )


def _table(found: Fitted) -> Table:
    title = (
        f"{found.scaling} scaler of {found.rows:,} of {found.all_rows:,} vectors, {found.feature_set}\n"
        f"{ns_text(found.first_ts)} to {ns_text(found.last_ts)}"
    )
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("#", "feature", "centre", "scale", "rows", ""):
        table.add_column(name, justify="left" if name in {"feature", ""} else "right", no_wrap=True)
    for number, one in enumerate(found.features, 1):
        cells = (str(number), one.name, f"{one.center:.6g}", f"{one.scale:.6g}", f"{one.rows:,}", one.remark)
        table.add_row(*cells, style="dim" if one.remark else None)
    nought = sum(bool(one.remark) for one in found.features)
    if nought:
        table.caption = f"features that are 0 whatever happens: {nought}"
    return table
