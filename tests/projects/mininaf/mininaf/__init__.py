"""What the project's copy of basicsr had of its own, moved into a package: importing it registers all of it."""

from . import nafnet_arch, psnr_loss  # noqa: F401
