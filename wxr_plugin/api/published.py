"""Saving and publishing of a restorer, by the conventions of huggingface_hub's mixin."""

import tempfile
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.errors import WxrError

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer
    from wxr_plugin.inference.specs import RestorerSpec
    from wxr_plugin.publishing.weights import Blocks


class Published:
    """Methods of a `Model` that write it: `save_pretrained` and `push_to_hub`."""

    restorer: "Restorer"
    name: str
    spec: "RestorerSpec | None"

    def save_pretrained(
        self,
        save_directory: str | PathLike,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        licence: str | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write model.safetensors, config.json and README.md into a folder.

        The weights are those of the network as it is now. Files of these names are replaced, others
        stay.

        Args:
            save_directory: the folder, created if it is missing.
            repo_id: OWNER/NAME for the card and the upload (default: name of the folder).
            push_to_hub: also call `push_to_hub`, with `push_to_hub_kwargs`.
            licence: identifier of the licence of the weights, such as mit.

        Returns:
            Address of the commit if `push_to_hub`, None otherwise.

        Raises:
            WxrError: the network has a guide that is a file of this machine, or the upload fails.
        """
        from wxr_plugin.publishing.card import Facts, checked_licence
        from wxr_plugin.publishing.folder import write_network

        folder = Path(save_directory).expanduser()
        name = repo_id or folder.resolve().name
        facts = Facts(name, self.restorer.net, self._blocks(), licence=checked_licence(licence))
        folder.mkdir(parents=True, exist_ok=True)
        write_network(folder, self.restorer.net, facts)
        if not push_to_hub:
            return None
        return self.push_to_hub(name, licence=licence, **push_to_hub_kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        licence: str | None = None,
    ) -> str:
        """Send the files of `save_pretrained` to the hub in one commit.

        Files of these names are replaced without a question; `wxr hub push` asks, and its card has
        the recipe of the training.

        Args:
            repo_id: OWNER/NAME, created if necessary.
            commit_message: message of the commit.
            private: whether a new repository is private (default: as the account says).
            token: token of the hub (default: that of `hf auth login`, or HF_TOKEN).
            branch: branch, created if necessary (default: main).
            licence: identifier of the licence of the weights, such as mit.

        Returns:
            Address of the commit.

        Raises:
            WxrError: the hub cannot be reached or refuses; one line says what to do.
        """
        from wxr_plugin.hub.failures import endpoint
        from wxr_plugin.publishing.upload import MESSAGE, Upload, checked_repo, push_folder

        repo = checked_repo(repo_id)
        upload = Upload(repo, branch, private, token, commit_message or MESSAGE)
        with tempfile.TemporaryDirectory() as temporary:
            self.save_pretrained(temporary, repo_id=repo, licence=licence)
            reference = push_folder(Path(temporary), upload, lambda names: True)
        return f"{endpoint()}/{repo}/commit/{reference.revision}"

    def _blocks(self) -> "Blocks":
        from wxr_plugin.publishing.weights import blocks_of

        if self.spec is None:
            raise WxrError(
                f"{self.name}: load it with wxr.load to save it; its options are unknown"
            )
        return blocks_of(self.spec)


def pretrained_place(place: str, revision: str | None) -> str:
    """Return what `load` takes for the argument of `from_pretrained`."""
    from wxr_plugin.hub import is_reference, read_reference
    from wxr_plugin.hub.choosing import only_weights

    if Path(place).is_dir():
        if revision:
            raise WxrError(f"revision={revision!r}: {place} is a folder; leave it out")
        names = [path.name for path in Path(place).iterdir() if path.is_file()]
        return str(Path(place) / only_weights(names, place))
    reference = read_reference(place if is_reference(place) else f"hf://{place}")
    return str(reference._replace(revision=revision or reference.revision))
