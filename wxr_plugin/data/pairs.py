"""Matching of photos with weather to clean ones by their names."""

from wxr_plugin.data.images.store import ImageStore

SHOWN = 3
"""Number of keys that a message lists."""


def partner(key: str, template: str = "{}", gt_template: str = "{}") -> str:
    """Return the key of the partner of the clean photo `key`, in the same folder.

    {} stands for the same text in both templates: norain{} and input{} pair norain7 with input7.
    """
    folder, slash, name = key.rpartition("/")
    # Keys have dots as %2E (see image_key), so the templates need the same.
    template = template.replace(".", "%2E")
    gt_template = gt_template.replace(".", "%2E")
    before, _, after = gt_template.partition("{}")
    stem = name.removeprefix(before).removesuffix(after)
    return folder + slash + template.format(stem)


def unpaired(gt: ImageStore, lq: ImageStore, template: str = "{}", gt_template: str = "{}") -> str:
    """Describe the images that are missing or surplus in `lq`; empty if all are paired.

    Suffixes are ignored.
    """
    gt_keys = gt.keys()
    lq_keys = set(lq.keys())
    expected = {partner(key, template, gt_template) for key in gt_keys}
    missing = expected - lq_keys
    surplus = lq_keys - expected
    problems = []
    if missing:
        problems.append(f"missing there: {_examples(missing)}")
    if surplus:
        problems.append(f"without ground truth: {_examples(surplus)}")
    if len(expected) < len(gt_keys):
        problems.append("the templates give one partner to several images")
    if not problems:
        return ""
    reasons = "; ".join(problems)
    return f"{lq.root} does not pair with {gt.root}: {reasons}"


def _examples(keys: set[str]) -> str:
    shown = sorted(keys)[:SHOWN]
    examples = ", ".join(shown)
    count_of_others = len(keys) - len(shown)
    if not count_of_others:
        return examples
    return f"{examples} and {count_of_others} more"
