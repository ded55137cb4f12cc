"""The bundled sample: pictures of a fridge shelf with annotations, drawn by rule from a seed.

`python -m automl_images.data.sample OUTPUT_DIR` writes it. `bodies.py` shades solids, `things.py` makes what stands in
a fridge, `scene.py` arranges and photographs it, `outlines.py` turns masks into polygons, `writers.py` writes the
formats.
"""
