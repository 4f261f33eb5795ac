"""Scaler files: what was saved is what is loaded, or it is refused with what to do."""

import msgspec
import numpy as np
import pytest
from tests.core.features.test_scaling import EVERYTHING, rows

from stakan.adapters.scalers import load, save
from stakan.core.domain.errors import DataError, StorageError
from stakan.core.features.scaling import Scaling, fit


@pytest.fixture
def scaler():
    return fit(Scaling.STANDARD, [rows(1, 100)], EVERYTHING)


@pytest.mark.parametrize("scaling", list(Scaling))
def test_what_is_saved_is_loaded_exactly(tmp_path, scaling):
    path = tmp_path / "new" / "scaler.json"
    made = fit(scaling, [rows(2, 100)], EVERYTHING)
    save(made, path)
    found = load(path)
    assert found == made
    given = rows(3, 10)
    assert np.array_equal(found.transform(given.values, given.warm), made.transform(given.values, given.warm))
    assert [file.name for file in path.parent.iterdir()] == ["scaler.json"]


def test_the_file_is_for_people_and_for_diff(tmp_path, scaler):
    path = tmp_path / "scaler.json"
    save(scaler, path)
    text = path.read_text()
    assert '"name": "mid_price"' in text
    assert max(map(len, text.splitlines())) < 100
    before = path.read_bytes()
    save(scaler, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file["scaler"].update(feature_set="stakan-99-9"), "feature set 'stakan-99-9'.*make it anew"),
        (lambda file: file["scaler"].update(schema_hash="beef"), "schema beef.*make it anew"),
        # Another release may have another shape: its version is what is named.
        (lambda file: file.update(scaler={"feature_set": "old", "schema_hash": "x"}), "feature set 'old'"),
        (lambda file: file["scaler"]["features"][7].update(scale=1.0), "digest.*fit the scaler anew"),
        (lambda file: file["scaler"].update(rows=1), "digest"),
        (lambda file: file.pop("digest"), "no scaler file.*digest"),
        (lambda file: file["scaler"].pop("features"), "no scaler file.*features"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_what_to_do(tmp_path, scaler, change, said):
    path = tmp_path / "scaler.json"
    save(scaler, path)
    file = msgspec.json.decode(path.read_bytes())
    change(file)
    path.write_bytes(msgspec.json.encode(file))
    with pytest.raises(DataError, match=f"scaler.json.*{said}"):
        load(path)


def test_a_file_that_is_none_or_not_there_is_refused(tmp_path):
    path = tmp_path / "scaler.json"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load(path)
    path.write_bytes(b"{")
    with pytest.raises(DataError, match="no scaler file"):
        load(path)


def test_a_disk_that_cannot_be_written_is_said_and_leaves_the_old_file(tmp_path, scaler):
    (tmp_path / "in-the-way").write_text("x")
    with pytest.raises(StorageError, match=r"in-the-way/scaler\.json: cannot write"):
        save(scaler, tmp_path / "in-the-way" / "scaler.json")
