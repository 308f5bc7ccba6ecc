"""L_wpl of WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101): a restored photo must look clear to CLIP.

The authors' slide prints the probability of the clear prompt itself. Taken as a loss it would drive
photos away from clear, so it is read as a score, and its negative logarithm is minimised (our
reading).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.conditioning.prompts import WeatherPrompts, weather_logits
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.losses.guided_loss import GuidedLoss
from wxr_plugin.registry import register_loss


def weather_prompt_loss(
    image_features: Tensor, prompt_features: Tensor, logit_scale: float = 1.0
) -> Tensor:
    """Mean of -log p(clear), a scalar, p being the softmax of `logit_scale` times the cosines over the four weathers.

    `image_features` (N, D) and `prompt_features` (4, D, in the order of WEATHERS) have unit length.
    The slide prints logit_scale 1; CLIP-LIT (Liang et al., ICCV 2023), its evident parent, uses
    100.
    """
    logits = weather_logits(image_features, prompt_features, logit_scale)
    return -F.log_softmax(logits, dim=1)[:, WEATHERS.index("clear")].mean()


@register_loss
class WeatherPromptLoss(GuidedLoss):
    """`loss_weight` times `weather_prompt_loss` with the learnt prompts of a file.

    Args:
        prompts_path: file written by `wxr prompts learn`; PromptError if it is none.
        clip: name of the CLIP that they were learnt with; another one is refused (PromptError) at
            `prepare`, or at the first call.
        logit_scale: 1 as the slide prints, or 100 as CLIP-LIT; docs/wresvlm.md has the gradients of
            both.

    `guide` is that CLIP, shared by the whole process: its image features of the restored photos are
    the input, so that all losses that need them can share one forward.
    """

    def __init__(
        self,
        prompts_path: str,
        clip: str = "tiny",
        logit_scale: float = 1.0,
        loss_weight: float = 1.0,
    ):
        super().__init__()
        WeatherPrompts.load(prompts_path)
        self.prompts_path, self.clip = prompts_path, clip
        self.logit_scale, self.loss_weight = logit_scale, loss_weight
        self.register_buffer("_features", None, persistent=False)

    def load_guide(self, device: torch.device) -> Any:
        """Return the CLIP on `device`."""
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(self.clip, device)

    @property
    def prompt_features(self) -> Tensor:
        """Features (4, D) of the prompts in the order of WEATHERS, of unit length; encoded once."""
        if self._features is None:
            guide = self.guide
            self._features = WeatherPrompts.load(self.prompts_path, guide).features(guide)
        return self._features

    def prepare(self) -> None:
        """Load the CLIP and encode the prompts. Raises PromptError for prompts of another CLIP."""
        self.prompt_features  # noqa: B018 (encodes them)

    def forward(self, image_features: Tensor) -> Tensor:
        return self.loss_weight * weather_prompt_loss(
            image_features, self.prompt_features, self.logit_scale
        )
