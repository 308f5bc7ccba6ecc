"""Exported files: a network of a restorer as ONNX or .pt2, verified before it is written."""
