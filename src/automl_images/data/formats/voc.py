"""Pascal VOC XML: one file an image, boxes by their corners in pixels.

The development kit counts pixels from 1 and includes the last one; nearly every other tool that writes VOC files
(and the converters between formats) puts edges there, counted from 0. Coordinates are therefore taken as written
unless the source says `one_based: true`, which subtracts 1 from xmin and ymin. Objects marked `difficult` are objects
like any other: the mark means "hard to see", not "a crowd". `<path>` is ignored: it is a path of another machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError  # the types only; defusedxml parses

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from automl_images.core.errors import DataError
from automl_images.data.formats.base import READERS, Malformed, RawObject, Reader, Sample, number, size
from automl_images.data.sources import ImageLocator, find_image_root, list_files, list_images


@READERS.register("voc")
class VocReader(Reader):
    """Reads one XML file or all below a folder."""

    name = "voc"
    kinds = frozenset({"boxes"})

    @classmethod
    def detect(cls, path: Path, images: Path | None = None) -> bool:
        """XML files whose root element is `annotation`."""
        return any(b"<annotation" in file.read_bytes()[:4096] for file in _xml_files(path)[:3])

    def read(self) -> Iterator[Sample]:
        """Yield one sample a file."""
        files = _xml_files(self.source.path)
        if not files:
            raise DataError(f"Expected Pascal VOC files, but there is no .xml file in {self.source.path}.")
        documents = [(file, root) for file in files if (root := self._parse(file)) is not None]
        folder = files[0].parent
        usual = self.image_roots(
            folder, *(folder.parent / name for name in ("images", "JPEGImages")), folder.parent, self._top()
        )
        self._root = find_image_root(usual, [name for _, root in documents if (name := _text(root, "filename"))][:20])
        for file, root in documents:
            yield self._sample(file, root)

    def locator(self) -> ImageLocator:
        """Names are relative to the images' folder."""
        return ImageLocator([self._root], on_disk=self.check_images)

    def _top(self) -> Path:
        return self.source.path if self.source.path.is_dir() else self.source.path.parent

    def _parse(self, file: Path) -> Element | None:
        try:
            root = ElementTree.parse(file, forbid_dtd=True).getroot()
            if root is None or root.tag != "annotation":
                raise ParseError("the root element is not <annotation>")
        except DefusedXmlException as error:
            self.log.add("XML_FORBIDDEN", f"document types and entities are refused: {type(error).__name__}", file)
        except (ParseError, ValueError, LookupError) as error:
            self.log.add("XML_INVALID", str(error), file)
        else:
            return root
        return None

    def _sample(self, file: Path, root: Element) -> Sample:
        width, height = size(_text(root, "size/width")), size(_text(root, "size/height"))
        objects = [self._object(number_, element) for number_, element in enumerate(root.iter("object"))]
        return Sample(self._image_name(file, root), file, objects=objects, width=width, height=height)

    def _image_name(self, file: Path, root: Element) -> str:
        """The stated name; where there is no such image, the one that is called like the XML file."""
        name = _text(root, "filename") or ""
        if "\0" in name or not self.check_images or (self._root / name).is_file():
            return name
        return self._images_by_stem.get(file.stem, name or file.stem)

    @cached_property
    def _images_by_stem(self) -> dict[str, str]:
        images = list_images(self._root)
        return {image.stem: image.relative_to(self._root).as_posix() for image in reversed(images)}

    def _object(self, item: int, element: Element) -> RawObject:
        result = RawObject(_text(element, "name"), item=item)
        try:
            left, top, right, bottom = (number(_coordinate(element, name)) for name in ("xmin", "ymin", "xmax", "ymax"))
            shift = 1.0 if self.source.one_based else 0.0
            result.box = left - shift, top - shift, right, bottom
        except Malformed as problem:
            result.problem = problem
        return result


def _coordinate(element: Element, name: str) -> Any:
    text = _text(element, f"bndbox/{name}")
    if text is None:
        raise Malformed("ANNOTATION_ILL_FORMED", f"an object has no <bndbox><{name}>")
    return text


def _text(element: Element, path: str) -> str | None:
    found = element.find(path)
    return found.text.strip() if found is not None and found.text else None


def _xml_files(path: Path) -> list[Path]:
    files = list_files(path) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() == ".xml"]
