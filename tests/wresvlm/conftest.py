"""The toys of these tests, as a plug-in that can be imported, and a folder with a small run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: photos, run.yml, round.yml and supervised.yml."""
    import run_files

    run_files.write_photos(tmp_path)
    run_files.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
