"""From an image to predictions through an ONNX model; no torch."""
