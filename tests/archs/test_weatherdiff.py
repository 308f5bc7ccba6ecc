from pathlib import Path

import parity
import pytest
import torch
from half_precision import bfloat16_error

from wxr_plugin.archs.weatherdiff_arch import WeatherDiff

PARITY = Path(__file__).parents[1] / "parity"
FOR_128 = {"image_size": 128, "ch_mult": [1, 1, 2, 3, 4]}


def photos(*size):
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


def noise(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixture", "arguments"), [("weatherdiff_unet64", {}), ("weatherdiff_unet128", FOR_128)]
)
def test_matches_the_published_network(fixture, arguments):
    published = PARITY / f"{fixture}.json"
    parity.check(
        WeatherDiff(**arguments),
        published,
        call=lambda net, given: net.published(given["x"], given["t"]),
    )


@pytest.mark.parametrize(
    ("arguments", "levels"), [({}, [2]), ({"image_size": 128}, []), ({"image_size": 32}, [1])]
)
def test_levels_attend_where_patches_have_16_pixels(arguments, levels):
    names = WeatherDiff(**WeatherDiff.smoke | arguments).state_dict()
    for way in ("down", "up"):
        assert [level for level in range(3) if f"{way}.{level}.attn.0.q.weight" in names] == levels
    assert "mid.attn_1.q.weight" in names


def test_the_degraded_image_comes_first_and_between_minus_one_and_one():
    net, xt, lq = parity.fill(WeatherDiff(**WeatherDiff.smoke)), noise(32, 32), photos(32, 32)
    with torch.no_grad():
        want = net.published(torch.cat((lq * 2 - 1, xt), dim=1), torch.tensor([400]))
        assert torch.equal(net(xt, lq, 400), want)


def test_a_time_for_all_is_that_time_for_each():
    net, xt, lq = parity.fill(WeatherDiff(**WeatherDiff.smoke)), noise(16, 16), photos(16, 16)
    with torch.no_grad():
        both = net(xt, lq, torch.tensor([400, 10]))
        torch.testing.assert_close(both[:1], net(xt, lq, 400)[:1])
        torch.testing.assert_close(both[1:], net(xt, lq, 10.0)[1:])
        assert not torch.allclose(both[0], net(xt, lq, 10)[0], atol=1e-3)


@pytest.mark.parametrize(
    ("size", "mode"), [((1, 1), "replicate"), ((5, 7), "reflect"), ((33, 50), "reflect")]
)
def test_any_size_is_seen_extended(size, mode):
    net, xt, lq = parity.fill(WeatherDiff(**WeatherDiff.smoke)), noise(*size), photos(*size)
    more = (0, -size[1] % 4, 0, -size[0] % 4)
    wide = [torch.nn.functional.pad(image, more, mode=mode) for image in (xt, lq)]
    with torch.no_grad():
        assert torch.equal(net(xt, lq, 3), net(*wide, 3)[..., : size[0], : size[1]])


def test_float64_and_bfloat16_agree_with_float32():
    net, xt, lq = parity.fill(WeatherDiff(**WeatherDiff.smoke)), noise(33, 50), photos(33, 50)
    with torch.no_grad():
        assert bfloat16_error(net, xt, lq, 3) < 0.03
        got = net(xt, lq, 3)
        exact = net.double()(xt.double(), lq.double(), 3)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(got.double(), exact, rtol=1e-3, atol=1e-4)
