"""Which photo with weather belongs to which clean one."""

from wxr_plugin.data.images.store import ImageStore


def partner(key: str, template: str = "{}", gt_template: str = "{}") -> str:
    """The key of the partner of the clean photo `key`: in the same folder, named by `template`.

    {} stands for what it stands for in `gt_template`: norain{} and input{} pair norain7 with
    input7.
    """
    folder, slash, name = key.rpartition("/")
    before, _, after = gt_template.replace(".", "%2E").partition("{}")  # as image_key writes dots
    return (
        folder
        + slash
        + template.replace(".", "%2E").format(name.removeprefix(before).removesuffix(after))
    )


def unpaired(gt: ImageStore, lq: ImageStore, template: str = "{}", gt_template: str = "{}") -> str:
    """What is missing or surplus in `lq`, in words; empty if every image has its partner.

    Suffixes do not count.
    """
    keys, there = gt.keys(), set(lq.keys())
    wanted = {partner(key, template, gt_template) for key in keys}
    parts = [f"missing there: {_some(wanted - there)}"] if wanted - there else []
    parts += [f"without ground truth: {_some(there - wanted)}"] if there - wanted else []
    parts += ["the templates give one partner to several images"] if len(wanted) < len(keys) else []
    return f"{lq.root} does not pair with {gt.root}: {'; '.join(parts)}" if parts else ""


def _some(keys: set[str], most: int = 3) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(sorted(keys)[:most]) + more
