"""The shape of an option file: one msgspec Struct a block, with a docstring line under each field."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import msgspec

ExistingPath = Annotated[str, msgspec.Meta(extra={"exists": True})]
"""A file or folder that must be there before a run starts."""


class Block(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base class for a block of an option file.

    Derive from it beside the class whose options it describes, and hang it on that class:

        class HazeOptions(Block):
            severity: tuple[float, float] = (0.2, 0.9)
            '''Lowest and highest severity, in [0, 1].'''

        class HazyDatasetOptions(Block):
            dataroot_gt: ExistingPath
            '''Folder or .lmdb of clean images.'''
            style: Literal["default", "shifted"] = "default"
            '''Setting of the synthetic weather.'''
            haze: HazeOptions | None = None
            '''Haze on the fly; none when absent.'''

        @DATASET_REGISTRY.register()
        class HazyDataset(Dataset):
            Options = HazyDatasetOptions

    - A field without a default is required. Types: bool, int, float, str, list[T], tuple[T, ...], tuple[A, B],
      dict[str, T], Literal[...], another Block, `T | None`, Any. An int is accepted where a float is asked.
    - The string under a field becomes its description in the JSON schema that editors read.
    - Datasets: `Options` lists only the dataset's own keys; those which BasicSR itself puts into a dataset block (name,
      type, phase, scale, io_backend, batch_size_per_gpu, ...) are known anyway, and may be repeated to narrow them.
    - Models: `TrainOptions` lists what the model adds to the `train` block, `TopOptions` what it adds to the top level.
    - Strings annotated `ExistingPath` are checked to exist.
    - In the class itself, turn a block into a struct with `HazyDatasetOptions.read(opt)`.
    """

    @classmethod
    def read(cls, block: Mapping[str, Any]) -> Self:
        """This struct filled from `block`; keys of `block` that are not fields (those of BasicSR) are passed over.

        Raises:
            msgspec.ValidationError: a required key is missing or a value has the wrong type.
        """
        known = {key: value for key, value in block.items() if key in cls.__struct_fields__}
        return msgspec.convert(known, cls)
