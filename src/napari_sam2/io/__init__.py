"""Files to core types and back; no torch at import, no napari."""
