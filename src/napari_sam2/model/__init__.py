"""NETWORK: SAM 2 in plain PyTorch; functions of tensors, no ids, files, caches or UI.

Shape legend, used in every docstring of this package:

===== =========================================== ===== ================================
B     batch of slots (one slot, one object)       C     width of the network
S     side of the model input, pixels             Cm    width of a spatial memory
h w   stride-16 grid, S / 16                      N     prompt tokens
K     mask candidates                             L     tokens of a sequence
M     spatial memories attended to                P     object pointers attended to
===== =========================================== ===== ================================

Public functions take and give maps as (B, C, h, w); token sequences (B, L, C) stay inside attention files.
Model points are (x, y).
"""
