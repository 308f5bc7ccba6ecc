"""The ladder's floor and ceiling of the gate, benchmarks/wresvlm_ladder/gates.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from toy_runs import ENVIRONMENT

from wxr_plugin.data.crops import Box
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.real_photos import crop_key, split_key
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.pseudo_labelling.gate import Candidate, RatingRequest

LADDER = Path(__file__).parents[2] / "benchmarks" / "wresvlm_ladder"
sys.path.insert(0, str(LADDER))

import gates  # noqa: E402

NOISE = np.random.default_rng(0)


@pytest.fixture
def truth(tmp_path):
    """A folder with one clear photo, and the photo."""
    image = NOISE.integers(0, 200, (40, 40, 3), dtype=np.uint8)
    write_image(tmp_path / "truth" / "rain" / "a.png", image)
    return tmp_path / "truth", image


def test_the_random_rater_depends_on_the_pixels_alone_and_is_uniform():
    images = [NOISE.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(400)]
    rater = gates.RandomRater(gates.RandomRaterOptions())
    ratings = rater.rate(images).rating.numpy()
    assert np.array_equal(ratings[::-1], rater.rate(images[::-1]).rating.numpy())
    counts, _ = np.histogram(ratings, bins=4, range=(1, 5))
    assert counts.sum() == 400 and counts.min() > 60


def test_the_oracle_rates_a_crop_by_its_psnr(truth):
    folder, image = truth
    rater = gates.TruthRater(gates.TruthRaterOptions(truth=str(folder)))
    key = crop_key("rain/a", Box(8, 4, 24, 20))
    crop = image[4:20, 8:24]
    # An offset of 25.5 levels is 20 dB, so the rating is 1 + 4 * 20 / 50.
    away = crop.astype(np.float64) + 25.5
    twenty = rater.rate_crop(key, away)
    assert twenty.rating == pytest.approx(2.6, abs=1e-3)
    assert rater.rate_crop(key, crop).rating == 5
    with pytest.raises(TypeError, match="TruthGateModel"):
        rater.rate([crop])


def test_the_client_gives_the_oracle_the_names_of_crops(truth):
    folder, image = truth
    client = gates.TruthClient(gates.TruthRater(gates.TruthRaterOptions(truth=str(folder))))
    key = crop_key("rain/a", Box(0, 0, 16, 16))
    label = Candidate(key, image[:16, :16] // 2, "input")
    near = Candidate(key, image[:16, :16] + 3, "teacher@1")
    (request,) = client.rate([RatingRequest(label, near)])
    assert request.label.rating < request.offered.rating
    assert client.rated == 2


def psnr_rating(image, photo, box):
    """Return 1 + 4 PSNR / 50 of a crop."""
    error = np.mean((image.astype(float) - photo[box.top : box.bottom, box.left : box.right]) ** 2)
    return 1 + 4 * 10 * np.log10(255**2 / error) / 50


@pytest.mark.slow
def test_a_training_with_the_oracle_stores_ratings_by_psnr(tmp_path):
    for seed in range(2):
        clear = NOISE.integers(30, 200, (48, 48, 3), dtype=np.uint8)
        write_image(tmp_path / f"clear/{seed}.png", clear)
        write_image(tmp_path / f"truth/rain/{seed}.png", clear)
        write_image(tmp_path / f"real/rain/{seed}.png", clear + 40)
    options = yaml.safe_load((LADDER / "training.yml").read_text().replace("$", "_"))
    paired = {"dataroot_gt": str(tmp_path / "clear"), "synthetic": {}}
    real = {"dataroot": {"rain": str(tmp_path / "real/rain")}}
    options |= {
        "name": "oracle",
        "model_type": "TruthGateModel",
        "num_gpu": 0,
        "manual_seed": 1,
        "path": {},
    }
    options["datasets"]["train"] = {
        "name": "train",
        "type": "SemiSupervisedDataset",
        "gt_size": 24,
        "paired": paired,
        "real": real,
        "num_worker_per_gpu": 0,
        "batch_size_per_gpu": 2,
        "dataset_enlarge_ratio": 4,
    }
    options["train"] |= {
        "total_iter": 3,
        "optim_g": {"type": "AdamW", "lr": 1e-3},
        "scheduler": {"type": "MultiStepLR", "milestones": [100]},
        "pseudo_opt": {"type": "PseudoLabelLoss", "loss_weight": 1.0},
        "rater": {"type": "TruthRater", "truth": str(tmp_path / "truth")},
    }
    file = tmp_path / "oracle.yml"
    file.write_text(yaml.safe_dump(options))
    environment = ENVIRONMENT | {"PYTHONPATH": f"{LADDER}:{ENVIRONMENT['PYTHONPATH']}"}
    command = [sys.executable, "-m", "wxr_plugin.train", "-opt", str(file)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = 0
    with LabelStore(tmp_path / "experiments/oracle/labels.lmdb", readonly=True) as store:
        for row in store.pseudo_labels():
            name, box = split_key(row.key)
            photo = read_image(tmp_path / f"truth/{name}.png")
            expected = psnr_rating(row.image, photo, box)
            assert row.rating == pytest.approx(expected, abs=1e-3)
            rows += 1
    assert rows
