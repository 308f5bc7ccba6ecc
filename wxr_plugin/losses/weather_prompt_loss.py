"""L_wpl of WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101): CLIP's probability of clear weather.

The authors' slide prints the probability of the clear prompt itself. Minimising it would drive
photos away from clear, so we read it as a score and minimise its negative logarithm (our reading).
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
    """Return the mean of -log p(clear), a scalar.

    p is the softmax over the four weathers of `logit_scale` times the cosines. `image_features`
    (N, D) and `prompt_features` (4, D, in the order of WEATHERS) have unit length. The slide prints
    logit_scale 1; CLIP-LIT (Liang et al., ICCV 2023), its evident parent, uses 100.
    """
    logits = weather_logits(image_features, prompt_features, logit_scale)  # (N, 4)
    log_probabilities = F.log_softmax(logits, dim=1)
    return -log_probabilities[:, WEATHERS.index("clear")].mean()


@register_loss
class WeatherPromptLoss(GuidedLoss):
    """`loss_weight` times `weather_prompt_loss` with the learnt prompts of a file.

    Args:
        prompts_path: file written by `wxr prompts learn`.
        clip: name of the CLIP that the prompts were learnt with; `prepare` or the first call raises
            PromptError for another one.
        logit_scale: 1 as on the slide, or 100 as in CLIP-LIT; docs/wresvlm.md has the gradients of
            both.
        loss_weight: factor on the loss.

    Raises:
        PromptError: `prompts_path` is not such a file.

    `guide` is that CLIP, shared by the whole process. The input of the loss are its image features
    of the restored photos, so that all losses that need them can share one forward.
    """

    _features: Tensor | None

    def __init__(
        self,
        prompts_path: str,
        clip: str = "tiny",
        logit_scale: float = 1.0,
        loss_weight: float = 1.0,
    ):
        super().__init__()
        # Raises PromptError now for a file that cannot be read.
        WeatherPrompts.load(prompts_path)
        self.prompts_path = prompts_path
        self.clip = clip
        self.logit_scale = logit_scale
        self.loss_weight = loss_weight
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
        """Load the CLIP and encode the prompts.

        Raises:
            PromptError: the prompts were learnt with another CLIP.
        """
        self.prompt_features  # noqa: B018 (encodes them)

    def forward(self, image_features: Tensor) -> Tensor:
        loss = weather_prompt_loss(image_features, self.prompt_features, self.logit_scale)
        return self.loss_weight * loss
