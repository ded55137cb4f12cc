"""YOLO text files: a line an object, `class cx cy width height` in [0, 1], or `class x1 y1 x2 y2 …` for a polygon.

Two layouts are read: a `data.yaml` with `names` and the folders (or lists) of images under `train`, `val`, `test`; and
a folder with a file of names (`*.names`, `classes.txt`) in the manner of Darknet. The label file of an image lies
under `labels` where the image lies under `images`, or beside it, or has its stem somewhere below the source. An image
without label file, or with an empty one, is a background image.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from automl_images.core.errors import DataError, unknown_name
from automl_images.data import strict_json
from automl_images.data.formats.base import READERS, Malformed, RawObject, Reader, Sample, number, polygon_of
from automl_images.data.sources import IMAGE_EXTENSIONS, ImageLocator, list_files, list_images

_NAME_FILES = ("obj.names", "classes.names", "classes.txt", "names.txt")
_LOOKED_AT = 20


@READERS.register("yolo")
class YoloReader(Reader):
    """Reads the label files that a data.yaml or a file of names leads to."""

    name = "yolo"
    kinds = frozenset({"boxes", "polygons"})

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """A YAML file with `names`, or a folder with one or with a file of names."""
        return _definition(path) is not None

    @classmethod
    def near(cls, path: Path) -> str | None:
        """Say where the class names are, or that there are none, of a folder with label files."""
        if not path.is_dir() or not any(map(_is_labels, sorted(path.glob("*.txt"))[:_LOOKED_AT])):
            return None
        definition = _definition(path.parent)
        if definition is None:
            return "it holds label files of YOLO without class names (data.yaml, obj.names or classes.txt)"
        return f"it holds label files of YOLO, whose class names are in {definition}: give {path.parent} as the path"

    def read(self) -> Iterator[Sample]:
        """Yield one sample an image, sorted by path."""
        definition = _definition(self.source.path)
        if definition is None:
            expected = "a data.yaml with `names`, or a folder with one or with obj.names or classes.txt"
            raise DataError(f"Expected {expected}, found none in {self.source.path}.")
        self._definition = definition
        self._folder = definition.parent
        is_yaml = definition.suffix.lower() in {".yaml", ".yml"}
        settings = _load_yaml(definition) if is_yaml else {}
        self._names = _names(settings["names"], definition) if is_yaml else dict(enumerate(_lines(definition)))
        images = self._images(settings)
        if not images:
            raise DataError(f"Found no images for {definition}; name their folder in `images`.")
        yield from self._samples(images)

    def locator(self) -> ImageLocator:
        """Names are relative to the images' folder; a link may still lead outside."""
        return ImageLocator([self._root], on_disk=self.check_images)

    @cached_property
    def _root(self) -> Path:
        return self.image_roots(self._folder)[0]

    def _images(self, settings: dict[str, Any]) -> list[Path]:
        if self.source.images is not None or not settings:
            return list_images(self._root)
        split = self.source.split or "train"
        if split not in settings:
            raise DataError(f"{self._definition}: {unknown_name('split', split, _splits(settings))}")
        base = self._inside(self._folder, settings.get("path") or ".")
        base = base if base.is_dir() else self._folder
        entries = settings[split] if isinstance(settings[split], list) else [settings[split]]
        return sorted({image for entry in entries for image in self._entry(base, entry)})

    def _entry(self, base: Path, entry: Any) -> list[Path]:
        path = self._inside(base, entry)
        if path.is_dir():
            return list_images(path)
        if path.suffix.lower() == ".txt" and path.is_file():
            return [self._inside(base, line) for line in _lines(path)]
        raise DataError(f"{self._definition}: expected a folder or a .txt list of images, but there is no {path}.")

    def _inside(self, base: Path, entry: Any) -> Path:
        """Resolve a path of data.yaml; leading `../`, which many exporters write wrongly, are dropped."""
        if not isinstance(entry, str) or "\0" in entry:
            raise DataError(f"{self._definition}: expected the path of a folder of images, got {entry!r}.")
        parts = [part for part in PurePosixPath(entry.replace("\\", "/")).parts if part not in {".", ".."}]
        return base.joinpath(*(parts[1:] if parts[:1] == ["/"] else parts))

    def _samples(self, images: list[Path]) -> Iterator[Sample]:
        used: set[Path] = set()
        for image in images:
            labels = self._label_file(image)
            used.add(labels)
            objects = list(self._objects(labels)) if labels.is_file() else []
            yield Sample(image.relative_to(self._root).as_posix(), labels, objects=objects, normalised=True)
        self._report_orphans(used)

    def _label_file(self, image: Path) -> Path:
        parts = list(image.parts)
        if "images" in parts:
            parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        conventional = Path(*parts).with_suffix(".txt")
        if conventional.is_file():
            return conventional
        return self._labels_by_stem.get(image.stem, conventional)

    @cached_property
    def _labels_by_stem(self) -> dict[str, Path]:
        """Label files below the source whose stem is unique."""
        files = [file for file in list_files(self._folder) if file.suffix.lower() == ".txt" and not _is_list(file)]
        return _unique(files)

    def _report_orphans(self, used: set[Path]) -> None:
        for folder in sorted({file.parent for file in used if file.parent.is_dir()}):
            for file in sorted(folder.glob("*.txt")):
                if file not in used and not _is_list(file):
                    self.log.add("LABEL_FILE_WITHOUT_IMAGE", f"no image is called {file.stem!r}", file)

    def _objects(self, file: Path) -> Iterator[RawObject]:
        try:
            text, bom = strict_json.decode(file.read_bytes())
        except strict_json.JsonError as error:
            yield RawObject(None, problem=Malformed("ANNOTATION_ILL_FORMED", str(error)), line=error.line)
            return
        if bom:
            self.log.add("FILE_BYTE_ORDER_MARK", "the file begins with a byte order mark", file, line=1)
        for line, content in enumerate(text.splitlines(), 1):
            if words := content.split():
                yield self._object(words, line)

    def _object(self, words: list[str], line: int) -> RawObject:
        result = RawObject(None, line=line)
        try:
            index = number(words[0])
            if index not in self._names:
                raise Malformed(
                    "CATEGORY_UNKNOWN", f"there is no class {words[0]} in {self._definition.name}", words[0]
                )
            result.label = self._names[int(index)]
            if len(words) == 5:
                x, y, width, height = map(number, words[1:])
                result.box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            elif len(words) > 5:
                result.polygon = polygon_of([words[1:]])
            else:
                raise Malformed(
                    "ANNOTATION_ILL_FORMED", f"expected 5 numbers or more, got {len(words)}", " ".join(words)
                )
        except Malformed as problem:
            result.problem = problem
        return result


def _definition(path: Path) -> Path | None:
    if path.is_file():
        return path if path.name in _NAME_FILES or _has_names(path) else None
    yamls = [file for file in sorted(path.glob("*.y*ml")) if _has_names(file)]
    names = [path / name for name in _NAME_FILES if (path / name).is_file()]
    return next(iter([*yamls, *names]), None)


def _has_names(file: Path) -> bool:
    if file.suffix.lower() not in {".yaml", ".yml"}:
        return False
    return any(line.startswith(b"names") for line in file.read_bytes().splitlines())


def _load_yaml(file: Path) -> dict[str, Any]:
    try:
        text, _ = strict_json.decode(file.read_bytes())
        settings = yaml.safe_load(text)
        as_text = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - safer than safe: everything is text
    except (yaml.YAMLError, strict_json.JsonError, RecursionError, ValueError) as error:
        raise DataError(f"{file} is not YAML: {str(error) or type(error).__name__}.") from error
    if not isinstance(settings, dict) or "names" not in settings:
        raise DataError(f"{file}: expected `names`, a list of class names or a mapping of numbers to names.")
    return {**settings, "names": as_text["names"]}  # a class called 3 or no is not a number or false


def _names(value: Any, file: Path) -> dict[int, Any]:
    if isinstance(value, list):
        return dict(enumerate(value))
    try:
        return {int(key): name for key, name in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(f"{file}: `names` must be a list of names or a mapping of numbers to names.") from None


def _splits(settings: dict[str, Any]) -> list[str]:
    return [str(key) for key in settings if key in {"train", "val", "test", "valid", "validation"}]


def _lines(file: Path) -> list[str]:
    try:
        text, _ = strict_json.decode(file.read_bytes())
    except strict_json.JsonError as error:
        raise DataError(f"{file} is {error}.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_list(file: Path) -> bool:
    """Tell whether a text file holds class names or paths of images rather than labels."""
    if file.name in _NAME_FILES:
        return True
    with file.open("rb") as stream:
        first = stream.readline(4096).decode("utf-8", "replace").strip()
    return first.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def _is_labels(file: Path) -> bool:
    """Tell whether a text file begins with a class and numbers."""
    with file.open("rb") as stream:
        words = stream.readline(4096).split()
    return len(words) >= 5 and words[0].isdigit() and all(word.replace(b".", b"", 1).isdigit() for word in words)


def _unique(files: list[Path]) -> dict[str, Path]:
    seen: dict[str, Path | None] = {}
    for file in files:
        seen[file.stem] = None if file.stem in seen else file
    return {stem: file for stem, file in seen.items() if file is not None}
