"""Reading an image: the one place where files become upright RGB arrays, and where hostile files are refused.

Owns decoding, EXIF orientation, colour modes and bit depth, the limit of pixels, and the hash of an image's bytes.
Leaves to `validation.py` what becomes of a row whose image is refused, and to `preprocessing.py` resizing.

What an image turns into:

* Orientation (EXIF 1 to 8, in any container, also as XMP or as a TIFF tag) is applied, so that everything later works
  in the upright frame.
* Transparency is composited on white.
* More than 8 bits a sample (16-bit and 32-bit grey, floating point) are stretched so that the darkest sample becomes
  0 and the brightest 255: cameras put 10 to 14 bits into 16, and dividing by 257 would leave such images nearly black.
* Animations and multi-page files give their first frame.

`inspect_image` reports each of these as a warning with a stable code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from automl_images.core.errors import DataError
from automl_images.core.types import ImageArray

MAX_PIXELS = 89_478_485
"""Images with more pixels are refused unless the caller says otherwise (Pillow's own limit: 256 MiB of RGB)."""

MIN_SIDE = 10
"""Images with a shorter side are read but warned about."""

_FORMATS = {
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
    "BMP": "bmp",
    "DIB": "bmp",
    "TIFF": "tiff",
    "GIF": "gif",
    "WEBP": "webp",
    "AVIF": "avif",
    "JPEG2000": "jp2",
    "PPM": "ppm",
}
"""Pillow's decoders that we let see foreign bytes (EPS, which starts Ghostscript, is not among them) and our names."""

_DECODERS = [name for name in _FORMATS if name != "MPO"]  # Pillow's JPEG decoder finds MPO out by itself

_EXTENSIONS = {
    "jpg": {"jpg", "jpeg", "jpe", "jfif", "mpo"},
    "png": {"png", "apng"},
    "bmp": {"bmp", "dib"},
    "tiff": {"tif", "tiff"},
    "gif": {"gif"},
    "webp": {"webp"},
    "avif": {"avif", "avifs"},
    "jp2": {"jp2", "j2k", "jpx", "jpf", "jpc", "j2c"},
    "ppm": {"ppm", "pgm", "pbm", "pnm", "pfm"},
}

_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")

_Bytes = bytes | bytearray | memoryview
Source = str | Path | _Bytes
_Warnings = list[tuple[str, str]]


class ImageError(DataError):
    """An image cannot be read.

    Attributes:
        code: `IMAGE_MISSING`, `IMAGE_UNREADABLE` (no permission, a folder …), `IMAGE_EMPTY` (zero bytes),
            `IMAGE_UNKNOWN_FORMAT`, `IMAGE_TOO_LARGE`, `IMAGE_TRUNCATED`, `IMAGE_CORRUPT`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.code, str(self))


@dataclasses.dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known about an image after it was decoded in full.

    Attributes:
        width, height: pixels of the upright image.
        raw_width, raw_height: pixels as stored, before the orientation is applied.
        orientation: EXIF orientation, 1 to 8; 1 where there is none.
        format: `jpg`, `png`, `bmp`, `tiff` (the values of specification A.2), `gif`, `webp`, `avif`, `jp2`, `ppm`;
            by content, whatever the file is called.
        sha256: hexadecimal hash of the file's bytes.
        warnings: pairs of code (`IMAGE_WRONG_EXTENSION`, `IMAGE_ANIMATED`, `IMAGE_16_BIT`, `IMAGE_TRANSPARENT`,
            `IMAGE_TINY`, `IMAGE_BAD_EXIF`) and message.
    """

    width: int
    height: int
    raw_width: int
    raw_height: int
    orientation: int
    format: str
    sha256: str
    warnings: tuple[tuple[str, str], ...] = ()


def read_image(source: Source, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Read an image file (or the bytes of one) in full.

    Args:
        source: path, or the encoded bytes.
        max_pixels: larger images are refused before they are decoded.

    Returns:
        `(H, W, 3)` uint8 RGB, upright, contiguous and writable.

    Raises:
        ImageError: the file is missing, empty, of an unknown format, truncated, corrupt or too large.
    """
    return _decode(_content(source), _name(source), max_pixels)[0]


def inspect_image(source: Source, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Decode an image in full and return its facts; the pixels are thrown away.

    Args:
        source: path, or the encoded bytes.
        max_pixels: larger images are refused before they are decoded.

    Raises:
        ImageError: as `read_image`.
    """
    content = _content(source)
    pixels, facts, warnings = _decode(content, _name(source), max_pixels)
    height, width = pixels.shape[:2]
    raw = (height, width) if facts.orientation >= 5 else (width, height)
    if isinstance(source, str | Path):
        warnings += _extension_warning(Path(source), facts.format)
    if min(width, height) < MIN_SIDE:
        warnings.append(("IMAGE_TINY", f"{width} x {height} pixels; sides below {MIN_SIDE} pixels teach little."))
    return ImageInfo(
        width, height, *raw, facts.orientation, facts.format, hashlib.sha256(content).hexdigest(), tuple(warnings)
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Facts:
    orientation: int
    format: str


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else f"image of {len(source)} bytes"


def _content(source: Source) -> _Bytes:
    if not isinstance(source, str | Path):
        return source
    try:
        return Path(source).read_bytes()
    except FileNotFoundError as error:
        raise ImageError("IMAGE_MISSING", f"There is no image file {source}. Check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise ImageError("IMAGE_UNREADABLE", f"The image file {source} cannot be opened: {error}.") from error


def _decode(content: _Bytes, name: str, max_pixels: int) -> tuple[ImageArray, _Facts, _Warnings]:
    """Return pixels, facts and warnings; `name` is for messages."""
    if not content:
        raise ImageError("IMAGE_EMPTY", f"{name} has zero bytes. Replace the file or drop its row.")
    warnings: _Warnings = []
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have set it; half an image is not an image
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)  # ours, exact, is checked below
    try:
        with Image.open(io.BytesIO(content), formats=_DECODERS) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(name, f"{image.width} x {image.height} pixels", max_pixels)
            if _is_animated(image):
                warnings.append(("IMAGE_ANIMATED", "Several frames or pages; only the first is used."))
            # Pillow turns TIFFs on loading and then forgets the tag. Of others EXIF is read after the pixels: reading
            # it loads a PNG, and a broken PNG complains on the first load only.
            turned = _orientation(image, warnings) if image.format == "TIFF" else 1
            image.load()
            pixels = _rgb(image, warnings)
            left = _orientation(image, warnings)
            return _turn(pixels, left), _Facts(max(turned, left), _FORMATS[image.format or ""]), warnings
    except ImageError:
        raise
    except Exception as error:  # decoders raise whatever the bytes provoke: OSError, SyntaxError, struct.error …
        raise _image_error(error, name, max_pixels) from error


def _image_error(error: Exception, name: str, max_pixels: int) -> ImageError:
    if isinstance(error, UnidentifiedImageError):
        known = ", ".join(dict.fromkeys(_FORMATS.values()))
        return ImageError("IMAGE_UNKNOWN_FORMAT", f"{name} is not an image we can read. Expected: {known}.")
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return _too_large(name, str(error) or "more pixels than memory holds", max_pixels)
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return ImageError("IMAGE_TRUNCATED", f"{name} ends too early ({error}). Copy it anew or drop its row.")
    detail = f"{type(error).__name__}: {error}"
    return ImageError("IMAGE_CORRUPT", f"{name} cannot be decoded ({detail}). Save it anew or drop its row.")


def _too_large(name: str, found: str, max_pixels: int) -> ImageError:
    return ImageError(
        "IMAGE_TOO_LARGE",
        f"{name} is too large ({found}; at most {max_pixels:,} pixels are decoded). "
        "Shrink it, or raise max_pixels if it is trustworthy.",
    )


def _orientation(image: Image.Image, warnings: _Warnings) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:  # noqa: BLE001 - broken metadata must not cost a good image; it is reported
        warnings.append(("IMAGE_BAD_EXIF", f"EXIF data cannot be read ({error}); orientation 1 assumed."))
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_animated(image: Image.Image) -> bool:
    if image.format == "TIFF":
        return int(getattr(image, "n_frames", 1)) > 1
    return bool(getattr(image, "is_animated", False))


def _rgb(image: Image.Image, warnings: _Warnings) -> ImageArray:
    if image.mode in _DEEP:
        return np.repeat(_stretch(np.asarray(image), warnings)[:, :, None], 3, axis=2)
    transparent = image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
    if transparent:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            warnings.append(("IMAGE_TRANSPARENT", "Transparent pixels are shown on white."))
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _stretch(samples: NDArray[np.generic], warnings: _Warnings) -> ImageArray:
    """Map the range of grey samples `(H, W)` of more than 8 bits linearly onto 0..255; a constant image becomes 0."""
    values = samples.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("samples are not all finite")
    low, high = float(values.min()), float(values.max())
    warnings.append(("IMAGE_16_BIT", f"More than 8 bits a sample; {low:g}..{high:g} is stretched to 0..255."))
    values = (values - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.rint(values).astype(np.uint8)


def _turn(pixels: ImageArray, orientation: int) -> ImageArray:
    method = _TRANSPOSE.get(orientation)
    return pixels if method is None else np.array(Image.fromarray(pixels).transpose(method))


def _extension_warning(path: Path, found: str) -> _Warnings:
    extension = path.suffix.lower().lstrip(".")
    if not extension or extension in _EXTENSIONS[found]:
        return []
    return [("IMAGE_WRONG_EXTENSION", f"The file is called .{extension} but holds {found}.")]
