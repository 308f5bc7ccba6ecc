"""The additions of the project's copy of basicsr as a package, which registers them on import."""

from . import nafnet_arch, psnr_loss  # noqa: F401
