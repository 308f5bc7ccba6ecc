"""Sharp crops and the blur kernels of their degradation, which the model applies."""

import random

import cv2
import numpy as np
import torch
from basicsr.data.degradations import circular_lowpass_kernel, random_mixed_kernels
from basicsr.utils import img2tensor, scandir
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils import data

SIZE = 21
"""Side of a kernel, in pixels."""


@DATASET_REGISTRY.register()
class RealESRGANDataset(data.Dataset):
    """Reads every image below `dataroot_gt`; called as BasicSR's own, which takes other keys."""

    def __init__(self, opt):
        super().__init__()
        self.opt = opt
        self.paths = sorted(scandir(opt["dataroot_gt"], full_path=True))

    def __getitem__(self, index):
        image = cv2.imread(self.paths[index]).astype(np.float32) / 255
        side = self.opt["crop_size"]
        top, left = (random.randint(0, length - side) for length in image.shape[:2])
        gt = img2tensor(image[top : top + side, left : left + side], bgr2rgb=True, float32=True)
        sinc = circular_lowpass_kernel(np.random.uniform(np.pi / 3, np.pi), SIZE, pad_to=False)
        kernels = {
            "kernel1": self.kernel(),
            "kernel2": self.kernel(),
            "sinc_kernel": torch.FloatTensor(sinc),
        }
        return {"gt": gt, "gt_path": self.paths[index], **kernels}

    def kernel(self):
        opt = self.opt
        sigma = opt["blur_sigma"]
        return torch.FloatTensor(
            random_mixed_kernels(
                opt["kernel_list"], opt["kernel_prob"], SIZE, sigma, sigma, [-np.pi, np.pi]
            )
        )

    def __len__(self):
        return len(self.paths)
