"""The project's own start, with one more line: `import wxr_plugin`."""

import os.path as osp

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.train import train_pipeline

import miniesrgan  # noqa: F401

if __name__ == "__main__":
    root_path = osp.abspath(osp.join(__file__, osp.pardir, osp.pardir))
    train_pipeline(root_path)
