"""Imports every file that ends in _model.py, so that its model registers."""

import importlib
from os import path as osp

from basicsr.utils import scandir

folder = osp.dirname(osp.abspath(__file__))
names = [osp.splitext(name)[0] for name in scandir(folder) if name.endswith("_model.py")]
modules = [importlib.import_module(f"minihat.models.{name}") for name in names]
