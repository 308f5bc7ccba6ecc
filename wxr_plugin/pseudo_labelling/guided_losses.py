"""L_wpl, L_sem and L_feat of a batch: each guide encodes the restored photos once."""

from collections.abc import Mapping, Sequence

import torch
from basicsr.losses import build_loss
from torch import Tensor, nn

from wxr_plugin.conditioning.descriptions import DescriptionFeatures, photo_of
from wxr_plugin.errors import OptionError
from wxr_plugin.losses.guided_loss import GuidedLoss
from wxr_plugin.pseudo_labelling.online import Labels
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions


class GuidedLosses:
    """Losses of restored photos that frozen guides measure.

    Args:
        options: the `train` block.
        device: where the losses are computed.
        texts: key of a photo or crop -> its description and the rewrite of it, for L_sem.

    Raises:
        OptionError: L_sem without any texts, or losses with different CLIPs.
    """

    def __init__(
        self,
        options: WResVLMTrainOptions,
        device: torch.device,
        texts: Mapping[str, tuple[str, str]],
    ):
        self.cri_wpl = _built(options.weather_prompt_opt, device)
        self.cri_sem = _built(options.semantic_opt, device)
        self.cri_feat = _built(options.feature_opt, device)
        self.clip = _one_clip([cri for cri in (self.cri_wpl, self.cri_sem) if cri])
        self.texts: DescriptionFeatures | None = None
        if self.cri_sem:
            _require_texts(texts, options)
            self.texts = DescriptionFeatures(self.clip, texts)
        self._described = {photo_of(key) for key in texts}

    def __call__(
        self, restored: Tensor, photos: Tensor, labels: Labels | None, keys: Sequence[str]
    ) -> dict[str, Tensor]:
        """Return the weighted losses of `restored` images of `photos` named `keys`, keyed by name.

        Images are (N, 3, H, W) in [0, 1].
        """
        losses = {}
        # One forward of CLIP serves both losses.
        features = self.clip.encode_image(restored) if self.clip else None
        if self.cri_wpl:
            losses["l_wpl"] = self.cri_wpl(features)
        if self.cri_sem:
            rows, negative, positive = self.texts.lookup(keys)
            # Photos without texts have no row.
            losses["l_sem"] = self.cri_sem(features[rows], positive, negative)
        if self.cri_feat:
            of_labels, of_photos = self._targets(photos, labels, keys)
            of_restored = self.cri_feat.guide.encode(restored)
            losses["l_feat"] = self.cri_feat(of_restored, of_labels, of_photos)
        return losses

    def without_texts(self, photos: Sequence[str]) -> list[str]:
        """Return the photos that L_sem skips: neither they nor a crop of them have texts."""
        return [photo for photo in self.texts.missing(photos) if photo not in self._described]

    def forget(self) -> None:
        """Empty the cache of target features.

        The last bits of a feature depend on its batch, so a resumed run computes all of them again,
        and a run that continues does the same at its checkpoints.
        """
        if self.cri_feat:
            self.cri_feat.cache.clear()

    @torch.no_grad()
    def _targets(
        self, photos: Tensor, labels: Labels, keys: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Return the features of labels and photos; those that are not cached need one forward."""
        encode = self.cri_feat.guide.encode
        cache = self.cri_feat.cache
        photo_names = [("input", key) for key in keys]
        if labels.versions is None:  # images that never recur are not worth a place in the cache
            of_photos = cache.features(photo_names, lambda rows: encode(photos[rows]))
            return encode(labels.images), of_photos
        names = [*photo_names, *zip(labels.versions, keys)]
        images = torch.cat((photos, labels.images))
        features = cache.features(names, lambda rows: encode(images[rows]))
        count = len(keys)
        return features[count:], features[:count]


def _require_texts(texts: Mapping[str, tuple[str, str]], options: WResVLMTrainOptions) -> None:
    if not texts:
        raise OptionError(
            f"train.semantic_opt: the label store {options.labels} has no description with its "
            "rewrite: make them with `wxr label describe` and `wxr label rewrite`, or remove "
            "semantic_opt"
        )


def _built(options: dict | None, device: torch.device) -> nn.Module | None:
    loss = build_loss(options).to(device) if options else None
    if isinstance(loss, GuidedLoss):
        loss.prepare()
    return loss


def _one_clip(losses: Sequence[nn.Module]) -> object | None:
    guides = {loss.guide.sha256: loss.guide for loss in losses}
    if len(guides) > 1:
        names = " and ".join(guide.name for guide in guides.values())
        raise OptionError(
            f"train: one CLIP serves all losses of a run, but they name {names}: name one"
        )
    return next(iter(guides.values()), None)
