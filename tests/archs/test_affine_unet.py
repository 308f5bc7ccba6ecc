import pytest
import torch

from wxr_plugin.archs.affine_unet_arch import AffineUNet, LocalAttention

QUICK = {"widths": [4, 6, 8], "enc_blocks": [1, 1, 1], "dec_blocks": [1, 1], "window": 3}


def shaken(**options):
    """Build a small instance with large random weights."""
    torch.manual_seed(0)
    net = AffineUNet(**QUICK | options).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def test_a_head_of_zeros_returns_the_image():
    net = shaken()
    torch.nn.init.zeros_(net.ending.weight)
    torch.nn.init.zeros_(net.ending.bias)
    image = torch.rand(2, 3, 21, 34)
    assert torch.equal(net(image), image)


def test_it_can_invert_haze_of_one_depth():
    """J = I / t + A (1 - 1 / t) is a gain of 1 / t - 1 and an offset of A (1 - 1 / t)."""
    net, image = shaken(), torch.rand(1, 3, 16, 16)
    transmission, airlight = 0.4, 0.9
    torch.nn.init.zeros_(net.ending.weight)
    with torch.no_grad():
        net.ending.bias[:3] = 1 / transmission - 1
        net.ending.bias[3:] = airlight * (1 - 1 / transmission)
    hazy = image * transmission + airlight * (1 - transmission)
    torch.testing.assert_close(net(hazy), image, rtol=1e-4, atol=1e-5)


def test_an_even_image_stays_even_whatever_the_weights():
    """No layer treats even and odd pixels differently, so the network cannot draw a mesh."""
    even = torch.full((1, 3, 128, 128), 0.6)
    inside = shaken()(even)[..., 56:72, 56:72]
    rounding = 1e-6 * inside.abs().max()
    assert inside.std(dim=(2, 3)).max() < rounding


def test_it_is_local_so_tiles_match_the_whole_image():
    net, image = shaken(), torch.rand(1, 3, 64, 256)
    whole, tile = net(image), net(image[..., :192])
    torch.testing.assert_close(tile[..., :96], whole[..., :96], rtol=1e-4, atol=1e-4)


def test_the_attention_of_an_even_map_does_not_depend_on_the_border():
    attention = LocalAttention(2, 5)
    weighed = attention(torch.ones(1, 2, 9, 9))
    assert torch.allclose(weighed, weighed[..., 4:5, 4:5].expand_as(weighed))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enc_blocks": [1, 1]}, "3 widths need as many enc_blocks"),
        ({"window": 4}, "window must be odd, not 4"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        AffineUNet(**QUICK | options)
