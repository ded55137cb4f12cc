"""Our own network, loss and decoding, written from the maths of published papers."""
