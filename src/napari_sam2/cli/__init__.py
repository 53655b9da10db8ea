"""The command line: one file a subcommand, each loaded only when it is called."""
