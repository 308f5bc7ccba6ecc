"""The weather prior: values, and its initial state."""

import pytest
import torch

from wxr_plugin.archs.context import Context, ContextError
from wxr_plugin.archs.cwp import DIM, PriorAttention, WeatherPriors
from wxr_plugin.archs.sarcwp_arch import SARCWP


def test_attention_to_equal_tokens_is_their_value():
    torch.manual_seed(0)
    layer, x = PriorAttention(64), torch.randn(2, 64, 3, 5)
    tokens = torch.randn(2, 1, DIM).expand(-1, 4, -1)
    value = layer.to_kv(tokens[:, 0])[:, 64:, None, None]
    with torch.no_grad():
        assert torch.equal(layer(x, tokens), x)
        layer.gamma.fill_(2.0)
        torch.testing.assert_close(layer(x, tokens), x + 2 * value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "heads"), [(64, 2), (32, 1), (20, 1), (8, 1)])
def test_heads_have_32_channels_if_possible(channels, heads):
    layer = PriorAttention(channels)
    assert layer.heads == heads
    assert layer(torch.rand(1, channels, 4, 4), torch.rand(1, 3, DIM)).shape == (1, channels, 4, 4)


def test_tokens_are_the_sample_and_the_learnt_vectors():
    priors = WeatherPriors(["image"], 6, [8], vectors=5)
    first, second = (
        priors.tokens(Context(image=image)) for image in (torch.rand(2, 6), torch.rand(2, 6))
    )
    assert first.shape == (2, 6, DIM) and torch.equal(first[:, 1:], second[:, 1:])
    assert torch.equal(first[1, 1:], priors.vectors) and not torch.equal(first[:, 0], second[:, 0])
    scaled = priors.tokens(Context(image=3 * torch.ones(1, 6)))
    torch.testing.assert_close(scaled, priors.tokens(Context(image=torch.ones(1, 6))))
    with torch.no_grad():
        added = WeatherPriors(["image"], 6, [8], vectors=5, join="add")
        added.load_state_dict(priors.state_dict())
        context = Context(image=torch.rand(2, 6))
        apart = priors.tokens(context)
        torch.testing.assert_close(added.tokens(context), apart[:, 1:] + apart[:, :1])
    with pytest.raises(ValueError, match="one of append, add, not 'sum'"):
        WeatherPriors(["image"], 6, [8], join="sum")
    with pytest.raises(ContextError, match="got no image embedding"):
        priors.tokens(Context(content=torch.rand(2, 6)))


def test_a_network_that_takes_no_image_has_no_prior():
    priors = WeatherPriors(["content"], 6, [8])
    assert not list(priors.parameters()) and priors.tokens(None) is None
    assert torch.equal(priors.level(0, x := torch.rand(1, 8, 2, 2), None), x)


def test_the_prior_changes_nothing_before_training():
    torch.manual_seed(0)
    plain, steered = (SARCWP(**SARCWP.smoke, context=context) for context in ([], ["image"]))
    steered.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(2, 3, 21, 24)
    with torch.no_grad():
        assert torch.equal(plain(image), steered(image, Context(image=torch.randn(2, 8))))


def test_wrong_numbers_of_levels_are_refused():
    with pytest.raises(ValueError, match="enc_blk_nums has 4 numbers and dec_blk_nums 3"):
        SARCWP(enc_blk_nums=[1, 1])
    with pytest.raises(ValueError, match="one or more of image, not"):
        SARCWP(context=["content"])
