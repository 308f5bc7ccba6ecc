from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.transweather_arch import TransWeather

PARITY = Path(__file__).parents[1] / "parity"


def published(net, inputs):
    return net.published(*inputs.values())


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["transweather", "transweather_pad", "transweather_base"])
def test_matches_the_published_network(fixture):
    net = TransWeather(weather_queries=fixture != "transweather_base")
    parity.check(net, PARITY / f"{fixture}.json", call=published)


@pytest.mark.parametrize("queries", [True, False])
def test_forward_is_the_published_network_on_the_converted_image(queries):
    net, image = parity.fill(TransWeather(queries, **TransWeather.smoke)), torch.rand(1, 3, 48, 80)
    with torch.no_grad():
        torch.testing.assert_close(net(image), net.published((image - 0.5) / 0.5))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50), (48, 16), (49, 200)])
def test_any_size_comes_back(size):
    net, image = parity.fill(TransWeather(**TransWeather.smoke)), torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape and restored.isfinite().all()


def test_training_leaves_branches_out():
    net, image = TransWeather(**TransWeather.smoke | {"drop_path": 0.9}), torch.rand(1, 3, 48, 48)
    torch.manual_seed(0)
    with torch.no_grad():
        assert len({net(image).sum().item() for _ in range(5)}) > 1
        net.eval()
        assert len({net(image).sum().item() for _ in range(2)}) == 1
