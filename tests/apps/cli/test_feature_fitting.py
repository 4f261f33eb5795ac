"""`stakan features fit`: what it writes is what fitting in memory gives, of training rows alone, or it says why not."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.parquet.builders import BTC, ETH, MIDNIGHT
from tests.core.features.test_scaling import BOTH, columns, rows
from typer.testing import CliRunner

from stakan.adapters.parquet.features import METADATA_KEY, Chunk, Contents, Options, write
from stakan.adapters.scalers import load
from stakan.apps.cli.main import app
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA, EXIT_STORAGE
from stakan.core.domain.units import DAY, SECOND
from stakan.core.features.catalogue import FEATURE_COUNT, FEATURE_NAMES, FEATURE_SET, SCHEMA_HASH
from stakan.core.features.scaling import Scaling, VectorRows, fit

ROWS = 100
NEVER_WARM, CONSTANT = FEATURE_NAMES[4], FEATURE_NAMES[3]
"""As `rows` makes them."""


def run(*words):
    return CliRunner().invoke(app, ["features", "fit", *map(str, words)])


def fitted(*words):
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def vectors(seed, count=ROWS, first=MIDNIGHT):
    """A vector a second, as a file holds them."""
    made = rows(seed, count)
    return VectorRows(first + made.ts_event * SECOND, made.values.astype(np.float32), made.warm)


def a_file(folder, number, given_rows, instrument=BTC, grid=SECOND):
    """A day's file as `stakan features build` writes it."""
    contents = Contents(
        instrument=instrument,
        day=f"2023-12-{number:02}",
        options=Options(grid_ns=grid, candle_interval_ns=SECOND),
        lead_in_ns=0,
        data="a test",
    )
    path = folder / f"{instrument.replace(':', '-')}-{number:02}.parquet"
    write(path, contents, [Chunk(given_rows.ts_event, given_rows.values, given_rows.warm)])
    return path


def with_contents(path, change):
    """The file, saying something else of itself."""
    table = pq.read_table(path)
    said = json.loads(table.schema.metadata[METADATA_KEY])
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(said | change).encode()}), path)
    return path


@pytest.fixture(scope="module")
def days():
    """Two days of vectors."""
    return [vectors(1), vectors(2, first=MIDNIGHT + DAY)]


@pytest.fixture(scope="module")
def files(days, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [a_file(folder, number, day) for number, day in enumerate(days, 9)]


# --- what it writes ---------------------------------------------------------------------------------------------------


@BOTH
def test_what_is_loaded_scales_as_what_was_fitted_in_memory(days, files, tmp_path, scaling):
    stop = MIDNIGHT + DAY + 40 * SECOND
    said = fitted(*reversed(files), "--scaling", scaling, "--until", stop, "--out", tmp_path / "scaler.json")
    made, found = fit(scaling, days, stop), load(tmp_path / "scaler.json")
    assert np.array_equal(columns(found), columns(made))
    scaled, wanted = (one.transform(days[1].values, days[1].warm) for one in (found, made))
    assert np.array_equal(scaled, wanted)
    assert (said["digest"], said["rows"], said["all_rows"]) == (made.digest, ROWS + 40, 2 * ROWS)
    assert (said["feature_set"], said["schema_hash"]) == (FEATURE_SET, SCHEMA_HASH)
    assert (said["first_ts"], said["last_ts"]) == (MIDNIGHT, stop - SECOND)


@settings(max_examples=4)
@given(st.integers(0, 2**32), st.integers(0, 30), st.sampled_from(list(Scaling)))
def test_rows_from_the_moment_on_change_nothing(seed, later, scaling):
    stop = MIDNIGHT + 20 * SECOND
    early, other = vectors(seed, 20), vectors(seed + 1, 20 + later)
    mixed = [np.concatenate([getattr(early, name), getattr(other, name)[20:]]) for name in early.__struct_fields__]
    options = ("--scaling", scaling, "--until", stop)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = a_file(folder, 9, early)
        fitted(alone, *options, "--out", folder / "alone.json")
        longer = a_file(folder, 10, VectorRows(*mixed))
        next_day = a_file(folder, 11, vectors(seed, first=stop))
        fitted(next_day, longer, *options, "--out", folder / "longer.json")
        assert (folder / "alone.json").read_bytes() == (folder / "longer.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "count"),
    [((), 140), (("--share", "0.25"), 50), (("--share", "1"), 200), (("--until", "9999-12-31"), 200)],
)
def test_a_share_is_of_all_vectors_in_their_order(files, tmp_path, words, count):
    said = fitted(*reversed(files), *words, "--out", tmp_path / "scaler.json")
    assert (said["rows"], said["first_ts"]) == (count, MIDNIGHT)
    assert load(tmp_path / "scaler.json").rows == count


def test_vectors_of_one_time_stay_together(days, files, tmp_path):
    ether = a_file(tmp_path, 9, days[0], instrument=ETH)
    said = fitted(files[0], ether, "--share", "0.255", "--out", tmp_path / "scaler.json")
    assert (said["rows"], said["until"]) == (50, MIDNIGHT + 25 * SECOND)


@BOTH
def test_features_that_say_nothing_are_told(files, tmp_path, scaling):
    said = fitted(*files, "--scaling", scaling, "--out", tmp_path / "json.json")
    told = {one["name"]: one for one in said["features"]}
    assert len(told) == FEATURE_COUNT
    remarks = {name: one["remark"] for name, one in told.items() if one["remark"]}
    constant = "constant" if scaling is Scaling.STANDARD else "quartiles are equal"
    assert remarks == {NEVER_WARM: "never warm", CONSTANT: constant}
    assert (told[NEVER_WARM]["rows"], told[CONSTANT]["scale"]) == (0, 0)
    table = run(*files, "--scaling", scaling, "--out", tmp_path / "table.json").stdout
    for name in (*FEATURE_NAMES, "never warm", constant, "140 of 200 vectors", "whatever happens: 2"):
        assert name in table


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--until", "2023-12-09"], EXIT_DATA, "no vector lies before 2023-12-09 00:00:00"),
        (["--until", "0001-01-01"], EXIT_DATA, "name a later --until"),
        (["--until", "soon"], EXIT_CONFIG, "is no time"),
        (["--share", "0.001"], EXIT_DATA, "name a larger --share"),
        (["--share", "0"], EXIT_CONFIG, "above 0 and at most 1"),
        (["--share", "nan"], EXIT_CONFIG, "above 0 and at most 1"),
        (["--share", "0.5", "--until", "2023-12-10"], EXIT_CONFIG, "name one of them"),
        (["--scaling", "best"], EXIT_CONFIG, "standard"),
    ],
)
def test_training_time_that_cannot_be_is_said(files, tmp_path, words, code, said):
    refused(tmp_path / "scaler.json", [*files, *words], code, said)


def test_files_that_do_not_go_together_are_named(days, files, tmp_path):
    out = tmp_path / "scaler.json"
    slow = a_file(tmp_path, 11, days[0], grid=5 * SECOND)
    refused(out, [*files, slow], EXIT_CONFIG, f"{slow} was built with other options", "grid_ns 5000000000 instead")
    refused(out, [files[0], *files], EXIT_CONFIG, f"{files[0]} are both of {BTC} on 2023-12-09")


def test_a_file_that_is_none_or_of_other_features_is_refused_with_what_to_do(days, tmp_path):
    out, other = tmp_path / "scaler.json", tmp_path / "other.parquet"
    refused(out, [tmp_path / "none.parquet"], EXIT_DATA, "none.parquet: cannot be read")
    pq.write_table(pa.table({"x": [1]}), other)
    refused(out, [other], EXIT_DATA, "other.parquet: is no file of feature vectors; `stakan features build` makes them")
    old = with_contents(a_file(tmp_path, 9, days[0]), {"feature_set": "stakan-90-1"})
    refused(out, [old], EXIT_DATA, "feature set 'stakan-90-1'", "make it anew")
    renamed = with_contents(a_file(tmp_path, 9, days[0]), {"schema_hash": "beef"})
    refused(out, [renamed], EXIT_DATA, "schema beef", "make it anew")


def test_files_without_vectors_are_said_where_no_other_has_any(days, files, tmp_path):
    empty = a_file(tmp_path, 8, vectors(1, 0))
    refused(tmp_path / "scaler.json", [empty], EXIT_DATA, f"{empty}: holds no vector")
    assert fitted(*files, empty, "--out", tmp_path / "scaler.json")["rows"] == 140


def test_a_file_that_is_there_is_left_alone(files, tmp_path):
    out = tmp_path / "scaler.json"
    out.write_text("mine")
    done = run(*files, "--out", out)
    assert (done.exit_code, out.read_text()) == (EXIT_STORAGE, "mine")
    assert "exists already: choose another --out or remove it" in " ".join(done.output.split())
    refused(out / "in" / "it.json", files, EXIT_STORAGE, "cannot write")


def refused(out, words, code, *said):
    done = run(*words, "--out", out)
    assert done.exit_code == code, done.output
    text = done.output.replace("\n", " ")
    for part in said:
        assert part in text
    assert "Traceback" not in text
    assert not out.exists()
