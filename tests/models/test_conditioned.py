"""A network that takes a context gets a guide's embeddings, once for each image."""

import pytest
import torch
from basicsr.models import build_model
from toy_training import train

from wxr_plugin.archs.context import Context
from wxr_plugin.conditioning.clip import build_clip
from wxr_plugin.conditioning.daclip import DaCLIP
from wxr_plugin.conditioning.guides import load_daclip
from wxr_plugin.errors import OptionError

NET = {"type": "NAFNet", "width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]}


@pytest.fixture(scope="module")
def guide(tmp_path_factory) -> str:
    """A file with the packaged CLIP and a controller that adds something."""
    torch.manual_seed(0)
    model = DaCLIP(*build_clip("tiny"))
    with torch.no_grad():
        for name, weights in model.visual_control.named_parameters():
            if "zero_modules" in name:
                weights.normal_(std=0.1)
    file = tmp_path_factory.mktemp("guide") / "daclip.pth"
    torch.save({"state_dict": model.state_dict()}, file)
    return str(file)


@pytest.fixture
def steered(options, guide):
    """Make a model whose network takes the degradation, with changes to its options."""

    def make(block=None, data=None, net=None, **settings):
        opt = options(**settings)
        opt["network_g"] = {
            **NET,
            "context": ["degradation"],
            "context_dim": load_daclip(guide).dim,
            **(net or {}),
        }
        opt["guide"] = {"model": guide, **(block or {})}
        opt["datasets"]["train"] = {"phase": "train", **(data or {})}
        torch.manual_seed(0)
        return build_model(opt)

    return make


@pytest.fixture
def embedded(monkeypatch, guide):
    """The batches that the guide was given."""
    seen, real = [], type(load_daclip(guide)).embed

    def embed(self, images, bf16=False):
        seen.append(images)
        return real(self, images, bf16)

    monkeypatch.setattr(type(load_daclip(guide)), "embed", embed)
    return seen


def batch(count: int = 2, **more) -> dict:
    made = torch.Generator().manual_seed(count)
    lq, gt = (torch.rand(count, 3, 24, 32, generator=made) for _ in range(2))
    return {"lq": lq, "gt": gt, "lq_path": [f"{i}.png" for i in range(count)], **more}


def test_the_network_learns_with_the_embeddings_of_its_batch(steered, guide):
    model = steered()
    train(model, [batch()])
    grads = {name: p.grad for name, p in model.net_g.named_parameters()}
    model.feed_data(batch())
    expected = load_daclip(guide).embed(model.lq)
    assert torch.equal(model.context(model.lq).degradation, expected.degradation)
    assert all(grad is not None for grad in grads.values())
    with torch.no_grad():
        assert torch.equal(
            model.predict(model.lq),
            model.net_g(model.lq, Context(degradation=expected.degradation)),
        )


def test_an_image_is_embedded_once_a_batch_whoever_restores_it(steered, embedded):
    model = steered(ema_decay=0.9)
    model.feed_data(batch())
    model.predict(model.lq), model.predict(model.lq, model.net_g_ema), model.test()
    assert len(embedded) == 1
    model.feed_data(batch())
    model.predict(model.lq)
    assert len(embedded) == 2


def test_a_network_without_context_loads_no_guide(build, embedded):
    model = build()
    train(model, [batch()])
    assert model.guide is None and not embedded


def test_whole_photos_are_embedded_and_kept(steered, embedded):
    model = steered({"view": "photo", "cache_mb": 1}, {"guide_size": 64})
    whole = torch.rand(2, 3, 64, 64)
    seen = batch(lq_guide=whole, lq_guide_key=["a", "b"])
    model.feed_data(seen)
    first = model.context(model.lq)
    assert torch.equal(embedded[0], whole)
    model.feed_data({**seen, "lq_guide": whole.flip(0), "lq_guide_key": ["b", "a"]})
    assert (
        torch.equal(model.context(model.lq).content, first.content.flip(0)) and len(embedded) == 1
    )
    model.feed_data({**seen, "lq_guide_key": ["b", "c"]})
    model.context(model.lq)
    assert torch.equal(embedded[1], whole[1:])


def test_validation_embeds_the_whole_photo(steered, embedded):
    model = steered({"view": "photo"}, {"guide_size": 64})
    model.feed_data(batch(1))
    model.test()
    assert embedded[0] is model.lq


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"net": {"context_dim": 7}},
            r"gives embeddings of length 64, network_g takes 7: set .*context_dim: 64",
        ),
        ({"net": {"context": []}}, "takes no context: set network_g.context"),
        ({"block": {"view": "photo"}}, "go together"),
        ({"data": {"guide_size": 64}}, "go together"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(steered, settings, message):
    with pytest.raises(OptionError, match=message):
        steered(**settings)


def test_a_missing_guide_is_refused(options):
    opt = options()
    opt["network_g"] = {**NET, "context": ["content", "degradation"], "width": 16}
    with pytest.raises(
        OptionError, match="takes a context of content and degradation, and no guide computes it"
    ):
        build_model(opt)


def test_a_cache_of_random_crops_is_refused(steered):
    with pytest.raises(Exception, match="random crops never come again"):
        steered({"cache_mb": 1})
