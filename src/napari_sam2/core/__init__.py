"""DOMAIN: numpy, the standard library and psygnal; no torch, napari, Qt or disk."""
