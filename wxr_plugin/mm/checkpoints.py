"""Reader of local checkpoint files for MMEngine: safe, and for torch 2.6 too.

mmengine 0.10.7, the newest release, calls torch.load as it was before torch 2.6, and so refuses its
own log when a training resumes. The fix in its documentation, weights_only=False, would run any
code that a file contains.
"""

from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from wxr_plugin.checkpoints.reading import CheckpointError, read_dict
from wxr_plugin.hub import fetched_file


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Return the content of a file with its tensors on the CPU, from where MMEngine copies them.

    The file may be a reference to the hub (hf://OWNER/NAME).

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is broken or holds code, or it is BasicSR's, of which MMEngine would
            silently load nothing.
    """
    path = fetched_file(filename)
    content = read_dict(path)
    keys = [key for key in ("params", "params_ema") if _is_weights(content.get(key))]
    if keys and "state_dict" not in content:
        raise CheckpointError(
            f"{path} is a checkpoint of BasicSR ({', '.join(keys)}), of which MMEngine would load "
            "nothing: convert it with `wxr zoo convert FILE NEW.pth --to mmagic`, or pass it to "
            "`pretrained` of WxrSupervised"
        )
    return content


def _is_weights(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(value, Tensor) for value in content.values()
    )
