"""The command line: one file a command, each calls one library function."""
