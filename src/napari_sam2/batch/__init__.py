"""Many stacks without a window: what is to be done, what is done, and who does it."""
