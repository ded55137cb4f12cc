"""Networks of Hugging Face transformers: by hub name, by local folder, and those of the catalogue."""
