"""Pictures as data URIs, small enough for a page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from automl_images.core.types import ImageArray

_QUALITY = 84


def jpeg_uri(picture: Image.Image | ImageArray, widest: int) -> str:
    """Return a picture as `data:image/jpeg;base64,…`.

    Args:
        picture: a Pillow image, or an RGB array `(H, W, 3)` uint8.
        widest: pixels; larger pictures are scaled down to this width at most, and to twice this height.
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image = image.convert("RGB")
    image.thumbnail((widest, 2 * widest), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
