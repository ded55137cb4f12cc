import hashlib
import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from automl_images.data.images import MAX_PIXELS, ImageError, inspect_image, read_image

HOSTILE = Path(__file__).parents[3] / "shared" / "data" / "hostile_images"


def picture(width=40, height=24):
    """A picture without any symmetry: smooth, so that JPEG keeps it."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 200], axis=2).astype(np.uint8)


def encoded(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def codes(source, **options):
    return [code for code, _ in inspect_image(source, **options).warnings]


def error_code(source, **options):
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)
    with pytest.raises(ImageError) as again:
        inspect_image(source, **options)
    assert caught.value.code == again.value.code
    return caught.value.code


def test_pixels_are_upright_rgb_contiguous_and_writable(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture()).save(path)
    for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes()), bytearray(path.read_bytes())):
        pixels = read_image(source)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        np.testing.assert_array_equal(pixels, picture())


# How a camera stores the upright picture under each orientation (EXIF 2.3, table of tag 0x0112), written without Pillow.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),  # shown after a quarter turn clockwise, so stored a quarter turn against it
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_orientation_is_applied_once_in_every_container(form, orientation):
    stored = np.ascontiguousarray(STORED[orientation](picture()))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {"quality": 100, "subsampling": 0} if form == "JPEG" else {}
    content = encoded(Image.fromarray(stored), form, exif=exif, **options)
    np.testing.assert_allclose(read_image(content).astype(int), picture(), atol=12 if form == "JPEG" else 0)
    info = inspect_image(content)
    assert (info.width, info.height, info.orientation) == (40, 24, orientation)
    assert (info.raw_width, info.raw_height) == stored.shape[1::-1]


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(value):
    exif = Image.Exif()
    exif[0x0112] = value
    content = encoded(Image.fromarray(picture()), "PNG", exif=exif)
    np.testing.assert_array_equal(read_image(content), picture())
    assert inspect_image(content).orientation == 1


def test_info_holds_the_hash_of_the_bytes_and_the_format_by_content(tmp_path):
    path = tmp_path / "really_a_png.jpg"
    Image.fromarray(picture()).save(path, "PNG")
    info = inspect_image(path)
    assert info.format == "png"
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [code for code, _ in info.warnings] == ["IMAGE_WRONG_EXTENSION"]
    np.testing.assert_array_equal(read_image(path), picture())


@pytest.mark.parametrize(("form", "keep"), [("JPEG", 0.6), ("PNG", 0.6), ("BMP", 0.6), ("WEBP", 0.6), ("TIFF", 0.6)])
def test_truncated_is_refused_even_when_pillow_was_told_to_tolerate_it(form, keep, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), form)
    assert read_image(content).shape == (64, 64, 3)
    assert error_code(content[: int(len(content) * keep)]) in {"IMAGE_TRUNCATED", "IMAGE_CORRUPT"}


def test_a_flipped_bit_in_a_png_is_refused_also_when_it_carries_exif():
    content = bytearray(encoded(Image.fromarray(picture(200, 200)), "PNG", exif=Image.Exif()))
    start = content.index(b"IDAT")
    content[start + 60] ^= 0xFF
    assert error_code(bytes(content)) in {"IMAGE_CORRUPT", "IMAGE_TRUNCATED"}


def test_missing_empty_folder_and_foreign_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    assert error_code(tmp_path / "none.jpg") == "IMAGE_MISSING"
    assert error_code(tmp_path / "empty.jpg") == "IMAGE_EMPTY"
    assert error_code(b"") == "IMAGE_EMPTY"
    assert error_code(tmp_path / "text.jpg") == "IMAGE_UNKNOWN_FORMAT"
    assert error_code(tmp_path) == "IMAGE_UNREADABLE"
    assert error_code("nul\0byte.jpg") == "IMAGE_UNREADABLE"


def test_postscript_never_reaches_its_interpreter():
    assert error_code(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n") == "IMAGE_UNKNOWN_FORMAT"


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("side", [9_500, 13_500, 60_000])
def test_bombs_are_refused_before_they_are_decoded(side):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert side * side > MAX_PIXELS
    assert error_code(content) == "IMAGE_TOO_LARGE"


def test_the_limit_of_pixels_is_the_callers():
    content = encoded(Image.fromarray(picture()), "PNG")
    assert read_image(content, max_pixels=40 * 24).shape == (24, 40, 3)
    assert error_code(content, max_pixels=40 * 24 - 1) == "IMAGE_TOO_LARGE"


@pytest.mark.parametrize(("mode", "form"), [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "WEBP")])
def test_transparency_is_composited_on_white(mode, form):
    image = Image.fromarray(picture()).convert("L" if mode == "LA" else "RGB")
    clear = Image.new("L", image.size, 255)
    clear.paste(0, (0, 0, 20, 24))
    image.putalpha(clear)
    image = image.convert("P") if mode == "P" else image
    content = encoded(image, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    pixels = read_image(content)
    assert (pixels[:, :20] == 255).all()
    assert not (pixels[:, 20:] == 255).all()
    assert "IMAGE_TRANSPARENT" in codes(content)


def test_a_colour_key_of_a_png_is_transparency():
    content = encoded(Image.new("RGB", (12, 12), (10, 20, 30)), "PNG", transparency=(10, 20, 30))
    assert (read_image(content) == 255).all()


def test_palette_without_transparency_keeps_its_colours():
    image = Image.new("P", (12, 12), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert (read_image(encoded(image, "PNG")) == (200, 100, 50)).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_stretched_never_clipped(form):
    samples = np.linspace(106, 4095, 40 * 24).astype(np.uint16).reshape(24, 40)
    content = encoded(Image.fromarray(samples), form)
    pixels = read_image(content)
    expected = np.rint((samples - 106.0) * 255 / (4095 - 106))
    np.testing.assert_array_equal(pixels, np.repeat(expected[:, :, None], 3, axis=2))
    assert len(np.unique(pixels)) == 256
    assert codes(content) == ["IMAGE_16_BIT"]


def test_floating_point_is_stretched_and_nan_is_refused():
    values = np.linspace(-3, 7, 40 * 24, dtype=np.float32).reshape(24, 40)
    assert read_image(encoded(Image.fromarray(values), "TIFF")).max() == 255
    values[3, 3] = np.nan
    assert error_code(encoded(Image.fromarray(values), "TIFF")) == "IMAGE_CORRUPT"
    assert (read_image(encoded(Image.fromarray(np.full((12, 12), 700, np.uint16)), "PNG")) == 0).all()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_give_their_first_frame(form):
    frames = [Image.new("RGB", (16, 16), tone) for tone in ("red", "lime", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert (read_image(content) == (255, 0, 0)).all()
    assert codes(content) == ["IMAGE_ANIMATED"]


def test_cmyk_from_adobe_is_not_inverted():
    tone = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    content = encoded(tone, "JPEG", quality=95)  # Pillow writes Adobe's inverted form
    assert b"Adobe" in content
    np.testing.assert_allclose(read_image(content).reshape(-1, 3).mean(axis=0), (255, 0, 0), atol=4)


def test_grey_and_bilevel_become_rgb():
    assert (read_image(encoded(Image.new("L", (12, 12), 90), "JPEG")) == 90).all()
    assert (read_image(encoded(Image.new("1", (12, 12), 1), "PNG")) == 255).all()


def test_tiny_images_are_read_with_a_warning():
    assert codes(encoded(Image.new("RGB", (1, 400)), "PNG")) == ["IMAGE_TINY"]


def test_an_image_error_survives_a_process_border():
    error = pickle.loads(pickle.dumps(ImageError("IMAGE_EMPTY", "zero bytes")))
    assert (error.code, str(error)) == ("IMAGE_EMPTY", "zero bytes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture()).save(path)
    path.chmod(0)
    assert error_code(path) == "IMAGE_UNREADABLE"


def test_random_damage_never_gives_another_error():
    rng = np.random.default_rng(0)
    seeds = [encoded(Image.fromarray(picture(64, 48)), form) for form in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")]
    outcomes = set()
    for number in range(300):
        content = bytearray(seeds[number % len(seeds)])
        for _ in range(rng.integers(1, 8)):
            content[rng.integers(len(content))] = rng.integers(256)
        try:
            pixels = read_image(bytes(content), max_pixels=10_000_000)
            assert pixels.ndim == 3
            outcomes.add("ok")
        except ImageError as error:
            outcomes.add(error.code)
    assert {"ok", "IMAGE_CORRUPT"} <= outcomes


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="the hostile images are not on this machine")
def test_hostile_images_give_an_image_or_an_image_error():
    outcomes = {}
    for path in sorted(p for p in HOSTILE.rglob("*") if p.is_file()):
        try:
            info = inspect_image(path)
            assert read_image(path).shape == (info.height, info.width, 3)
            outcomes[path.name] = "ok"
        except ImageError as error:
            outcomes[path.name] = error.code
    assert len(outcomes) > 200
    assert outcomes["hopper.jpg"] == outcomes["hopper_orientation_6.webp"] == outcomes["pil_sample_cmyk.jpg"] == "ok"
    for name in ("truncated_jpeg.jpg", "truncated_image.png", "truncated_end_chunk.png"):
        assert outcomes[name] == "IMAGE_TRUNCATED"
    assert outcomes["broken_data_stream.png"] == "IMAGE_CORRUPT"
    assert outcomes["decompression_bomb.gif"] == "IMAGE_TOO_LARGE"
