"""LPIPS and FID through BasicSR's registry, with weights from files, against pyiqa itself."""

import socket

import cv2
import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_metric
from skimage.data import astronaut

from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.metrics.fid_features import features, frechet, load_inception
from wxr_plugin.metrics.full_reference_metric import FidShare

RGB = np.ascontiguousarray(astronaut()[:96, :128])
BGR = np.ascontiguousarray(RGB[..., ::-1])
BLURRED = cv2.GaussianBlur(BGR, (0, 0), 2)
CPU = torch.device("cpu")


def tensor(bgr):
    return torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1])).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def lpips(tmp_path_factory):
    """LPIPS with random weights, and a file with all of them."""
    from pyiqa.archs.lpips_arch import LPIPS
    from torchvision import models

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        alexnet = models.alexnet
        patch.setattr(models, "alexnet", lambda **_: alexnet(weights=None))
        net = LPIPS(pretrained=False).eval()
    for lin in net.lins:  # as trained ones: no negative distance
        lin.model[-1].weight.data.abs_()
    file = tmp_path_factory.mktemp("weights") / "lpips.pth"
    torch.save(net.state_dict(), file)
    return net, str(file)


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """Write a file like pyiqa's pt_inception-…pth, with random weights."""
    from pyiqa.archs import inception

    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_pretrained_network", lambda net, url: made.append(net))
        torch.manual_seed(0)
        inception.InceptionV3()
    for layer in made[0].modules():
        if isinstance(
            layer, torch.nn.Conv2d
        ):  # the default start lets features die out over 90 layers
            torch.nn.init.kaiming_normal_(layer.weight)
    file = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(made[0].state_dict(), file)
    return str(file)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Without a connection, and without any file of pyiqa or torchvision."""

    def nowhere(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "pyiqa"))
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))


def score(img, img2=BGR, **options):
    return calculate_metric(
        {"img": img, "img2": img2}, {"type": "calculate_fr_iqa", "device": "cpu", **options}
    )


def share(img, img2, **options):
    return calculate_metric(
        {"img": img, "img2": img2}, {"type": "calculate_fid", "device": "cpu", **options}
    )


def test_lpips_is_that_of_its_weights(lpips):
    net, file = lpips
    with torch.no_grad():
        expected = net(tensor(BLURRED), tensor(BGR)).item()
        cut = net(tensor(BLURRED[8:-8, 8:-8]), tensor(BGR[8:-8, 8:-8])).item()
    assert score(BLURRED, weights=file) == pytest.approx(expected, rel=1e-4) and expected > 0.001
    assert score(BLURRED, weights=file, crop_border=8) == pytest.approx(cut, rel=1e-4)
    assert score(BGR, weights=file) == pytest.approx(0, abs=1e-6)


def test_a_metric_without_weights_and_the_order_of_images():
    import pyiqa

    expected = pyiqa.create_metric("vif", device="cpu")(tensor(BLURRED), tensor(BGR)).item()
    assert score(BLURRED, metric="vif") == pytest.approx(expected, rel=1e-4)
    assert score(BGR, BLURRED, metric="vif") != pytest.approx(expected, rel=1e-2)


def test_a_pair_too_small_for_the_metric_has_no_score(lpips):
    tiny = np.zeros((9, 9, 3), np.uint8)
    assert np.isnan(score(tiny, tiny, weights=lpips[1]))


def test_weights_that_are_not_all_there_are_refused(lpips, tmp_path):
    part = {key: value for key, value in lpips[0].state_dict().items() if key.startswith("lin")}
    torch.save(part, tmp_path / "lins.pth")
    with pytest.raises(
        WxrError, match=r"lins.pth lacks 10 of lpips's weights \(net.slice1.0.weight"
    ):
        score(BLURRED, weights=str(tmp_path / "lins.pth"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "musiq"}, "rates one image and does not compare"),
        ({"metric": "lpipz"}, "is not one of pyiqa's.*lpips"),
        ({"weights": "nowhere.pth"}, "nowhere.pth does not exist"),
        ({"metric": "lpips-vgg"}, r"put vgg16.* at .*vgg16"),
    ],
)
def test_metrics_that_cannot_be_computed_are_refused(options, message, offline):
    with pytest.raises(WxrError, match=message):
        score(BLURRED, **options)


@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_images_reach_inception_as_pyiqa_makes_them(mode, tmp_path):
    from pyiqa.archs.fid_arch import ResizeDataset

    write_image(tmp_path / "photo.png", RGB)
    pixels = ResizeDataset([tmp_path / "photo.png"], mode)[0]
    expected = (pixels - 128) / 128 if mode == "clean" else 2 * (pixels / 255) - 1
    seen = []

    class Net(torch.nn.Conv2d):
        def forward(self, batch):
            seen.append(batch)
            return [torch.zeros(len(batch), 2048, 1, 1)]

    features(Net(1, 1, 1), [RGB, RGB[:60, :100]], mode)
    assert seen[0].shape == (2, 3, 299, 299)
    torch.testing.assert_close(seen[0][0], expected, rtol=0, atol=1e-5)


def test_the_share_of_an_image_is_both_sides_features(inception, tmp_path):
    from pyiqa.archs.fid_arch import get_folder_features

    computed = share(BLURRED, BGR, weights=inception, crop_border=4)
    for number, bgr in enumerate((BLURRED, BGR)):
        write_image(
            tmp_path / "folder" / f"{number}.png", np.ascontiguousarray(bgr[4:-4, 4:-4, ::-1])
        )
    given = {"num_workers": 0, "device": CPU, "mode": "clean", "verbose": False}
    expected = get_folder_features(
        str(tmp_path / "folder"), load_inception(inception, CPU), **given
    )
    assert expected.shape == (2, 2048) and np.abs(expected[0] - expected[1]).max() > 1e-3
    np.testing.assert_allclose(
        [computed.restored, computed.clean], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize(("first", "second"), [(60, 40), (12, 200), (5, 7)])
def test_the_distance_is_pyiqas(first, second):
    from pyiqa.archs.fid_arch import frechet_distance

    rng = np.random.default_rng(0)
    sets = [
        rng.normal(0.3 * i, 1 + i, (count, 8)) @ rng.normal(size=(8, 8))
        for i, count in enumerate((first, second))
    ]
    expected = frechet_distance(
        *(f(values) for values in sets for f in (lambda v: v.mean(0), lambda v: np.cov(v.T)))
    )
    assert frechet(*sets) == pytest.approx(expected, rel=1e-3)


def test_the_distance_of_known_gaussians():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(4000, 4))
    assert frechet(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet(features, features + np.array([3, 0, 0, 0])) == pytest.approx(9)
    assert frechet(features, 2 * features) == pytest.approx(
        np.trace(np.cov(features.T)) + (features.mean(0) ** 2).sum()
    )
    assert np.isnan(frechet(features[:1], features))


def test_fid_over_shares():
    rng = np.random.default_rng(2)
    shares = [FidShare(*rng.normal(size=(2, 6))) for _ in range(20)]
    restored = np.stack([share.restored for share in shares])
    clean = np.stack([share.clean for share in shares])
    assert FidShare.over(shares) == frechet(restored, clean)
    assert np.isnan(FidShare.over(shares[:1]))


def test_a_model_that_sums_shares_is_refused():
    with pytest.raises(OptionError, match="model_type: WxrModel"):
        sum([FidShare(np.zeros(4), np.zeros(4))])


def test_weights_of_fid_that_are_missing_or_wrong(offline, tmp_path):
    with pytest.raises(WxrError, match=r"nowhere\.pth does not exist"):
        share(BGR, BGR, weights="nowhere.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(
        WxrError, match=r"cannot make the metric 'fid' with the weights .*other\.pth"
    ):
        share(BGR, BGR, weights=str(tmp_path / "other.pth"))
    with pytest.raises(WxrError, match=r"put pt_inception.*\.pth of http.* at .*pyiqa"):
        share(BGR, BGR)
