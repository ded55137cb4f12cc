"""AutoML for images: labelled images in, a checked and registered vision model out."""

__version__ = "0.1.0"
