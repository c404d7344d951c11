"""Pictures as tensors: JPEG and WebP beside the codecs of embeddings, for a cloud that encodes them itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_agent.errors import InputError, UsageError
from edge_agent.picture_header import picture_size
from edge_agent.transport.encoded import PIXELS, EncodedTensor, bad_tensor
from edge_agent.types import U8, Modality

DTYPE = "uint8"
_BYTES_PER_PIXEL = {"jpeg": 0.23, "webp": 0.17}  # photos at quality 80: `edge-agent bench codec`


@dataclass(frozen=True, slots=True)
class PictureCoding:
    """How pictures are sent: `side` pixels at most at the long side, `quality` 1..100 of the format."""

    side: int = 384
    quality: int = 80

    def expected_bytes(self, codec: str) -> int:
        """About what a photo of 4:3 takes."""
        return round(_BYTES_PER_PIXEL[codec] * self.side * self.side * 3 / 4)


def encode_picture(bgr: U8, codec: str, coding: PictureCoding) -> EncodedTensor:
    """[H, W, 3] uint8 BGR as a tensor of shape [height, width]: shrunk to `coding.side`, never enlarged.

    Raises UsageError for what is no picture, or cannot be written in that format.
    """
    import cv2

    if bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.dtype != np.uint8 or bgr.size == 0:
        raise UsageError(f"a picture is {bgr.dtype} of shape {bgr.shape}, not uint8 of [H, W, 3]")
    height, width = (max(1, round(n * min(1.0, coding.side / max(bgr.shape[:2])))) for n in bgr.shape[:2])
    small = bgr
    if (height, width) != bgr.shape[:2]:
        small = np.asarray(cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    option = cv2.IMWRITE_JPEG_QUALITY if codec == "jpeg" else cv2.IMWRITE_WEBP_QUALITY
    try:
        _, data = cv2.imencode(f".{codec}", small, [option, coding.quality])
    except cv2.error as error:
        raise UsageError(f"a picture cannot be written as {codec} ({error.err or error})") from error
    return EncodedTensor(codec, DTYPE, (height, width), data.tobytes(), PIXELS)


def check_picture(tensor: EncodedTensor) -> None:
    """Whether a picture is whole, of its format and of the size that it declares; nothing is decoded.

    Raises FrameError `bad_tensor`.
    """
    if tensor.dtype != DTYPE or tensor.config or tensor.modality is not Modality.IMAGE:
        raise bad_tensor(f"a picture is {DTYPE}, of modality image, and has no configuration")
    magic = {"jpeg": tensor.payload[:3] == b"\xff\xd8\xff", "webp": tensor.payload[8:12] == b"WEBP"}
    if not magic.get(tensor.codec, False):
        raise bad_tensor(f"a picture sent as {tensor.codec} is none")
    try:
        width, height = picture_size(tensor.payload, "a picture")
    except InputError as error:
        raise bad_tensor(error.message) from error
    if (height, width) != tensor.shape:
        declared = " x ".join(map(str, tensor.shape))
        raise bad_tensor(f"a picture is {height} x {width} where it declares {declared}")


def decode_picture(tensor: EncodedTensor) -> U8:
    """The pixels [height, width, 3] uint8 BGR, a new array. Raises FrameError as above, before memory is taken."""
    import cv2

    check_picture(tensor)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(tensor.payload, np.uint8), flags)
    except cv2.error as error:
        raise bad_tensor(f"a picture cannot be decoded ({error.err or error})") from error
    if pixels is None or pixels.shape[:2] != tensor.shape:
        raise bad_tensor("a picture cannot be decoded")
    return np.asarray(pixels, dtype=np.uint8)
