"""A folder with a small run."""

import pytest
import run_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: photos, run.yml, round.yml and supervised.yml."""
    run_files.write_photos(tmp_path)
    run_files.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
