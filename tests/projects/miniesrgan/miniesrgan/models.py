"""A GAN whose model degrades its batches, with `.cuda()` calls as such models have them."""

import random
from collections import OrderedDict

import torch
from basicsr.data.degradations import random_add_gaussian_noise_pt, random_add_poisson_noise_pt
from basicsr.losses.losses import GANLoss  # where BasicSR 1.3 has it
from basicsr.models.srgan_model import SRGANModel
from basicsr.utils import DiffJPEG, USMSharp
from basicsr.utils.img_process_util import filter2D
from basicsr.utils.registry import MODEL_REGISTRY
from torch.nn import functional as F


@MODEL_REGISTRY.register()
class RealESRGANModel(SRGANModel):
    """Called as BasicSR's own, which therefore carries the suffix `_basicsr`."""

    def __init__(self, opt):
        super().__init__(opt)
        self.jpeger = DiffJPEG(differentiable=False).cuda()
        self.usm_sharpener = USMSharp().cuda()
        self.queue_size = opt.get("queue_size", 8)

    def init_training_settings(self):
        super().init_training_settings()
        assert isinstance(self.cri_gan, GANLoss)

    @torch.no_grad()
    def feed_data(self, data):
        if not self.is_train:
            self.lq, self.gt = data["lq"].to(self.device), data["gt"].to(self.device)
            return
        self.gt = self.usm_sharpener(data["gt"].to(self.device))
        image = self.gt
        for name, add_noise in (
            ("kernel1", random_add_gaussian_noise_pt),
            ("kernel2", random_add_poisson_noise_pt),
        ):
            image = filter2D(image, data[name].to(self.device))
            image = self.compress(add_noise(image, clip=True))
        side = [length // self.opt["scale"] for length in self.gt.shape[-2:]]
        image = F.interpolate(image, size=side, mode=random.choice(["area", "bilinear", "bicubic"]))
        self.lq = self.compress(filter2D(image, data["sinc_kernel"].to(self.device)))
        self.draw_from_pool()

    def compress(self, image):
        quality = image.new_zeros(len(image)).uniform_(*self.opt["jpeg_range"])
        return self.jpeger(image.clamp(0, 1), quality=quality)

    def draw_from_pool(self):
        """Fill a pool of pairs, and once it is full exchange the batch for pairs of it."""
        count = len(self.lq)
        if not hasattr(self, "queue_lr"):
            self.queue_lr = torch.zeros(self.queue_size, *self.lq.shape[1:]).cuda()
            self.queue_gt = torch.zeros(self.queue_size, *self.gt.shape[1:]).cuda()
            self.queue_ptr = 0
        if self.queue_ptr == self.queue_size:
            place = slice(0, count)
            order = torch.randperm(self.queue_size)
            self.queue_lr, self.queue_gt = self.queue_lr[order], self.queue_gt[order]
            drawn = self.queue_lr[place].clone(), self.queue_gt[place].clone()
            self.queue_lr[place], self.queue_gt[place] = self.lq, self.gt
            self.lq, self.gt = drawn
            return
        place = slice(self.queue_ptr, self.queue_ptr + count)
        self.queue_lr[place], self.queue_gt[place] = self.lq, self.gt
        self.queue_ptr += count

    def optimize_parameters(self, current_iter):
        losses = OrderedDict()
        self.net_d.requires_grad_(False)
        self.optimizer_g.zero_grad()
        self.output = self.net_g(self.lq)
        losses["l_g_pix"] = self.cri_pix(self.output, self.gt)
        losses["l_g_gan"] = self.cri_gan(self.net_d(self.output), True, is_disc=False)
        (losses["l_g_pix"] + losses["l_g_gan"]).backward()
        self.optimizer_g.step()
        self.net_d.requires_grad_(True)
        self.optimizer_d.zero_grad()
        for name, image, is_real in (
            ("l_d_real", self.gt, True),
            ("l_d_fake", self.output.detach(), False),
        ):
            losses[name] = self.cri_gan(self.net_d(image), is_real, is_disc=True)
            losses[name].backward()
        self.optimizer_d.step()
        self.model_ema(decay=self.ema_decay)
        self.log_dict = self.reduce_loss_dict(losses)

    def nondist_validation(self, dataloader, current_iter, tb_logger, save_img):
        self.is_train = False
        super().nondist_validation(dataloader, current_iter, tb_logger, save_img)
        self.is_train = True
