"""Imports every file that ends in _arch.py, so that its networks register."""

import importlib
from os import path as osp

from basicsr.utils import scandir

folder = osp.dirname(osp.abspath(__file__))
names = [osp.splitext(name)[0] for name in scandir(folder) if name.endswith("_arch.py")]
modules = [importlib.import_module(f"minihat.archs.{name}") for name in names]
