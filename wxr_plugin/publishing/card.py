"""The model card of a repository: front matter in YAML, then Markdown."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from torch import nn

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import is_reference, read_reference
from wxr_plugin.options.nested import block
from wxr_plugin.publishing.recipe import Rows, data_lines
from wxr_plugin.publishing.weights import Blocks, version

NAME = "README.md"
RECIPE = "recipe.yml"
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_HEADING = re.compile(r"^(#+ )", re.MULTILINE)


class Facts(NamedTuple):
    """What the card of a restorer states."""

    repo: str
    """OWNER/NAME on the hub."""
    network: nn.Module
    blocks: Blocks
    options: Mapping[str, Any] = {}
    """Options of the training; empty if they are not known."""
    licence: str | None = None
    """Identifier of a licence; None: not stated."""
    rows: Rows = []
    """Means of the last validation."""
    benchmark: str = ""
    """Table of a benchmark in Markdown."""
    pictures: Sequence[tuple[str, bool]] = ()
    """Path of a picture, and whether it shows the input on its left."""
    notes: str = ""
    """Card that lies next to the checkpoint, in Markdown."""
    has_recipe: bool = False


def checked_licence(licence: str | None) -> str | None:
    """Return the identifier of a licence in small letters.

    Raises:
        WxrError: it cannot be one.
    """
    if licence is None:
        return None
    identifier = licence.strip().lower()
    if not _IDENTIFIER.fullmatch(identifier):
        raise WxrError(
            f"--licence {licence!r}: take an identifier of the hub, such as mit, apache-2.0, "
            "cc-by-nc-4.0 or other"
        )
    return identifier


def restorer_card(facts: Facts) -> str:
    """Return the card of a restorer."""
    kind = facts.blocks["network_g"].get("type", "network")
    tags = ["image-restoration", "weather-removal", "basicsr", str(kind).lower()]
    head = front_matter(facts.licence, tags, "image-to-image", _base_model(facts.options))
    sections = [
        head + f"# {facts.repo.rpartition('/')[2]}",
        _summary(facts, str(kind)),
        _pictures(facts.pictures),
        _use(facts.repo),
        _section("Network", _yaml(facts.blocks)),
        _section("Recipe", _recipe(facts)),
        _section("Data", "\n".join(data_lines(facts.options))),
        _section("Validation", _table(facts.rows)),
        _section("Benchmark", facts.benchmark),
        _section("Notes", _HEADING.sub(r"##\1", facts.notes.strip())),
        _section("Licence", _licence(facts.licence)),
        f"Written by `wxr hub push`, wxr_plugin {version()}.",
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def plain_card(repo: str, licence: str | None, text: str, tags: Sequence[str]) -> str:
    """Return the card of prompts, or of another model, that `text` describes."""
    head = front_matter(licence, tags)
    sections = [head + f"# {repo.rpartition('/')[2]}", text, _section("Licence", _licence(licence))]
    return "\n\n".join(sections) + "\n"


def front_matter(
    licence: str | None,
    tags: Sequence[str],
    pipeline: str | None = None,
    base_model: str | None = None,
) -> str:
    """Return the metadata that the hub reads, between lines of dashes."""
    values = {
        "license": licence,
        "library_name": "wxr_plugin",
        "pipeline_tag": pipeline,
        "base_model": base_model,
        "tags": list(dict.fromkeys(tags)),
    }
    stated = {key: value for key, value in values.items() if value}
    return f"---\n{yaml.safe_dump(stated, sort_keys=False)}---\n\n"


def _summary(facts: Facts, kind: str) -> str:
    count = sum(parameter.numel() for parameter in facts.network.parameters())
    text = f"`{kind}`, {count:,} parameters: a network that restores photographs, for wxr_plugin."
    guide = facts.blocks.get("guide", {}).get("model")
    return f"{text} It is guided by `{guide}`." if guide else text


def _use(repo: str) -> str:
    return (
        "## Use\n\n"
        "```bash\n"
        f"wxr restore rain.jpg -o restored/ --checkpoint hf://{repo}\n"
        "```\n\n"
        "```python\n"
        "import wxr_plugin as wxr\n\n"
        f'model = wxr.load("hf://{repo}")\n'
        'model("rain.jpg").save("clear.png")\n'
        "```"
    )


def _pictures(pictures: Sequence[tuple[str, bool]]) -> str:
    lines = []
    for path, has_input in pictures:
        text = "left: the input, right: the result" if has_input else "a result"
        lines.append(f"![{text}]({path})")
    if any(has_input for _, has_input in pictures):
        lines.append("Where there are two, the left one is the input.")
    return "\n\n".join(lines)


def _recipe(facts: Facts) -> str:
    if not facts.options:
        return "Not stored with the checkpoint."
    train = block(facts.options, "train")
    lines = []
    for key in ("total_iter", "ema_decay", "optim_g", "scheduler"):
        if key in train:
            lines.append(f"- {key}: `{train[key]}`")
    for key, loss in train.items():
        if key.endswith("_opt") and isinstance(loss, Mapping):
            lines.append(f"- {key}: `{loss.get('type')}`, weight {loss.get('loss_weight', 1)}")
    batch = block(facts.options, "datasets", "train").get("batch_size_per_gpu")
    if batch:
        lines.append(f"- batch size per GPU: {batch}")
    seed = facts.options.get("manual_seed")
    lines.append(f"- seed: {'random' if seed is None else seed}")
    if facts.has_recipe:
        lines.append(f"- all options: [{RECIPE}]({RECIPE}), for `wxr train -opt {RECIPE}`")
    return "\n".join(lines)


def _base_model(options: Mapping[str, Any]) -> str | None:
    """Return the repository whose weights the training started from."""
    start = block(options, "path").get("pretrain_network_g")
    return read_reference(start).repo if is_reference(start) else None


def _yaml(content: Any) -> str:
    # Through plain types: options may hold ordered dicts.
    return f"```yaml\n{yaml.safe_dump(content, sort_keys=False)}```"


def _table(rows: Rows) -> str:
    if not rows:
        return ""
    lines = ["| set | metric | mean |", "|---|---|---|"]
    lines += [f"| {name} | {metric} | {value} |" for name, metric, value in rows]
    return "\n".join(lines)


def _licence(licence: str | None) -> str:
    if licence is None:
        return "Not stated; ask the authors before you use it."
    return f"`{licence}`. The licences of the training data may restrict further uses."


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""
