"""One concern a panel: it shows a `DockState` and emits what the user wants; it decides nothing."""
