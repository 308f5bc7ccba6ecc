"""`wxr export`: write a network as an ONNX or .pt2 file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.downloading import add_download, after_download
from wxr_plugin.cli.parsers import add_command, add_offline
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.json_output import add_json, json_result

if TYPE_CHECKING:
    from wxr_plugin.inference.specs import RestorerSpec

PRECISIONS = ("fp32", "fp16")
DESCRIPTION = """
Write a network with its weights as one file that runs without this package: .onnx for ONNX Runtime,
OpenVINO, TensorRT and others, .pt2 for torch alone. Height and width are free. The metadata of the
file has the method, licence, reach and sizes.

Before it gets its name the file is run on images of several odd sizes and compared with torch;
where the results differ nothing is written.

exit codes:
  0  the file was written, or with --dry-run could be
  2  nothing was written
"""
EXAMPLES = """examples:
  wxr export small -o small.onnx
  wxr export restormer-derain -o restormer.onnx --precision fp16
  wxr export experiments/mine/models/net_g_latest.pth -o mine.pt2
  wxr export weights.pth --opt options/train/baselines/nafnet.yml -o nafnet.onnx
  wxr export nafnet-gopro-width32 -o nafnet.onnx --dry-run

docs/engines.md has the table of networks.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `export` to the `wxr` command."""
    summary = "write a network as an ONNX or .pt2 file"
    parser = add_command(subparsers, "export", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "name",
        metavar="NAME|CHECKPOINT",
        help="packaged tiny or small, published method (wxr zoo list), checkpoint, option file "
        "with path.pretrain_network_g, or hf://OWNER/NAME",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write; its suffix, .onnx or .pt2, is the format",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="of weights and computation; input and output are float32 (default: fp32)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--dry-run", action="store_true", help="print network, sizes and licence; write nothing"
    )
    add_json(parser, "the file and its metadata")
    parser.set_defaults(func=after_download(run, lambda args: [args.name]))
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        metavar="FILE",
        help="official file of a published method; repeat for several (default: where `wxr zoo "
        "get` puts it)",
    )
    group.add_argument(
        "--opt",
        type=Path,
        metavar="FILE",
        help="option file with the network_g of a checkpoint that does not store it",
    )
    add_download(group, "NAME")
    add_offline(group)


def run(args: argparse.Namespace) -> int:
    """Export the network and print one line about the file; return 0."""
    with json_result(args.json) as result:
        result.update(_planned(args) if args.dry_run else _exported(args))
    return 0


def _planned(args: argparse.Namespace) -> dict[str, Any]:
    from wxr_plugin.inference.engines.table import multiple_of
    from wxr_plugin.inference.exporting.facts import licence_of
    from wxr_plugin.inference.exporting.writing import checked_output

    suffix = checked_output(args.output, args.overwrite)
    spec = _spec(args)
    restorer = spec.load(device="cpu")
    network = type(restorer.net).__name__
    multiple = multiple_of(restorer.net, suffix)
    plan = {
        "file": args.output,
        "network": network,
        "method": spec.row or spec.name,
        "licence": licence_of(spec),
        "multiple": multiple,
        "precision": args.precision,
    }
    print(f"{network} ({plan['method']}) -> {args.output}: {args.precision}, {_sides(multiple)}")
    return plan


def _exported(args: argparse.Namespace) -> dict[str, Any]:
    from wxr_plugin.inference.exporting.writing import checked_output, export
    from wxr_plugin.utils.disk import readable

    checked_output(args.output, args.overwrite)
    spec = _spec(args)
    net = spec.load(device="cpu").net
    file = export(net, spec, args.output, args.precision, args.overwrite)
    sides = _sides(int(file.facts["multiple"]))
    print(
        f"{file.path}: {file.facts['network']}, {args.precision}, {sides}, {readable(file.bytes)}, "
        f"differs from torch by at most {file.largest_difference:.1g}"
    )
    return {
        "file": file.path,
        "bytes": file.bytes,
        "largest_difference": file.largest_difference,
        **file.facts,
    }


def _sides(multiple: int) -> str:
    return "any size" if multiple == 1 else f"height and width multiples of {multiple}"


def _spec(args: argparse.Namespace) -> "RestorerSpec":
    """Return the restorer that the arguments name.

    Raises:
        WxrError: arguments that do not go together, or no such restorer.
    """
    from wxr_plugin.inference.specs import checkpoint_spec, method_spec, read_spec
    from wxr_plugin.zoo.rows import rows

    is_method = args.name in rows() and not Path(args.name).exists()
    if args.opt:
        if is_method or args.checkpoint:
            raise WxrError("--opt is for a checkpoint in place of NAME; leave it out")
        return checkpoint_spec(Path(args.name).stem, args.name, args.opt)
    if is_method:
        return method_spec(args.name, args.checkpoint)
    if args.checkpoint:
        raise WxrError(
            f"--checkpoint is for the files of a published method, and {args.name} is none; name "
            "the checkpoint itself"
        )
    return read_spec(args.name)
