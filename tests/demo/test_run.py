import re

import numpy as np
import pytest

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.cli import main as cli
from wxr_plugin.data import packaged_photos
from wxr_plugin.data.images.io import list_images, read_image, write_image
from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.demo.run import START, Settings, write_options, write_photos
from wxr_plugin.inference.packaged import PACKAGED
from wxr_plugin.wresvlm.checking import load_run
from wxr_plugin.wresvlm.report.measuring import truth_of


def test_packaged_photos_are_there_and_split():
    assert not set(packaged_photos.TRAIN) & set(packaged_photos.HELD_OUT)
    for name in (*packaged_photos.TRAIN, *packaged_photos.HELD_OUT):
        photo = packaged_photos.packaged_photo(name)
        assert photo.dtype == np.uint8
        assert photo.ndim == 3
        assert min(photo.shape[:2]) >= 300


def test_stand_in_photos_are_the_same_every_time(tmp_path):
    for folder in ("one", "two"):
        packaged_photos.write_unlabelled(tmp_path / folder, per_kind=1)
    first, second = (list_images(tmp_path / folder) for folder in ("one", "two"))
    assert len(first) == 3 * len(packaged_photos.TRAIN)
    assert all(np.array_equal(read_image(a), read_image(b)) for a, b in zip(first[:4], second[:4]))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The packaged photos as the demo writes them."""
    folder = tmp_path_factory.mktemp("demo") / "photos"
    write_photos(folder)
    return folder


def test_photos_are_written_once_and_completely(photos):
    kinds = {"rain", "haze", "snow"}
    for style in ("default", "shifted"):
        pair = photos / "held_out" / style
        names = [
            [file.relative_to(pair / kind) for file in list_images(pair / kind)]
            for kind in ("gt", "lq")
        ]
        assert names[0] == names[1] and {name.parts[0] for name in names[0]} == kinds
        assert len(names[0]) == 2 * 2 * 3
    removed = photos / "clear" / "china.png"
    removed.unlink()
    write_photos(photos)
    assert not removed.exists()


@pytest.mark.parametrize("name", ["real", "my: \"odd\" 'photos' $1"])
def test_the_packaged_files_make_a_sound_run(photos, tmp_path, name):
    real = tmp_path / name
    write_image(real / "a.png", packaged_photos.packaged_photo("coffee")[:100, :120])
    judge = {"type": "PyiqaRater", "metric": "piqe"}
    settings = load_run(write_options(tmp_path / "work", photos, real, Settings(7, 9, judge)))
    assert settings.real == str(real) and settings.options.report.truth is None
    assert settings.options.report.judges == ["visibility", "judge"]
    assert settings.supervised["train"]["total_iter"] == settings.supervised["val"]["val_freq"] == 7
    opt = settings.round_options(1, None, None)
    assert opt["train"]["total_iter"] == 9
    # Both trainings start from one network, so that only the unlabelled photos differ.
    for training in (opt, settings.supervised):
        assert training["path"]["pretrain_network_g"] == str(PACKAGED[START])
        assert training["network_g"] == load_network_options(PACKAGED[START])
        assert training["train"]["optim_g"] == opt["train"]["optim_g"]


def test_the_truth_of_the_packaged_photos_has_their_names(photos, tmp_path):
    settings = load_run(write_options(tmp_path / "work", photos, None, Settings(7, 9)))
    assert settings.options.start == "train" and settings.options.report.judges == ["visibility"]
    truth = truth_of(settings)
    assert truth.keys() == RealPhotos(settings.real).keys()
    assert np.array_equal(truth.read("haze/china_8"), packaged_photos.packaged_photo("china"))


@pytest.mark.slow
def test_a_folder_of_photos_becomes_a_report_and_a_second_call_skips_everything(tmp_path, capfd):
    real = tmp_path / "my photos"
    for number, name in enumerate(("coffee", "china")):
        photo = packaged_photos.packaged_photo(name)[:150, :200]
        write_image(
            real / f"{name}.png", packaged_photos.weathered(photo, "haze", 0.5, number, "shifted")
        )
    (real / "broken.jpg").write_bytes(b"not a photo")
    output = ["-o", str(tmp_path / "demo")]
    words = ["demo", *output, "--real", str(real), "--warmup", "2", "--iterations", "2"]
    assert cli.main(words) == 0
    output = capfd.readouterr().out
    assert re.search(r"psnr, held out, default weather\nstage +rain +haze +snow +overall", output)
    page = (tmp_path / "demo" / "index.html").read_text()
    assert '"n":"coffee"' in page and 'id="curves"' in page
    assert re.search(r"network +VLM-Vis", output) and "Times: supervised" in output
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert cli.main(words) == 0
    output = capfd.readouterr().out
    assert "[round_1] done before, skipped" in output
    assert re.search(r"network +VLM-Vis", output)
    assert "Training statistics" not in output
    options = tmp_path / "demo" / "runs" / "my photos" / "options" / "run.yml"
    assert cli.main(["wresvlm", "run", "-opt", str(options), "--list"]) == 0
    assert "outdated" not in capfd.readouterr().out


def test_a_folder_without_photos_is_one_line(tmp_path, capsys):
    assert (
        cli.main(["demo", "-o", str(tmp_path / "demo"), "--real", str(tmp_path / "nowhere")]) == 2
    )
    error = capsys.readouterr().err.strip()
    assert "nowhere: no such folder" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--iterations", "0"], "'0' is not a whole number of at least 1"),
        (["--judge", "nowhere.yml"], "nowhere.yml"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, capsys, words, line):
    try:
        code = cli.main(["demo", "-o", str(tmp_path / "demo"), *words])
    except SystemExit as left:
        code = left.code
    assert code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in last
