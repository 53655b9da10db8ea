"""INFERENCE: streaming SAM 2 on top of `model` and `core`; torch and numpy only."""
