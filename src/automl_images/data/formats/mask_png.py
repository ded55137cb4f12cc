"""Masks as pictures: a PNG for each photo, its stem the photo's, every value but 0 one instance.

8 or 16 bits of grey, or a palette (whose indices count, not its colours). In folders `masks/<class>/…` the folder is
the class of its instances, and a photo may have a mask in each; masks outside of such folders have the class
`class_name`. A mask of zeros says that its photo is background; a photo without mask is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from automl_images.core.errors import DataError
from automl_images.core.types import IntArray
from automl_images.data.formats.base import READERS, Malformed, RawObject, Reader, Sample
from automl_images.data.formats.from_masks import MasksToPolygons
from automl_images.data.images import MAX_PIXELS
from automl_images.data.sources import ImageLocator, list_files, list_images

DEFAULT_CLASS = "object"

_MODES = frozenset({"1", "L", "P", "I", "I;16"})
"""Pillow's modes with one number a pixel."""

_LOOKED_AT = 5
_ANNOTATIONS = frozenset({".json", ".jsonl", ".xml", ".txt", ".csv", ".tsv"})
"""Files of other formats, beside which masks or grey photos may lie."""


def _has_annotations(folder: Path) -> bool:
    return any(file.suffix.lower() in _ANNOTATIONS for file in folder.rglob("*"))


@READERS.register("masks")
class MaskReader(Reader):
    """Reads the masks below a folder."""

    name = "masks"
    kinds = frozenset({"boxes", "polygons"})

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """A folder, next to one of images, of whose first PNGs at least half have one number a pixel."""
        if not path.is_dir():
            return False
        if not any(map(Path.is_dir, _usual_roots(path))) and (images is None or _has_annotations(path)):
            return False
        modes = [mode for mode in map(_mode, _masks_beside(path, images)[:_LOOKED_AT]) if mode]
        return 2 * sum(mode in _MODES for mode in modes) >= len(modes) > 0

    def read(self) -> Iterator[Sample]:
        """Yield one sample a photo that has masks, sorted by path."""
        masks = _masks(self.source.path)
        if not masks:
            raise DataError(f"Expected masks as PNG files in the folder {self.source.path}, found none.")
        self._root = self._photo_folder()
        self._converted = MasksToPolygons(self.log, self.source.path)
        for photo, files in sorted(self._paired(masks).items()):
            yield self._sample(photo, files)
        self._converted.report()

    def locator(self) -> ImageLocator:
        """Names are relative to the photos' folder."""
        return ImageLocator([self._root], on_disk=self.check_images)

    def _photo_folder(self) -> Path:
        for folder in self.image_roots(*_usual_roots(self.source.path)):
            if folder.is_dir():
                return folder
        raise DataError(
            f"Found no folder `images` beside {self.source.path}; name the folder of the photos in `images`."
        )

    def _paired(self, masks: list[Path]) -> dict[Path, list[Path]]:
        here = self.source.path.absolute()
        photos: defaultdict[str, list[Path]] = defaultdict(list)
        for photo in list_images(self._root):
            if not photo.absolute().is_relative_to(here):
                photos[photo.stem].append(photo)
        pairs: defaultdict[Path, list[Path]] = defaultdict(list)
        for mask in masks:
            found = photos.get(mask.stem, [])
            if len(found) == 1:
                pairs[found[0]].append(mask)
            else:
                message = f"{len(found)} images in {self._root} have the mask's name, {mask.stem!r}; needed is one"
                self.log.add("LABEL_FILE_WITHOUT_IMAGE", message, mask, row=str(mask))
        stems = {mask.stem for mask in masks}
        for photo in (photo for stem in sorted(photos.keys() - stems) for photo in photos[stem]):
            self.log.add("MASK_MISSING", "an image without mask; one of zeros says that it is background", photo)
        return pairs

    def _sample(self, photo: Path, files: list[Path]) -> Sample:
        sample = Sample(photo.relative_to(self._root).as_posix(), files[0], size_of_mask=True)
        for file in files:
            try:
                sample.objects += self._objects(file, sample)
            except Malformed as problem:
                sample.objects.append(RawObject(None, item=file.name, problem=problem))
        return sample

    def _objects(self, file: Path, sample: Sample) -> list[RawObject]:
        """Return the instances of a mask, whose size the sample takes over."""
        from scipy.ndimage import find_objects

        ids = _read_ids(file)
        height, width = ids.shape
        if (sample.width or width, sample.height or height) != (width, height):
            message = f"{file}: {width} x {height}, another mask of the image has {sample.width} x {sample.height}"
            raise Malformed("MASK_SIZE_MISMATCH", message)
        sample.width, sample.height = width, height
        parts = file.relative_to(self.source.path).parts
        label = parts[0] if len(parts) > 1 else self.source.class_name or DEFAULT_CLASS
        found = enumerate(find_objects(ids), 1)
        return [self._object(ids, value, place, label, f"{file.name}:{value}") for value, place in found if place]

    def _object(self, ids: IntArray, value: int, place: tuple[slice, slice], label: str, item: str) -> RawObject:
        rows, columns = place
        if self.kind == "boxes":
            return RawObject(label, (columns.start, rows.start, columns.stop, rows.stop), item=item)
        polygon = self._converted.polygon(ids[place] == value, columns.start, rows.start, item)
        return RawObject(label, polygon=polygon, item=item)


def _masks(path: Path) -> list[Path]:
    return [file for file in list_files(path) if file.suffix.lower() == ".png"]


def _masks_beside(path: Path, images: Path | None) -> list[Path]:
    """Return the PNGs below `path` that may be masks.

    None where `images` lies below it, for they are not told apart then. Where it lies below `images`, its PNGs may be
    photos: those are taken for masks that have the name of a photo elsewhere.
    """
    here, photos = path.resolve(), images.resolve() if images else None
    if photos and photos.is_relative_to(here):
        return []
    if not photos or not here.is_relative_to(photos):
        return _masks(path)
    stems = {photo.stem for photo in list_images(photos) if not photo.is_relative_to(here)}
    return [mask for mask in _masks(path) if mask.stem in stems]


def _usual_roots(path: Path) -> list[Path]:
    above = path.absolute().parent
    return [above / "images", above / "JPEGImages", above.parent / "images" / path.name]


def _mode(file: Path) -> str | None:
    try:
        with Image.open(file, formats=["PNG"]) as image:
            return image.mode
    except Exception:  # noqa: BLE001 - whatever the bytes provoke: it is no mask
        return None


def _read_ids(file: Path) -> IntArray:
    """Return the values `(H, W)` of a mask.

    Raises:
        Malformed: it cannot be decoded, or has several numbers a pixel.
    """
    try:
        with Image.open(file, formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Malformed(
                    "MASK_INVALID", f"{file}: {image.width} x {image.height}, more than {MAX_PIXELS:,} pixels"
                )
            if image.mode not in _MODES:
                message = f"{file}: expected grey or a palette, one number a pixel; got {image.mode}"
                raise Malformed("MASK_INVALID", message)
            return np.asarray(image).astype(np.int64)
    except Malformed:
        raise
    except Exception as error:  # decoders raise whatever the bytes provoke
        raise Malformed("MASK_INVALID", f"{file} cannot be decoded ({error})") from error
