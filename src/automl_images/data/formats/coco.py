"""COCO JSON: `images`, `annotations`, `categories`; boxes as x, y, width, height in pixels, polygons as flat lists.

Category ids may have gaps; only their names travel on. A run-length encoded mask (crowds) is used by its box where
boxes are wanted and becomes a polygon where polygons are. An image whose entry has no size takes over that of its
masks, which must then be that of the image file. Source: cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from automl_images.core.errors import DataError
from automl_images.data import strict_json
from automl_images.data.findings import short
from automl_images.data.formats.base import READERS, Malformed, RawObject, Reader, Sample, number, polygon_of, size
from automl_images.data.formats.from_masks import MasksToPolygons
from automl_images.data.formats.run_lengths import decode_mask, size_of_mask
from automl_images.data.sources import ImageLocator, find_image_root

_KEYS = ("images", "annotations", "categories")
_LOOKED_AT = 3


@READERS.register("coco")
class CocoReader(Reader):
    """Reads one COCO file, or the only one in a folder."""

    name = "coco"
    kinds = frozenset({"boxes", "polygons"})

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """A JSON file that names images and categories, or a folder with such files."""
        return bool(_coco_files(path))

    @classmethod
    def near(cls, path: Path) -> str | None:
        """Say what is wrong with the first JSON file that could be COCO."""
        return next(filter(None, map(_flaw, _json_files(path)[:_LOOKED_AT])), None)

    def read(self) -> Iterator[Sample]:
        """Yield one sample an image."""
        self._file = _only_file(self.source.path)
        document = self._load()
        self._names = self._category_names(document["categories"])
        self._images_by_id = images = self._images(document["images"])
        self._converted = MasksToPolygons(self.log, self._file)
        self._mask_sizes: dict[Any, tuple[int, int]] = {}
        self._root = find_image_root(self._usual_roots(), [str(i["file_name"]) for i in images.values()][:20])
        objects = self._objects_by_image(document["annotations"], images)
        self._converted.report()
        del document
        for key, entry in images.items():
            stated = self._side(entry, "width"), self._side(entry, "height")
            width, height = self._mask_sizes.get(key, stated)
            yield Sample(
                image=entry["file_name"],
                file=self._file,
                objects=objects.pop(key),
                width=width,
                height=height,
                size_of_mask=key in self._mask_sizes,
                item=key,
            )

    def locator(self) -> ImageLocator:
        """Names are relative to the images' folder."""
        return ImageLocator([self._root], on_disk=self.check_images)

    def _usual_roots(self) -> list[Path]:
        folder = self._file.parent
        return self.image_roots(folder, folder / "images", folder.parent / "images", folder.parent)

    def _load(self) -> dict[str, Any]:
        document: Any
        try:
            document, bom = strict_json.load(self._file, finite=False)
        except strict_json.JsonError as error:
            raise DataError(f"{self._file}{_line(error)} cannot be read as COCO: {error.code}: {error}.") from error
        if bom:
            self.log.add("FILE_BYTE_ORDER_MARK", "the file begins with a byte order mark", self._file, line=1)
        for key in _KEYS:
            if not isinstance(document, dict) or not isinstance(document.get(key), list):
                raise DataError(f"{self._file} is not COCO: expected an object with a list under {key!r}.")
        result: dict[str, Any] = document
        return result

    def _side(self, entry: dict[str, Any], key: str) -> int | None:
        stated = entry.get(key)
        pixels = size(stated)
        if pixels is None and stated is not None:
            message = f"{entry['file_name']}: the {key} is no positive number"
            self.log.add("IMAGE_SIZE_INVALID", message, self._file, item=entry["id"], value=stated)
        return pixels

    def _category_names(self, categories: list[Any]) -> dict[Any, Any]:
        names: dict[Any, Any] = {}
        ids: dict[str, Any] = {}
        for entry in categories:
            if not isinstance(entry, dict) or "name" not in entry or not _is_id(entry.get("id")):
                self.log.add("ID_MISSING", "a category needs an id and a name", self._file, value=entry)
            elif entry["id"] in names:
                message = f"category id {short(entry['id'])} is taken by {short(names[entry['id']])!r}"
                self.log.add("CATEGORY_ID_DUPLICATE", message, self._file, item=entry["id"], value=entry["name"])
            else:
                names[entry["id"]] = entry["name"]
                first = ids.setdefault(str(entry["name"]), entry["id"])
                if first != entry["id"]:
                    message = f"category {short(entry['id'])} has the name of category {short(first)}"
                    self.log.add("CATEGORY_NAME_DUPLICATE", message, self._file, item=entry["id"], value=entry["name"])
        return names

    def _images(self, entries: list[Any]) -> dict[Any, dict[str, Any]]:
        images: dict[Any, dict[str, Any]] = {}
        for entry in entries:
            if (
                not isinstance(entry, dict)
                or not _is_id(entry.get("id"))
                or not isinstance(entry.get("file_name"), str)
            ):
                self.log.add("ID_MISSING", "an image needs an id and a file_name", self._file, value=entry)
            elif entry["id"] in images:
                message = f"image id {short(entry['id'])} is taken by {images[entry['id']]['file_name']!r}"
                self.log.add("IMAGE_ID_DUPLICATE", message, self._file, item=entry["id"], value=entry["file_name"])
            else:
                images[entry["id"]] = entry
        return images

    def _objects_by_image(self, annotations: list[Any], images: dict[Any, Any]) -> dict[Any, list[RawObject]]:
        objects: dict[Any, list[RawObject]] = {key: [] for key in images}
        seen: set[Any] = set()
        for entry in annotations:
            try:
                siblings = objects[_id(entry["image_id"])]
            except (KeyError, TypeError):  # no such image; no id, or none that can be one; no object
                self._report_unknown_image(entry)
                continue
            item = entry.get("id")
            if type(item) is int or type(item) is str:
                if item in seen:
                    self.log.add(
                        "ANNOTATION_ID_DUPLICATE", f"annotation id {short(item)} is taken", self._file, item=item
                    )
                seen.add(item)
            siblings.append(self._object(entry, item))
        return objects

    def _report_unknown_image(self, entry: Any) -> None:
        key, item = (entry.get("image_id"), entry.get("id")) if isinstance(entry, dict) else (entry, None)
        message = f"there is no image with the id {short(key)}"
        row = f"{self._file}:image {short(key)}"
        self.log.add("ANNOTATION_ON_UNKNOWN_IMAGE", message, self._file, item=item, value=key, row=row)

    def _object(self, entry: dict[str, Any], item: Any) -> RawObject:
        crowd = entry.get("iscrowd", 0)
        try:
            label = self._label(entry)
            segmentation = entry.get("segmentation")
            if segmentation and (self.kind == "polygons" or "bbox" not in entry):
                return RawObject(label, None, self._polygon(segmentation, entry), crowd, item)
            box = _box(entry.get("bbox")) if self.kind == "boxes" else None
            return RawObject(label, box, None, crowd, item)
        except Malformed as problem:
            return RawObject(None, None, None, crowd, item, None, problem)

    def _polygon(self, segmentation: Any, entry: dict[str, Any]) -> list[list[float]]:
        if not isinstance(segmentation, dict):
            return polygon_of(segmentation)
        image = self._images_by_id[entry["image_id"]]
        width, height = size(image.get("width")), size(image.get("height"))
        if width is None or height is None:
            width, height = self._common_size(segmentation, entry["image_id"])
        mask, left = decode_mask(segmentation, width, height)
        self._mask_sizes.setdefault(entry["image_id"], (width, height))
        return self._converted.polygon(mask, left, 0, entry.get("id"))

    def _common_size(self, mask: dict[str, Any], image_id: Any) -> tuple[int, int]:
        """Return the width and height of all masks of an image whose entry states none."""
        found = size_of_mask(mask)
        first = self._mask_sizes.get(image_id, found)
        if found != first:
            message = f"{found[0]} x {found[1]}, another mask of the image has {first[0]} x {first[1]}"
            raise Malformed("MASK_SIZE_MISMATCH", message, mask["size"])
        return found

    def _label(self, entry: dict[str, Any]) -> Any:
        try:
            return self._names[_id(entry["category_id"])]
        except (KeyError, TypeError):
            found = entry.get("category_id")
            raise Malformed("CATEGORY_UNKNOWN", "the category_id is not among the categories", found) from None


def _box(value: Any) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4:
        raise Malformed("ANNOTATION_ILL_FORMED", "expected bbox as [x, y, width, height]", value)
    x, y, width, height = value
    if not (type(x) is type(y) is type(width) is type(height) is float and isfinite(x + y + width + height)):
        x, y, width, height = map(number, value)
    return x, y, x + width, y + height


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _id(value: Any) -> Any:
    """Return an id; `true` would be found under 1.

    Raises:
        TypeError: it is true or false.
    """
    if value is True or value is False:
        raise TypeError
    return value


def _only_file(path: Path) -> Path:
    files = _coco_files(path) if path.is_dir() else [path]
    if len(files) != 1:
        names = ", ".join(str(file) for file in files) or "none"
        raise DataError(f"Expected one COCO file, found in {path}: {names}. Set `path` to the file.")
    return files[0]


def _coco_files(path: Path) -> list[Path]:
    return [file for file in _json_files(path) if _is_coco(file)]


def _json_files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for folder in (path, path / "annotations") for file in sorted(folder.glob("*.json"))]
    return [path] if path.suffix.lower() == ".json" else []


def _is_coco(file: Path) -> bool:
    content = file.read_bytes()
    return all(f'"{key}"'.encode() in content for key in _KEYS)


def _flaw(file: Path) -> str | None:
    try:
        document, _ = strict_json.load(file, finite=False)
    except strict_json.JsonError as error:
        return f"{file}{_line(error)} is no JSON: {error.code}: {error}"
    lacking = [key for key in _KEYS if key not in document] if isinstance(document, dict) else _KEYS
    return f"{file} would be COCO, but has no `{lacking[0]}`" if len(lacking) == 1 else None


def _line(error: strict_json.JsonError) -> str:
    return f":{error.line}" if error.line else ""
