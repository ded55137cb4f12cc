"""Networks for `instance_segmentation`."""
