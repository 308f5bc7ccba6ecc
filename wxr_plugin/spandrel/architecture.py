"""A network of this package as an architecture of spandrel."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from basicsr.archs import build_network
from spandrel import (
    Architecture,
    ArchSupport,
    ImageModelDescriptor,
    ModelTiling,
    SizeRequirements,
    StateDict,
)
from torch import Tensor, nn

from wxr_plugin.checkpoints.fitting import (
    Shapes,
    aligned,
    differences,
    fits,
    network_shapes,
    shapes_of,
)
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.reach import whole_image_part
from wxr_plugin.spandrel.parameters import Entry, arguments_of, entries
from wxr_plugin.utils.namesakes import our_network
from wxr_plugin.zoo.rows import find_row, networks, rows


class WeatherArchitecture(Architecture[nn.Module]):
    """An architecture that recognises the state dicts of one network, published or trained here.

    Args:
        name: registered name of the network.
        entry: what architectures.yml has about it.
        prefer: names of the rows of the zoo that come first.
    """

    def __init__(self, name: str, entry: Entry, prefer: Sequence[str] = ()):
        # The prefix keeps the ids apart from those of spandrel and of other packages.
        super().__init__(id=f"wxr_plugin.{name}", name=name, detect=self._has_keys)
        self.network, self.entry, self.prefer = name, entry, tuple(prefer)

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[nn.Module]:
        """Return the model with these weights.

        Raises:
            WxrError: no published or derived size of the network fits them; has the differences.
        """
        block, weights = self._fitted(state_dict)
        net = build_network(dict(block))
        tiling = ModelTiling.DISCOURAGED if whole_image_part(net) else ModelTiling.SUPPORTED
        return ImageModelDescriptor(
            net.eval(),
            weights,
            architecture=self,
            purpose="Restoration",
            tags=[],
            supports_half=False,
            supports_bfloat16=self.entry.bf16,
            scale=1,
            input_channels=3,
            output_channels=3,
            # The networks pad images to their strides as their authors do, so any multiple will do.
            size_requirements=SizeRequirements(minimum=getattr(net, "least", 0)),
            tiling=tiling,
        )

    def _has_keys(self, state_dict: StateDict) -> bool:
        prefix = _prefix(state_dict, self.entry.keys[0])
        if prefix is None or any(prefix + key in state_dict for key in self.entry.without):
            return False
        return all(prefix + key in state_dict for key in self.entry.keys)

    def _fitted(self, state_dict: StateDict) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the `network_g` block that the weights fit, and the weights under its names."""
        difference = ""
        for block, expected in self._blocks(state_dict):
            weights = aligned(state_dict, expected)
            if fits(weights, expected):
                return block, weights
            difference = difference or differences(shapes_of(weights), expected)
        raise WxrError(
            f"the weights look like those of {self.network}, but do not fit: {difference}"
        )

    def _blocks(self, state_dict: StateDict) -> Iterator[tuple[dict[str, Any], Shapes]]:
        """Yield the blocks of the published networks, then those with arguments by the shapes."""
        published = list(self._published()) or [our_network({"type": self.network})]
        for block in published:
            yield block, network_shapes(block)
        prefix = _prefix(state_dict, self.entry.keys[0]) or ""
        shapes = shapes_of({name.removeprefix(prefix): state_dict[name] for name in state_dict})
        derived = arguments_of(self.entry, shapes)
        for block in published if derived else ():
            changed = {**block, **derived}
            try:
                yield changed, network_shapes(changed)
            except (TypeError, ValueError, RuntimeError):
                continue  # arguments that do not go together

    def _published(self) -> Iterator[dict[str, Any]]:
        """Yield each block of the rows of the zoo once, those of preferred rows first."""
        chosen = [row for row in rows().values() if row.network_g["type"] == self.network]
        seen = set()
        # Preferred rows are False, which sorts first.
        for row in sorted(chosen, key=lambda row: row.name not in self.prefer):
            for block in networks(row):
                text = json.dumps(block, sort_keys=True)
                if text not in seen:
                    seen.add(text)
                    yield block


def all_supports(prefer: tuple[str, ...] = ()) -> list[ArchSupport]:
    """Return the entries for spandrel's registry."""
    supports = []
    for name, entry in entries().items():
        architecture = WeatherArchitecture(name, entry, prefer)
        before = tuple(architecture_id(other) for other in entry.before)
        supports.append(ArchSupport.from_architecture(architecture, before))
    return supports


def architecture_id(name: str) -> Any:
    """Return the id of an architecture of spandrel; its type is a plain string at run time."""
    return name


def check_rows(names: Sequence[str]) -> None:
    """Raise WxrError for a name that is no row of the zoo."""
    for name in names:
        find_row(name)


def _prefix(state_dict: StateDict, key: str) -> str | None:
    """Return the prefix of all names of a state dict that has `key`; None if it lacks the key."""
    for name in state_dict:
        prefix = name.removesuffix(key)
        if name.endswith(key) and all(other.startswith(prefix) for other in state_dict):
            return prefix
    return None
