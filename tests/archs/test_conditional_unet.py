from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.conditional_unet_arch import ConditionalUNet, ImageSizeError
from wxr_plugin.archs.context import Context, ContextError, context_inputs

PARITY = Path(__file__).parents[1] / "parity"

UIR = {"ch_mult": [1, 2, 4, 8], "context": ["content", "degradation"], "context_dim": 512}
WILD = {"ch_mult": [1, 2, 4, 8], "context": ["content"], "context_dim": 768, "scale": 0.5}
SMALL = {"nf": 32, "ch_mult": [1, 2], "context_dim": 16}


def outputs(net, inputs):
    xt, lq, context = inputs["xt"], inputs["cond"], None
    if net.context_inputs:
        context = Context(inputs["image_context"], inputs["text_context"])
    outputs = {f"t{time}": net(xt, lq, time, context) for time in (1, 73)}
    if context:  # the authors' network can also be run without its prompt
        time, tokens = net.time_mlp(torch.tensor([73])), context.content[:, None]
        outputs["no_text"] = net._noise(torch.cat((xt - lq, lq), 1), time, tokens)
    return outputs


@pytest.mark.parametrize(
    ("fixture", "arguments"),
    [
        pytest.param("irsde_unet", {}, marks=pytest.mark.slow),  # 137 million parameters to fill
        ("daclip_uir_unet", UIR),
        ("daclip_wild_unet", WILD),
    ],
)
def test_matches_the_published_networks(fixture, arguments):
    parity.check(ConditionalUNet(**arguments), PARITY / f"{fixture}.json", call=outputs)


def example(size=(24, 20), images=2, dim=16):
    torch.manual_seed(0)
    return (
        torch.rand(images, 3, *size),
        torch.rand(images, 3, *size),
        Context(*torch.randn(2, images, dim)),
    )


@pytest.mark.parametrize("context", [[], ["content"], ["degradation"], ["degradation", "content"]])
def test_each_embedding_matters_where_it_is_taken(context):
    net = parity.fill(ConditionalUNet(**SMALL, context=context))
    assert context_inputs(net) == tuple(
        name for name in ("content", "degradation") if name in context
    )
    xt, lq, given = example()
    with torch.no_grad():
        noise = net(xt, lq, 3, given)
        for name in ("content", "degradation"):
            changed = net(xt, lq, 3, given._replace(**{name: getattr(given, name) + 1}))
            assert torch.equal(noise, changed) == (name not in context)


def test_context_that_is_missing_or_does_not_fit_is_refused():
    net = ConditionalUNet(**SMALL, context=["content", "degradation"])
    xt, lq, context = example()
    with pytest.raises(ContextError, match="content and degradation; it got no content"):
        net(xt, lq, 3)
    with pytest.raises(ContextError, match="got no degradation"):
        net(xt, lq, 3, context._replace(degradation=None))
    with pytest.raises(ContextError, match=r"\(N, 16\), the guide gives \(2, 8\)"):
        net(xt, lq, 3, Context(context.content[:, :8], context.degradation))


def test_times_may_be_one_for_all_or_one_an_image():
    net = parity.fill(ConditionalUNet(**SMALL))
    xt, lq, _ = example()
    with torch.no_grad():
        both = net(xt, lq, torch.tensor([2, 7]))
        torch.testing.assert_close(net(xt, lq, torch.tensor([7.0, 7.0])), net(xt, lq, 7))
        torch.testing.assert_close(
            both, torch.cat((net(xt[:1], lq[:1], 2), net(xt[1:], lq[1:], 7)))
        )
        assert not torch.allclose(net(xt, lq, 2), net(xt, lq, 7))
        assert not torch.allclose(net(xt, lq, 2), net(xt, lq, 2.5))


def test_the_spatial_transformers_start_as_the_identity():
    net = ConditionalUNet(**SMALL, context=["content"])
    xt, lq, context = example()
    with torch.no_grad():
        assert torch.equal(
            net(xt, lq, 3, context), net(xt, lq, 3, Context(content=context.content + 1))
        )


@pytest.mark.parametrize("scale", [1, 0.5])
@pytest.mark.parametrize("size", [(16, 16), (9, 31), (17, 10)])
def test_images_are_reflected_to_a_multiple_and_cropped(scale, size):
    net = parity.fill(ConditionalUNet(nf=8, ch_mult=[1, 2, 2, 2], scale=scale))
    xt, lq, _ = example(size)
    below, right = (-side % 16 for side in size)
    extended = [
        torch.nn.functional.pad(image, (0, right, 0, below), mode="reflect") for image in (xt, lq)
    ]
    with torch.no_grad():
        assert torch.equal(net(xt, lq, 5), net(*extended, 5)[..., : size[0], : size[1]])


def test_an_image_too_small_to_reflect_is_refused():
    with pytest.raises(
        ImageSizeError, match=r"multiple of 16.* at least 9 pixels; this image has 20x8"
    ):
        ConditionalUNet(nf=8, ch_mult=[1, 1, 1, 1])(*[torch.rand(1, 3, 8, 20)] * 2, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"context": ["image"]}, "content, degradation"),
        ({"scale": 0.25}, "1 or 0.5"),
        ({"ch_mult": []}, "ch_mult"),
        ({"nf": 7}, "even"),
        ({"nf": 8, "context": ["content"]}, "multiple of 32 channels; this level has 8"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ConditionalUNet(**SMALL | wrong)
