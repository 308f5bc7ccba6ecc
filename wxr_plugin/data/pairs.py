"""Which photo with weather belongs to which clean one."""

from wxr_plugin.data.image_store import ImageStore


def partner(key: str, template: str = "{}") -> str:
    """The key of the partner of `key`: the same folder, and `template` with the name in place of {}."""
    folder, slash, name = key.rpartition("/")
    return folder + slash + template.format(name).replace(".", "%2E")  # as image_key writes dots


def unpaired(gt: ImageStore, lq: ImageStore, template: str = "{}") -> str:
    """What is missing or surplus in `lq`, in words; empty if every image has its partner. Suffixes do not count."""
    keys, there = gt.keys(), set(lq.keys())
    wanted = {partner(key, template) for key in keys}
    parts = [f"missing there: {_some(wanted - there)}"] if wanted - there else []
    parts += [f"without ground truth: {_some(there - wanted)}"] if there - wanted else []
    return f"{lq.root} does not pair with {gt.root}: {'; '.join(parts)}" if parts else ""


def _some(keys: set[str], most: int = 3) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(sorted(keys)[:most]) + more
