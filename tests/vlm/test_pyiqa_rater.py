"""Metrics of pyiqa as raters."""

import socket

import cv2
import numpy as np
import pyiqa
import pytest
import torch
from skimage import data

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm import pyiqa_metrics, pyiqa_rater
from wxr_plugin.vlm.pyiqa_rater import rating_from_score
from wxr_plugin.vlm.rater import build_rater


def rater(metric="piqe", **options):
    return build_rater({"type": "PyiqaRater", "metric": metric, **options})


@pytest.fixture(scope="module")
def photos():
    """Return a photo, and the same photo with increasing JPEG compression."""
    photo = np.ascontiguousarray(data.coffee()[:192, :256])
    qualities = [[cv2.IMWRITE_JPEG_QUALITY, quality] for quality in (30, 10, 4)]
    return [
        photo,
        *(cv2.imdecode(cv2.imencode(".jpg", photo, q)[1], cv2.IMREAD_COLOR) for q in qualities),
    ]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Write a CNNIQA with random weights in the format of pyiqa's own file."""
    from pyiqa.archs.cnniqa_arch import CNNIQA

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "cnniqa.pth"
    torch.save({"params": CNNIQA(pretrained=None).state_dict()}, file)
    return file


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Disable the network, and hide cached files of pyiqa."""

    def nowhere(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "pyiqa"))
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    return tmp_path


# The mapping


def test_scores_are_mapped_linearly_and_clipped():
    scores = torch.tensor([0.0, 25, 50, 100, -3, 170, torch.nan, torch.inf])
    expected = torch.tensor([1.0, 2, 3, 5, 1, 5, torch.nan, torch.nan])
    torch.testing.assert_close(rating_from_score(scores, 0, 100), expected, equal_nan=True)


def test_where_lower_is_better_the_scale_is_reversed():
    scores = torch.tensor([[2.0, 7.0], [12.0, 1.0]])
    torch.testing.assert_close(
        rating_from_score(scores, 2, 12, True), torch.tensor([[5.0, 3.0], [1.0, 5.0]])
    )


def test_every_metric_of_the_list_is_pyiqas_and_has_an_increasing_range():
    listed = pyiqa_rater.read_data("metrics.yml")
    names = pyiqa.list_models(metric_mode="NR")
    assert set(listed["metrics"]) | set(listed["not_of_one_image"]) <= set(names)
    assert {"musiq", "clipiqa", "qalign", "liqe", "nima", "niqe", "brisque", "piqe"} <= set(
        listed["metrics"]
    )
    assert all(entry["range"][0] < entry["range"][1] for entry in listed["metrics"].values())


# Rating


def test_ratings_are_rescaled_scores_of_the_metric(photos):
    ratings, logits = rater().rate(photos)
    metric = pyiqa.create_metric("piqe", device="cpu")
    scores = [
        metric(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255).item()
        for photo in photos
    ]
    torch.testing.assert_close(ratings, 5 - 4 * torch.tensor(scores) / 100)
    assert (ratings.diff() < 0).all() and logits.shape == (4, 5) and logits.isnan().all()


def test_a_rating_does_not_depend_on_the_other_images(photos):
    images = [photos[0], photos[1][:100, :150], photos[2], photos[3][:100, :150], photos[3]]
    together, alone = (
        rater(batch_size=3).rate(images).rating,
        [rater().rate([image]).rating for image in images],
    )
    torch.testing.assert_close(together, torch.cat(alone))


def test_float_images_are_rated_as_their_png_and_nan_has_no_rating(photos):
    tensor = torch.from_numpy(np.stack(photos[:3])).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(rater().rate(tensor).rating, rater().rate(photos[:3]).rating)
    tensor[1, 0, 3, 3] = torch.nan
    assert rater().rate(tensor).rating.isnan().tolist() == [False, True, False]
    assert rater().rate([]).rating.shape == (0,)


def test_the_option_range_sets_the_scale(photos):
    usual, wide = rater().rate(photos).rating, rater(range=[0, 200]).rate(photos).rating
    torch.testing.assert_close(wide, 3 + usual / 2 - 0.5)


def test_the_mapping_of_scores_is_logged_once(photos, logged):
    for _ in range(2):
        rater()
    assert logged.text.count("piqe: scores from 0 to 100 become ratings from 5 to 1") == 1


def test_an_image_that_a_metric_refuses_has_no_rating_and_the_reason_is_logged(
    weights, photos, logged
):
    small = photos[0][:5, :5]  # smaller than CNNIQA's first filter
    ratings = rater("cnniqa", weights=str(weights)).rate([photos[0], small, photos[1]]).rating
    assert ratings.isnan().tolist() == [False, True, False]
    assert "cnniqa gives no score for an image of 5x5: " in logged.text


def test_a_metric_that_fails_on_a_batch_gets_one_image_at_a_time(photos):
    tested = rater()
    whole, asked = tested.scores.metric, []

    class Single(torch.nn.Module):
        lower_better = True

        def forward(self, batch):
            asked.append(len(batch))
            assert len(batch) == 1, "Currently, only support batch size 1."
            return whole(batch)

    tested.scores.metric = Single()
    assert torch.equal(tested.rate(photos).rating, rater().rate(photos).rating)
    tested.rate(photos)
    assert asked == [4, *[1] * 8]


def test_images_are_enlarged_to_the_smallest_side_of_the_metric(weights, photos):
    tested = rater("cnniqa", weights=str(weights))
    tested.scores.min_side, seen = 24, []
    hook = tested.scores.metric.register_forward_pre_hook(
        lambda module, args: seen.append(tuple(args[0].shape))
    )
    assert tested.rate([photos[0][:6, :9], photos[0][:30, :40]]).rating.isfinite().all()
    hook.remove()
    assert seen == [(1, 3, 24, 36), (1, 3, 30, 40)]


# Weights


def test_weights_come_from_a_file(weights, photos, offline):
    from pyiqa.archs.cnniqa_arch import CNNIQA

    net = CNNIQA(pretrained=None).eval()
    net.load_state_dict(torch.load(weights)["params"])
    with torch.no_grad():
        scores = net(torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2) / 255).flatten()
    low, high = scores.min().item(), scores.max().item()
    ratings = rater("cnniqa", weights=str(weights), range=[low, high]).rate(photos).rating
    torch.testing.assert_close(ratings, 1 + 4 * (scores - low) / (high - low), atol=1e-3, rtol=0)
    assert ratings.min() == 1 and ratings.max() == 5


def test_a_bare_state_dict_is_accepted(weights, photos, tmp_path):
    torch.save(torch.load(weights)["params"], tmp_path / "bare.pth")
    options = {"range": [-1, 1]}
    bare = rater("cnniqa", weights=str(tmp_path / "bare.pth"), **options).rate(photos).rating
    assert torch.equal(bare, rater("cnniqa", weights=str(weights), **options).rate(photos).rating)


def test_a_file_with_the_whole_network_needs_no_backbone_from_the_hub(tmp_path, offline):
    from pyiqa.archs.hypernet_arch import HyperNet

    with pyiqa_metrics._bare_backbones(True):
        net = HyperNet(base_model_name="resnet18", pretrained=False)
    torch.save({"params": net.state_dict()}, tmp_path / "hyper.pth")
    with pyiqa_metrics._bare_backbones(True):
        again = HyperNet(
            base_model_name="resnet18", pretrained_model_path=str(tmp_path / "hyper.pth")
        )
    assert all(
        torch.equal(value, net.state_dict()[name]) for name, value in again.state_dict().items()
    )


@pytest.mark.parametrize(
    ("metric", "file", "folder"),
    [
        ("musiq", "musiq_koniq_ckpt-e95806b9.pth", "pyiqa"),
        ("niqe", "niqe_modelparameters.mat", "pyiqa"),
        ("clipiqa", "RN50.pt", "clip"),
    ],
)
def test_a_missing_file_is_named_with_its_path(metric, file, folder, offline):
    with pytest.raises(WxrError) as caught:
        rater(metric)
    message = str(caught.value)
    assert f"pyiqa cannot fetch a file of '{metric}' here" in message and "\n" not in message
    assert f"put {file} of https://" in message and f"at {offline / folder / file}" in message
    assert ("or give it as `weights`" in message) == (folder == "pyiqa")


def test_weights_that_do_not_fit_are_refused(tmp_path, weights, offline):
    with pytest.raises(WxrError, match=r"nowhere\.pth does not exist"):
        rater("cnniqa", weights=str(tmp_path / "nowhere.pth"))
    part = tmp_path / "part.pth"
    torch.save(
        {"params": {k: v for k, v in torch.load(weights)["params"].items() if "fc3" not in k}}, part
    )
    with pytest.raises(
        WxrError, match=r"cannot make the metric 'cnniqa' with the weights .*part\.pth"
    ):
        rater("cnniqa", weights=str(part))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(
        WxrError, match=r"cannot make the metric 'cnniqa' with the weights .*text\.pth"
    ) as caught:
        rater("cnniqa", weights=str(tmp_path / "text.pth"))
    assert "\n" not in str(caught.value)
    with pytest.raises(WxrError, match="'piqe' takes no file of weights"):
        rater("piqe", weights=str(weights))


def test_a_file_that_pyiqa_would_fill_up_at_random_is_refused(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    torch.save(
        {"params": {k: v for k, v in net.state_dict().items() if k.startswith("0")}},
        tmp_path / "half.pth",
    )
    with pytest.raises(WxrError, match=r"half\.pth lacks 2 of x's weights \(1\.weight"):
        pyiqa_metrics._check_complete("x", str(tmp_path / "half.pth"), net)


def test_provenance_contains_everything_that_a_rating_depends_on(weights, tmp_path):
    first = rater().provenance
    assert first == rater(batch_size=2).provenance and first["metric"] == "piqe"
    assert rater(range=[0, 50]).provenance != first
    mine = rater("cnniqa", weights=str(weights)).provenance
    (tmp_path / "copy.pth").write_bytes(weights.read_bytes())
    assert rater("cnniqa", weights=str(tmp_path / "copy.pth")).provenance == mine


# What a person may get wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "pique"}, "the metric 'pique' is not one of pyiqa's; did you mean piqe"),
        ({"metric": "lpips"}, "the metric 'lpips' compares two images and cannot rate one"),
        ({"metric": "fid"}, "the metric 'fid' is not of a single image"),
        (
            {"metric": "entropy"},
            "the metric 'entropy' has no range in vlm/metrics.yml; give `range",
        ),
        ({"metric": "piqe", "range": [5, 5]}, "range .* is empty; write the lower score first"),
        ({"metric": "piqe", "rang": [0, 5]}, "unknown field `rang`.*keys: "),
        ({}, "missing required field `metric`"),
        ({"metric": "piqe", "device": "gpu"}, "device 'gpu' cannot be used here"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(WxrError, match=message) as caught:
        build_rater({"type": "PyiqaRater", **options})
    assert "\n" not in str(caught.value)


def test_a_metric_without_a_range_works_with_the_option(photos):
    assert rater("entropy", range=[0, 8]).rate(photos).rating.isfinite().all()


def test_weights_that_would_run_a_program_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"params": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WxrError, match="could run a program"):
        rater("cnniqa", weights=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()
