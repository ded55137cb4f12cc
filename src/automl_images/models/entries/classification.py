"""Networks for `image_classification` and `image_classification_multilabel`."""
