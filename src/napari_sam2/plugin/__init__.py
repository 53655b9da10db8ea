"""The only package that knows napari and Qt: a dock that drives a `Session` and shows what it holds.

The session decides, the worker computes, the bridge draws, the panels ask. torch is loaded on the worker's thread.
"""
