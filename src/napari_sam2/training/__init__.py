"""Training of the embedded model: images are generated, never loaded (torch, numpy and safetensors only)."""
